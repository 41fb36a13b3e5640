"""A trained generator as a recommender: prompts in, constrained beam search, items out.

Whatever the model prefers, only items of the constraint come back. Beam width and list length are separate: a wider
beam explores more, ``n`` items are returned. Prompts of similar length share a batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from agentrec.core.artefact import Arrays, Artefact, local_folder
from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.protocols import Constraint
from agentrec.core.types import PAD, Catalogue, Histories, IntArray, Recommendations
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.batches import batches_by_tokens
from agentrec.decoding.search.beam import beam_search
from agentrec.decoding.sets.mixed import PerRow
from agentrec.models.generator import METHOD_NAME, ROOM, SIDS, read_generator, write_generator
from agentrec.prompts.forms import Form, build_form, pad_left
from agentrec.semantic_ids.vocabulary import SIDVocabulary


class GenerativeRecommender(Artefact):
    """A causal language model that writes semantic IDs, held to the catalogue by a static index.

    Args:
        model: Hugging Face causal language model.
        tokenizer: extended by the vocabulary.
        vocabulary: codes <-> tokens <-> items.
        form: how histories become prompts.
        num_beams: beam width M.
        bf16: run the model under bfloat16 autocast; faster where the processor has it, scores differ slightly.

    Attributes:
        index: the whole catalogue's.
        constraint: what may be recommended where a call says nothing else; the index by default.
        usage: tokens since it was opened: ``prompt_tokens``, and ``beam_tokens``, which are the tokens of all beams.
    """

    room: ClassVar[str] = ROOM
    method: ClassVar[str] = METHOD_NAME

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        vocabulary: SIDVocabulary,
        form: Form,
        *,
        num_beams: int = 20,
        bf16: bool = False,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.form = form
        self.num_beams = num_beams
        self.bf16 = bf16
        self.usage = {"prompt_tokens": 0, "beam_tokens": 0}
        self.index = StaticIndex.build(vocabulary.codes, vocabulary.level_sizes).to(self.device)
        self.constraint: Constraint = self.index
        self._token_ids = [torch.from_numpy(ids).to(self.device) for ids in vocabulary.token_ids(tokenizer)]

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return torch.device(self.model.device)

    @property
    def num_items(self) -> int:
        """N."""
        return self.vocabulary.num_items

    @classmethod
    def load(cls, folder: str | Path, *, catalogue: Catalogue | None = None, device: str | None = None) -> Self:
        """Open a trained generator's folder.

        Args:
            folder: written by training or `save_pretrained`.
            catalogue: the items, for the titles of the instruction form, and to check that the IDs belong to them.
            device: for example ``"cuda"``; CUDA where there is one by default.

        Raises:
            ArtefactError: truncated, of another kind, or not trained on this catalogue.
        """
        saved = read_generator(folder)
        vocabulary = SIDVocabulary.from_pretrained(Path(folder) / SIDS)
        if catalogue is not None:
            vocabulary.matches(catalogue.ids)
        titles = ("",) * vocabulary.num_items if catalogue is None else catalogue.titles
        if catalogue is None and saved.config["form"]["form"] != "sequence":
            raise ArtefactError(f"{folder} reads titles, and no catalogue was given; pass the data it was trained on")
        tokens = vocabulary.item_token_ids(saved.tokenizer)
        sids = [vocabulary.text(item) for item in range(vocabulary.num_items)]
        form = build_form(saved.config["form"], saved.tokenizer, tokens, sids, titles)
        model = saved.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        serving = {name: saved.config[name] for name in ("num_beams", "bf16") if name in saved.config}
        return cls(model, saved.tokenizer, vocabulary, form, **serving).stamp(saved.provenance)

    def recommend(
        self,
        histories: Histories,
        n: int,
        *,
        exclude_seen: bool = False,
        num_beams: int | None = None,
        constraint: Constraint | None = None,
    ) -> Recommendations:
        """Generate the best n items of each history; scores are log-probabilities.

        Args:
            histories: U users.
            n: list length, at most the beam width.
            exclude_seen: leave out the user's own items; the beam grows by their number, so that they take no place.
            num_beams: beam width M; the recommender's own by default, widened to n.
            constraint: other allowed items than the whole catalogue; `agentrec.decoding.sets.mixed.PerRow` of one
            constraint
                per history.

        Raises:
            ConfigError: n exceeds an explicit beam width.
            DataError: there are more or fewer constraints than histories.
        """
        beams = max(self.num_beams, n) if num_beams is None else num_beams
        if n > beams:
            raise ConfigError(f"n is {n} and num_beams {num_beams}; expected a beam at least as wide as the list")
        if isinstance(constraint, PerRow):
            constraint.check_rows(len(histories))
        items = np.full((len(histories), n), PAD, np.int64)
        scores = np.full((len(histories), n), -np.inf, np.float32)
        prompts = [self.form.prompt(history) for history in histories]
        lengths = np.array([len(prompt) for prompt in prompts], np.int64)
        widths = widened(beams, histories.lengths) if exclude_seen else np.full(len(histories), beams)
        for width in np.unique(widths).tolist():
            group = np.flatnonzero(widths == width)
            for part in batches_by_tokens(lengths[group].tolist(), width * self.vocabulary.num_levels):
                rows = group[part]
                seen = _seen(histories.take(rows)) if exclude_seen else None
                own = constraint.take(rows) if isinstance(constraint, PerRow) else constraint
                found = self.search([prompts[row] for row in rows], n, width, seen, own)
                items[rows], scores[rows] = found
        return Recommendations(items, scores)

    def search(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        num_beams: int,
        exclude: IntArray | None = None,
        constraint: Constraint | None = None,
    ) -> Recommendations:
        """Search behind prompts as one batch, with exactly the beam that is asked for.

        Args:
            prompts: B prompts, as the form writes them.
            n: list length, at most the beam width.
            num_beams: beam width M.
            exclude: (B, E) int64 item indexes that a row may not get, padded with ``-1``.
            constraint: allowed items, the whole catalogue by default; `PerRow` of one constraint per prompt.
        """
        ids, mask = pad_left(prompts, self.tokenizer.pad_token_id)
        self.usage["prompt_tokens"] += sum(map(len, prompts))
        self.usage["beam_tokens"] += len(prompts) * num_beams * self.vocabulary.num_levels
        with self.precision():
            found = beam_search(
                self.model,
                torch.from_numpy(ids).to(self.device),
                torch.from_numpy(mask).to(self.device),
                self.constraint if constraint is None else constraint,
                self._token_ids,
                num_beams=num_beams,
                n=n,
                exclude=None if exclude is None else torch.from_numpy(exclude).to(self.device),
            )
        return Recommendations(found.items.cpu().numpy(), found.scores.cpu().numpy())

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model is to run."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    def _save_pretrained(self, save_directory: Path) -> None:
        config = {"form": self.form.settings(), "num_beams": self.num_beams, "bf16": self.bf16}
        write_generator(
            save_directory, self.model, self.tokenizer, self.vocabulary, config=config, provenance=self.provenance
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load from a folder, or from a repository of the hub.

        Args:
            pretrained_model_name_or_path: a local folder or a repository name.
            kwargs: ``catalogue`` and ``device`` as in `load`; the rest goes to huggingface_hub.
        """
        own = {name: kwargs.pop(name) for name in ("catalogue", "device") if name in kwargs}
        return cls.load(local_folder(pretrained_model_name_or_path, **kwargs), **own)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config for the model card; weights are saved by transformers."""
        return {**self.form.settings(), "num_beams": self.num_beams, "bf16": self.bf16}, {}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Not the way in: a generator is more than arrays."""
        raise ArtefactError("a generator is opened by GenerativeRecommender.load(folder), not from arrays")


def widened(beams: int, seen: IntArray) -> IntArray:
    """Beam width per user that still holds ``beams`` items when all seen ones are struck out.

    Powers of two above ``beams``, so that users share batches and a user's width does not depend on who else is there.
    """
    needed = beams + seen
    return np.where(seen > 0, 2 ** np.ceil(np.log2(np.maximum(needed, 1))), beams).astype(np.int64)


def _seen(histories: Histories) -> IntArray:
    return histories.padded(max(1, int(histories.lengths.max(initial=1))))
