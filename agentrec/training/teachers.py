"""Collaborative teachers: recommenders whose scores become soft labels, and the check that they may teach.

A teacher is any `agentrec.core.protocols.Scorer` whose provenance names the split that is trained on: one that was
trained on other rows may have seen what is held out. Models of `agentrec.models`, their folders, files of
saved scores (`agentrec.training.saved_scores`) and objects in Python all serve.

Scores become logits by their scale: those of a softmax model are logits already; counts and weights
(popularity, transitions) mean probabilities up to a factor, so that their logarithm is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from agentrec.core.artefact import Artefact, read_manifest
from agentrec.core.errors import ArtefactError, ConfigError, UnknownNameError
from agentrec.core.files import array_hash, json_hash
from agentrec.core.protocols import Scorer
from agentrec.core.registry import Registry
from agentrec.core.types import JSON, FloatArray, Histories, IntArray
from agentrec.data.split import Split
from agentrec.decoding.index.item_ranges import spans
from agentrec.training.cross_fitting import CrossFitted, cross_fit
from agentrec.training.saved_scores import ARRAYS, SavedScores

MODELS = Registry("agentrec.models")
SCALES = ("auto", "logit", "weight")
WEIGHTS = ("popularity", "transitions")  # methods whose scores are counts or sums of counts
CELLS = 1 << 22  # scores held at once: 16 MB


@runtime_checkable
class PositionScorer(Scorer, Protocol):
    """A scorer that answers for every place of a history in one pass."""

    @property
    def reach(self) -> int:
        """Items of the longest history that it takes."""

    def score_positions(self, histories: Histories) -> FloatArray:
        """Scores of what follows each item: (R, N) float32 for R items in all."""


@dataclass(frozen=True)
class Teacher:
    """A scorer that may teach on a split.

    Attributes:
        scorer: of all items.
        weights: its scores are counts or weights, not logits.
        identity: what it is, as JSON.
    """

    scorer: Scorer
    weights: bool
    identity: JSON

    def logits(self, histories: Histories, owners: IntArray, places: IntArray) -> FloatArray:
        """Scores of every item at places of histories, from what came before.

        Args:
            histories: of all users.
            owners: (R,) int64 rows of ``histories``, rising.
            places: (R,) int64, 1 or more: only the items before are read.

        Returns:
            (R, N) float32, ``-inf`` for what has no weight.
        """
        scores = _scores(self.scorer, histories, owners, places)
        if not self.weights:
            return scores
        with np.errstate(divide="ignore"):
            logits: FloatArray = np.log(np.maximum(scores, 0))
        return logits


def open_teacher(source: str | Path | Scorer, split: Split, *, scale: str = "auto", folds: int = 0) -> Teacher:
    """Find a teacher and check that it may teach on a split.

    Args:
        source: a method of `agentrec.models` (trained here with its defaults), the folder of a trained model, a file of
            saved scores (``.npz``, ``.parquet``), or a scorer.
        split: what the generator is trained on.
        scale: auto, logit or weight: what its scores mean.
        folds: 2 or more train a method so many times, each time without some users, whom that model then teaches
            (`agentrec.training.cross_fitting`); 0 trains it once, on everybody.

    Raises:
        ArtefactError: it does not score, knows another catalogue, or was made from another split or from none it names.
        UnknownNameError: the text names nothing that exists.
        ConfigError: the scale is none of those, or folds are asked for and the source is no method.
    """
    if scale not in SCALES:
        raise ConfigError(f"scale is {scale!r}; expected {', '.join(SCALES)}")
    if folds:
        scorer: Any = _cross_fitted(str(source), split, folds)
    else:
        scorer = _open(str(source), split) if isinstance(source, str | Path) else source
    _check(scorer, split)
    method = getattr(scorer, "method", type(scorer).__name__)
    weights = method in WEIGHTS if scale == "auto" else scale == "weight"
    return Teacher(scorer, weights, {"method": method, "content": _content(scorer), "weights": weights})


def _open(source: str, split: Split) -> Any:
    path = Path(source)
    if path.suffix in (".npz", ".parquet"):
        return SavedScores.read(path)
    if path.is_dir():
        manifest = read_manifest(path)
        if manifest["room"] != "models":
            raise ArtefactError(
                f"{source} holds {manifest['room']}/{manifest['method']}, which gives no scores of all items; expected "
                f"a model of agentrec.models ({', '.join(MODELS.names())}) as the teacher"
            )
        return MODELS.load(manifest["method"]).from_pretrained(path)
    if source not in MODELS.names():
        raise UnknownNameError(
            f"the teacher {source!r} is neither a folder nor a method; expected one of {', '.join(MODELS.names())}, "
            "the folder of a trained model, or a file of saved scores (.npz, .parquet)"
        )
    from agentrec.training.cf import train_cf

    return train_cf(source, split)


def _cross_fitted(source: str, split: Split, folds: int) -> CrossFitted:
    if source not in MODELS.names():
        raise ConfigError(
            f"folds is {folds} and the teacher {source!r} is no method; expected one of {', '.join(MODELS.names())}, "
            "which can be trained once per fold, or folds 0"
        )
    from agentrec.training.cf import train_cf

    return cross_fit(lambda part: train_cf(source, part), split, folds)  # type: ignore[arg-type, return-value]


def _check(scorer: Any, split: Split) -> None:
    name = type(scorer).__name__
    if not isinstance(scorer, Scorer):
        raise ArtefactError(f"the teacher {name} has no method `score`; expected one that scores all items")
    known = getattr(scorer, "num_items", split.num_items)
    if known != split.num_items:
        raise ArtefactError(
            f"the teacher {name} knows {known} items and the catalogue has {split.num_items}; expected one that was "
            "trained on this data"
        )
    made_from = dict(getattr(scorer, "provenance", {})).get("split")
    if made_from != split.fingerprint:
        found = "does not say which split it was made from" if made_from is None else f"was made from {made_from}"
        raise ArtefactError(
            f"the teacher {name} {found}, and the generator is trained on the split {split.fingerprint}; expected the "
            "same, or it may have seen what is held out, so train it on this split (its provenance names it)"
        )


def _content(scorer: Any) -> str:
    """A hash of what the teacher knows."""
    if isinstance(scorer, CrossFitted):
        return json_hash([_content(part) for part in scorer.scorers] + [array_hash(scorer.folds)])
    if isinstance(scorer, Artefact):
        return array_hash(*(array for _, array in sorted(scorer.state()[1].items())))
    if isinstance(scorer, SavedScores):
        return array_hash(*(getattr(scorer, name) for name in ARRAYS))
    return str(dict(scorer.provenance))


def _scores(scorer: Scorer, histories: Histories, owners: IntArray, places: IntArray) -> FloatArray:
    """Scores at places: each history in one pass as far as the scorer can, prefix by prefix otherwise."""
    if not isinstance(scorer, PositionScorer):
        return scorer.score(prefixes(histories, owners, places))
    near = places <= scorer.reach
    parts, order = [], np.concatenate([np.flatnonzero(near), np.flatnonzero(~near)])
    if near.any():
        rows, mine = np.unique(owners[near], return_inverse=True)
        longest = np.zeros(len(rows), np.int64)
        np.maximum.at(longest, mine, places[near])
        read = prefixes(histories, rows, longest)
        parts.append(scorer.score_positions(read)[read.offsets[mine] + places[near] - 1])
    if not near.all():
        parts.append(scorer.score(prefixes(histories, owners[~near], places[~near])))
    found: FloatArray = np.concatenate(parts)[np.argsort(order)]
    return found


def prefixes(histories: Histories, owners: IntArray, places: IntArray) -> Histories:
    """The first ``places`` items of histories: (R,) and (R,) -> R histories."""
    offsets = np.concatenate([[0], np.cumsum(places)]).astype(np.int64)
    items = histories.items[spans(histories.offsets[:-1][owners], places)]
    return Histories(histories.users[owners], offsets, items)


def blocks(total: int, num_items: int) -> Iterator[slice]:
    """Consecutive slices of as many rows as keep scores small."""
    size = max(1, CELLS // max(1, num_items))
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
