"""Texts to semantic IDs: item vectors, a quantiser, collisions, the vocabulary.

With ``collaborative``, the vectors hold too what training histories say (`agentrec.pipeline.collaborative`).

The folder of fitted IDs holds all that made them, ``quantiser/`` and ``vectors/`` included, so that new items get IDs
long after (`agentrec.pipeline.extend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from agentrec.core.artefact import read_manifest
from agentrec.core.config import from_mapping
from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.files import whole_folder, write_json
from agentrec.core.protocols import Quantiser, TextEncoder
from agentrec.core.provenance import versions
from agentrec.core.registry import Registry
from agentrec.core.types import Catalogue, FloatArray
from agentrec.pipeline.collaborative import (
    NONE,
    Trained,
    check_collaborative,
    fuse,
    load_item_encoder,
    saves,
    vectors_of_items,
)
from agentrec.pipeline.collaborative import PARTS as FUSION_PARTS
from agentrec.semantic_ids.collisions import Problem, Resolved, policy, solve
from agentrec.semantic_ids.collisions.cost import cost
from agentrec.semantic_ids.health import health
from agentrec.semantic_ids.index_json import read_index, write_index
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.vectors.item_vectors import fitted_vectors

REGISTRY = Registry("agentrec.semantic_ids")
QUANTISER, VECTORS, HEALTH, INDEX = "quantiser", "vectors", "health.json", "index.json"
PARTS = ("vectors", "quantiser", "collisions", *FUSION_PARTS)


class Described(Protocol):
    """What is needed of a data set: a catalogue whose items have texts."""

    @property
    def catalogue(self) -> Catalogue:
        """The N items."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data."""

    def require_texts(self, columns: Sequence[str] | None = None) -> list[str]:
        """One text per item, from some text columns or all."""


class SemanticIDs(NamedTuple):
    """Fitted semantic IDs and what led to them.

    Attributes:
        vocabulary: codes <-> tokens <-> items, collisions resolved.
        quantiser: the fitted quantiser; it encodes new items.
        vectors: (N, D) float32 item vectors.
        health: the report of `report_semantic_ids`.
        encoder: the fitted text encoder, with its fusion where there is one; it gives new items vectors.
    """

    vocabulary: SIDVocabulary
    quantiser: Any
    vectors: FloatArray
    health: dict[str, Any]
    encoder: Any

    def save(self, folder: str | Path) -> None:
        """Write the vocabulary with ``quantiser/``, ``vectors/`` and two JSON files, whole or not at all.

        ``health.json`` is the report, ``index.json`` the published form of the IDs. An encoder of another package that
        cannot be saved is left out, and such IDs cannot be extended.
        """
        with whole_folder(folder) as temporary:
            self.vocabulary.save_pretrained(temporary)
            self.quantiser.save_pretrained(temporary / QUANTISER)
            if saves(self.encoder):
                self.encoder.save_pretrained(temporary / VECTORS)
            write_json(temporary / HEALTH, self.health)
            write_index(self.vocabulary, temporary / INDEX)


def fit_semantic_ids(  # noqa: PLR0913 - flat keywords, every one with a default
    dataset: Described,
    *,
    vectors: str = "tfidf_svd",
    quantiser: str = "rq_kmeans",
    num_levels: int = 3,
    codebook_size: int | None = None,
    text_columns: Sequence[str] | None = None,
    collisions: str = "append",
    collaborative: str = NONE,
    split: Trained | None = None,
    seed: int = 0,
    progress: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> SemanticIDs:
    """Give every item of a data set a semantic ID of its own, by its text, and by training histories if asked.

    Args:
        dataset: a data set whose items have texts.
        vectors: a method of `agentrec.vectors`, or the name or folder of a sentence-transformers model.
        quantiser: a method of `agentrec.semantic_ids`.
        num_levels: L; some ways to tell colliding items apart add a further level.
        codebook_size: K, codes per level; by default `suitable_codebook_size` of the catalogue.
        text_columns: which text columns describe an item, all by default.
        collisions: what happens to items that share all their codes: a policy of `agentrec.semantic_ids.collisions`
            that leaves rows distinct; item ids are the business keys.
        collaborative: ``"none"``, or how text vectors are fused with who is bought with whom: a fusion of
            `agentrec.vectors.fusion`.
        split: of this data set, needed by a fusion, which reads its training histories and nothing else.
        seed: of vectors, SVD and quantiser.
        progress: show progress bars.
        settings: further settings of the methods, ``{"vectors": {}, "quantiser": {}, "collisions": {}, "fusion": {},
            "signal": {}}``, the last one of `agentrec.pipeline.collaborative.Source`; those of the quantiser win over
            the ones above.

    Warns:
        DataWarning: a fusion has items of which training histories say nothing.

    Raises:
        DataError: the items have no usable texts, or the split is of other data.
        UnknownNameError: no method has that name.
        ConfigError: a setting is unknown or out of range, or a fusion is asked for without a split.
    """
    _check_parts(settings or {}, collisions)
    check_collaborative(collaborative, split, dataset.fingerprint, settings or {})
    module = REGISTRY.module(quantiser)
    more = {part: dict((settings or {}).get(part, {})) for part in PARTS}
    size = suitable_codebook_size(len(dataset.catalogue)) if codebook_size is None else codebook_size
    basic = {"num_levels": num_levels, "codebook_size": size, "seed": seed}
    fitted = module.METHOD(from_mapping(module.Config, {**basic, **more["quantiser"]}))
    texts = dataset.require_texts(text_columns)
    encoder, table = fitted_vectors(texts, vectors, more["vectors"], seed=seed, progress=progress)
    signal, ids = None, dataset.catalogue.ids
    if split is not None and collaborative != NONE:
        encoder, table, signal = fuse(encoder, table, ids, name=collaborative, split=split, settings=more, seed=seed)
    fitted.fit(table)
    columns = None if text_columns is None else list(text_columns)
    made = {"data": dataset.fingerprint, "vectors": vectors, "quantiser": quantiser, "collisions": collisions, **basic}
    made |= {"text_columns": columns, "collaborative": collaborative, "signal": signal, "settings": more}
    return SemanticIDs(*_coded(fitted, table, ids, made), encoder)


def _coded(
    fitted: Any, table: FloatArray, ids: Sequence[str], made: dict[str, Any]
) -> tuple[SIDVocabulary, Any, FloatArray, dict[str, Any]]:
    """Vocabulary with collisions resolved, quantiser, vectors and report of `SemanticIDs`, with how they were made."""
    problem = problem_of(fitted, table, ids)
    resolved = solve(problem, made["collisions"], made["settings"]["collisions"])
    vocabulary = SIDVocabulary(resolved.codes, resolved.level_sizes, ids)
    shape = {"num_levels": problem.num_levels, "num_semantic": resolved.num_semantic}
    provenance = {**made, "versions": versions(), **shape}
    fitted.stamp(provenance)
    vocabulary.stamp(provenance)
    return vocabulary, fitted, table, report_of(vocabulary, fitted, table, problem)


def problem_of(quantiser: Any, table: FloatArray, item_ids: Sequence[str]) -> Problem:
    """What a collision policy is told of items: their codes, and their vectors where the codebooks lie.

    An autoencoder clusters latents, so distances are weighed among these. Distances are to the nested codebooks, also
    where whole codes are decoded by codebooks fitted together; `report_of` measures error by the quantiser's decoding.
    """
    coder = getattr(quantiser, "autoencoder", None)
    space = table if coder is None else coder.latents(table).astype(np.float32)
    return Problem(quantiser.encode(table), vectors=space, codebooks=quantiser.codebooks, keys=item_ids)


def import_semantic_ids(
    dataset: Described, index: str | Path, *, collisions: Literal["append", "error"] = "append"
) -> SIDVocabulary:
    """Take over published semantic IDs for the items of a data set.

    Args:
        dataset: its items must be those of the file.
        index: an ``index.json``; see `agentrec.semantic_ids.index_json.read_index`.
        collisions: append a level where items share all codes, or refuse.

    Raises:
        DataError: the file is no index, or not of these items.
    """
    vocabulary = read_index(index, dataset.catalogue.ids, collisions=collisions)
    return vocabulary.stamp({**vocabulary.provenance, "data": dataset.fingerprint, "versions": versions()})


def suitable_codebook_size(num_items: int) -> int:
    """K such that about 16 items share a first code: a power of two from 16 to 256.

    Wider levels leave most codes of a small catalogue with one item, and a generator then learns nothing of what items
    have in common; narrower ones make colliding items, which only an arbitrary number tells apart.
    """
    return int(2 ** np.clip(round(np.log2(max(1, num_items) / 16)), 4, 8))


def _check_parts(settings: Mapping[str, Any], collisions: str) -> None:
    unknown = sorted(set(settings) - set(PARTS))
    if unknown:
        raise ConfigError(
            f"settings of semantic IDs have the part {unknown[0]!r}; expected {', '.join(PARTS[:-1])} or {PARTS[-1]}"
        )
    if collisions == "keep":
        raise ConfigError(
            "collisions is 'keep', which leaves items sharing one ID, and a generator's beam ends in one item; "
            "expected a policy that gives every item its own, so take append, next_best or zero_collision"
        )
    policy(collisions, settings.get("collisions"))


def load_quantiser(folder: str | Path) -> Quantiser | None:
    """The quantiser in the folder of fitted semantic IDs; None where they were imported.

    Raises:
        ArtefactError: the folder of the quantiser is damaged.
        UnknownNameError: this installation lacks its method.
    """
    place = Path(folder) / QUANTISER
    if not place.is_dir():
        return None
    quantiser: Quantiser = REGISTRY.load(read_manifest(place)["method"]).from_pretrained(place)
    return quantiser


def load_text_encoder(folder: str | Path) -> TextEncoder | None:
    """The text encoder in the folder of fitted semantic IDs; None where there is none.

    Raises:
        ArtefactError: its folder is damaged.
        UnknownNameError: this installation lacks its method.
    """
    place = Path(folder) / VECTORS
    return load_item_encoder(place) if place.is_dir() else None


def report_semantic_ids(
    vocabulary: SIDVocabulary,
    dataset: Described | None = None,
    quantiser: Quantiser | None = None,
    encoder: TextEncoder | None = None,
) -> dict[str, Any]:
    """Health of saved or imported semantic IDs, and what it cost to tell items apart.

    Args:
        vocabulary: the semantic IDs.
        dataset: their data set, for reconstruction and neighbours.
        quantiser: what fitted them, for reconstruction and the codes before collisions were resolved.
        encoder: what made the item vectors; without it, they are made as they were for fitting, if from texts alone.

    Returns:
        As `agentrec.semantic_ids.health.health`, of the codes before collisions were resolved where these are known
        (by quantiser and data set, or because a level was appended), else of those after; with both, ``resolution``
        (`agentrec.semantic_ids.collisions.cost.cost` and the name of the policy), else None.

    Raises:
        ArtefactError: the data set has other items, or the vectors need an encoder that was not given.
    """
    made = vocabulary.provenance
    if dataset is None:
        codes = vocabulary.codes[:, : made.get("num_levels", vocabulary.num_levels)]
        return {**health(None, codes, None if quantiser is None else quantiser.codebooks), "resolution": None}
    vocabulary.matches(dataset.catalogue.ids)
    texts = dataset.require_texts(made.get("text_columns"))
    if encoder is None and made.get("collaborative", NONE) != NONE:
        raise ArtefactError(
            f"the semantic IDs were fitted with collaborative {made['collaborative']!r} and no encoder was given; "
            "expected the one saved beside them, by load_text_encoder(folder)"
        )
    if encoder is None:
        method, settings = made.get("vectors", "tfidf_svd"), made.get("settings", {}).get("vectors")
        table = fitted_vectors(texts, method, settings, seed=made.get("seed", 0))[1]
    else:
        table = vectors_of_items(encoder, texts, dataset.catalogue.ids)
    if quantiser is not None:
        return report_of(vocabulary, quantiser, table, problem_of(quantiser, table, dataset.catalogue.ids))
    codes = vocabulary.codes[:, : made.get("num_levels", vocabulary.num_levels)]
    return {**health(table, codes, seed=made.get("seed", 0)), "resolution": None}


def report_of(vocabulary: SIDVocabulary, quantiser: Any, table: FloatArray, problem: Problem) -> dict[str, Any]:
    """Health before collisions were resolved, and the cost of that."""
    made = vocabulary.provenance
    seed, codes = made.get("seed", 0), problem.codes
    report = health(table, codes, quantiser.codebooks, reconstruction=quantiser.decode(codes), seed=seed)
    zeros = np.zeros(len(codes), np.int64)
    semantic = int(made.get("num_semantic", problem.num_levels))
    after = Resolved(vocabulary.codes, vocabulary.level_sizes, zeros, semantic)
    price = cost(problem, after, vectors=table, decode=quantiser.decode, seed=seed)
    return {**report, "resolution": {"policy": made.get("collisions"), **price}}
