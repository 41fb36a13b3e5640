"""A generator that has never met some items: semantic IDs for all of them, training on the others alone.

Text encoder and quantiser are fitted on the items there were; the withheld ones get their codes afterwards, as new
items of a shop do (`agentrec.pipeline.extend`), and nothing is learnt from them. Training then reads histories that
hold none of them. Trained generators are kept, and a killed run goes on where it stopped.

What it does not know: semantic IDs that were published, or fused with purchases; both have met the withheld items.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from agentrec.core.artefact import plain
from agentrec.core.errors import ConfigError, DataWarning
from agentrec.core.files import array_hash, json_hash
from agentrec.core.provenance import code_hash
from agentrec.core.types import JSON, FloatArray, IntArray
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import Split
from agentrec.pipeline.collaborative import NONE
from agentrec.pipeline.extend import extend_semantic_ids
from agentrec.pipeline.recipe import GENERATIVE, Chosen
from agentrec.pipeline.run import Run
from agentrec.pipeline.semantic_ids import fit_semantic_ids
from agentrec.semantic_ids.collisions import policy
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.vectors.item_vectors import checked_vectors, fitted_vectors

if TYPE_CHECKING:
    from agentrec.serving.generative import GenerativeRecommender

KNOWN, ALL = "known-sids", "all-sids"
GROWN = "the level that tells colliding items apart grew"


@dataclass(frozen=True)
class ColdStart:
    """A data set some of whose items come after training.

    Attributes:
        dataset: all items.
        split: without any row of the withheld ones; see `agentrec.evaluation.withhold.withhold`.
        items: (W,) int64, the withheld ones, ascending.
    """

    dataset: Dataset
    split: Split
    items: IntArray

    @cached_property
    def known(self) -> Dataset:
        """The items there were, with their texts and without purchases."""
        rows = np.setdiff1d(np.arange(self.dataset.num_items), self.items)
        nothing = np.zeros(0, np.int64)
        return Dataset(
            self.dataset.name, (), self.dataset.catalogue.take(rows), Interactions(nothing, nothing, nothing)
        )


@dataclass(frozen=True)
class ColdGenerator:
    """A generator of a recipe, trained without some items.

    Attributes:
        chosen: which generator, with which semantic IDs.
        cold: the data.
        trained: folder where trained generators are kept.
        collisions: how the withheld items are told from others with their codes; by default the policy of the recipe.
            ``next_best`` moves them to codes that nobody has, and so away from all that was learnt of whole codes.
        progress: show bars while training.

    Raises:
        ConfigError: the recommender is no generator, or its semantic IDs are not made of texts alone.
        UnknownNameError: no collision policy has that name.
    """

    chosen: Chosen
    cold: ColdStart
    trained: Path
    collisions: str = ""
    progress: bool = False

    def __post_init__(self) -> None:
        label, sids = self.chosen.label, self.chosen.sids
        if self.chosen.method.method != GENERATIVE:
            raise ConfigError(
                f"the recommender {label!r} is of method {self.chosen.method.method!r}; expected {GENERATIVE!r}, since "
                "only generators name items by semantic IDs"
            )
        if sids.index is not None or sids.collaborative != NONE:
            made = f"of {sids.index}" if sids.index is not None else f"fused by {sids.collaborative!r}"
            raise ConfigError(
                f"the semantic IDs of {label!r} are {made}; expected IDs fitted on texts alone, since the withheld "
                "items must have no part in them"
            )
        policy(self.policy)

    @property
    def policy(self) -> str:
        """Name of the collision policy of withheld items."""
        return self.collisions or self.chosen.sids.collisions

    @property
    def identity(self) -> JSON:
        """What it is, as JSON."""
        withheld = array_hash(self.cold.items)
        return {**self.chosen.identity, "kind": "cold_start", "withheld": withheld, "collisions": self.policy}

    def folder(self, seed: int) -> Path:
        """Where the generator of a seed lies, or will, with its semantic IDs."""
        key = json_hash([self.identity, self.cold.split.fingerprint])[:8]
        return self.trained / f"{self.chosen.label}-cold-{key}" / f"seed-{seed}"

    def open(self, seed: int) -> GenerativeRecommender:
        """Train with a seed, or open what was trained; one process trains, others wait for it."""
        from agentrec.serving.generative import GenerativeRecommender

        run = Run(replace(self.chosen.recipe, seed=seed), self.folder(seed), self.progress)
        run.out.parent.mkdir(parents=True, exist_ok=True)
        catalogue = self.cold.dataset.catalogue
        with FileLock(f"{run.out}.lock"):
            place = run.generator(self.chosen.label, self.chosen.method, self._sids(run), catalogue, self.cold.split)
        return GenerativeRecommender.load(place, catalogue=catalogue)

    def _sids(self, run: Run) -> SIDVocabulary:
        """Semantic IDs of all items, fitted on the known ones."""
        want, seed, known = self.chosen.sids, run.recipe.seed, self.cold.known

        def fit(folder: Path) -> None:
            settings = {name: value for name, value in plain(want).items() if name != "index"}
            fit_semantic_ids(known, **settings, seed=seed, progress=self.progress).save(folder)

        def add(folder: Path) -> None:
            with warnings.catch_warnings():  # the model is trained with all tokens there are
                warnings.filterwarnings("ignore", GROWN, DataWarning)
                extend_semantic_ids(run.out / KNOWN, self.cold.dataset, collisions=self.policy).save(folder)

        key = [want.chosen(), seed, known.fingerprint, code_hash("semantic_ids", "vectors")]
        run.step(KNOWN, key, fit)
        return SIDVocabulary.from_pretrained(run.step(ALL, [*key, self.policy, self.cold.dataset.fingerprint], add))

    def text_vectors(self) -> FloatArray:
        """Vectors of all items by the recipe's text encoder, fitted on the known ones: (N, D) float32, length 1."""
        want = self.chosen.sids
        texts = self.cold.known.require_texts(want.text_columns)
        encoder, _ = fitted_vectors(texts, want.vectors, want.settings.get("vectors"), seed=self.chosen.recipe.seed)
        table = checked_vectors(encoder, self.cold.dataset.require_texts(want.text_columns))
        unit: FloatArray = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.float32(1e-12))
        return unit
