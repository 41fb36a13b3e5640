"""From lists of item ids, as strangers answer with, to `Recommendations`: every list checked before it counts.

Python functions and services answer with ids, or ids with scores; the harness works on indexes. What cannot be meant
is refused with the list, the place and the value found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from agentrec.core.errors import RecommenderError
from agentrec.core.types import PAD, FloatArray, Histories, IntArray, Recommendations

LARGEST = float(np.finfo(np.float32).max)
Unknown = Literal["error", "drop"]


class Ranked(NamedTuple):
    """One list that is read.

    Attributes:
        items: item indexes, best first.
        scores: one per item, not increasing; minus the place (0, -1, -2 ...) where the answer gave none.
        unknown: how many ids of the answer were dropped.
    """

    items: list[int]
    scores: list[float]
    unknown: int


def read_answer(
    entries: Sequence[Any], index: Mapping[str, int], *, name: str, place: str, unknown: Unknown = "error"
) -> Ranked:
    """Read one list of ids, or of (id, score) pairs.

    Args:
        entries: ids (text or whole numbers), or pairs of an id and a score; all of one kind, best first.
        index: item id -> item index.
        name: what messages call the recommender.
        place: which list it is, for example ``"for the first history"``.
        unknown: an id that the catalogue lacks is an ``"error"``, or is ``"drop"``-ped and counted.

    Raises:
        RecommenderError: an entry is neither, an id is unknown or repeated, or a score is no number or increases.
    """
    ids, scores = [], []
    for number, entry in enumerate(entries):
        item, score = entry if isinstance(entry, (tuple, list)) and len(entry) == 2 else (entry, None)
        where = f"{name} answers {entry!r:.60} as entry {number} {place}"
        ids.append(id_text(item, f"{where}; expected an item id (text or a whole number), or a pair of id and score"))
        scores.append(None if score is None else _number(score, where))
    if any((score is None) != (scores[0] is None) for score in scores):
        raise RecommenderError(f"{name} answers some items with a score and some without {place}; expected one kind")
    known = [(index[item], item, score) for item, score in zip(ids, scores, strict=True) if item in index]
    if len(known) < len(ids) and unknown == "error":
        strange = next(item for item in ids if item not in index)
        raise RecommenderError(
            f"{name} answers the unknown item {strange!r} {place}; expected ids of the catalogue such as "
            f"{next(iter(index), '')!r}, written as there"
        )
    items = [item for item, _, _ in known]
    if len(set(items)) < len(items):
        twice = next(text for number, (item, text, _) in enumerate(known) if item in items[:number])
        raise RecommenderError(f"{name} answers the item {twice!r} more than once {place}; expected distinct items")
    found = [-float(number) if score is None else score for number, (_, _, score) in enumerate(known)]
    if any(later > earlier for earlier, later in pairwise(found)):
        raise RecommenderError(f"{name} answers scores that increase {place}; expected the best item first, so sort")
    return Ranked(items, found, len(ids) - len(known))


def id_text(value: Any, refusal: str) -> str:
    """An id as the data set writes it: text, or a whole number as text.

    Raises:
        RecommenderError: with the text of ``refusal``, where the value is neither.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value))
    raise RecommenderError(refusal)


def _number(value: Any, where: str) -> float:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (whole or isinstance(value, (float, np.floating))) or not abs(value) <= LARGEST:
        raise RecommenderError(f"{where}; expected a finite number as score, larger is better")
    return float(value)


def to_recommendations(lists: Sequence[Ranked], n: int) -> Recommendations:
    """Put lists into arrays (U, n), cut to ``n`` items or filled with -1.

    Example:
        >>> to_recommendations([Ranked([4, 2], [0.5, 0.25], 0), Ranked([], [], 0)], 3).items.tolist()
        [[4, 2, -1], [-1, -1, -1]]
    """
    items = np.full((len(lists), n), PAD, np.int64)
    scores = np.full((len(lists), n), -np.inf, np.float32)
    for row, found in enumerate(lists):
        kept = min(n, len(found.items))
        items[row, :kept] = found.items[:kept]
        scores[row, :kept] = found.scores[:kept]
    return Recommendations(items, scores)


def without_seen(answer: Recommendations, histories: Histories, num_items: int) -> Recommendations:
    """Take each user's own items out of the lists, and close the gaps.

    Args:
        answer: (U, W) lists, ``-1`` pads.
        histories: U users.
        num_items: N.
    """
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    keys = answer.items + np.arange(len(answer.items))[:, None] * num_items
    drop = (answer.items == PAD) | np.isin(keys, histories.items + rows * num_items)
    order = np.argsort(drop, axis=1, kind="stable")
    gone = np.take_along_axis(drop, order, axis=1)
    items, scores = (np.take_along_axis(array, order, axis=1) for array in answer)
    return Recommendations(np.where(gone, PAD, items), np.where(gone, np.float32(-np.inf), scores))


def cut_or_fill(items: IntArray, scores: FloatArray, n: int) -> Recommendations:
    """Lists (U, W) of any width W as lists of ``n``, filled with -1 and ``-inf``."""
    fill = ((0, 0), (0, max(0, n - items.shape[1])))
    return Recommendations(
        np.pad(items[:, :n], fill, constant_values=PAD),
        np.pad(scores[:, :n].astype(np.float32), fill, constant_values=-np.inf),
    )
