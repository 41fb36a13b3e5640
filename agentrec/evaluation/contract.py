"""What every recommender promises, checked on its real output before anything is scored.

A list that repeats items, invents them or is not sorted would be scored wrongly without a sign; so each batch is
checked, and the first broken promise is named with the recommender, the row and the value found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import RecommenderError
from agentrec.core.protocols import Recommender
from agentrec.core.types import PAD, Histories, Recommendations


def checked_recommend(
    recommender: Recommender, histories: Histories, n: int, *, exclude_seen: bool = False, name: str = "recommender"
) -> Recommendations:
    """Ask for recommendations and check them against the contract of `agentrec.core.protocols.Recommender`.

    Args:
        recommender: whom to ask.
        histories: U users.
        n: list length.
        exclude_seen: leave out the items of the user's own history.
        name: what messages call the recommender.

    Returns:
        The recommendations, as int64 and float32 arrays (U, n).

    Raises:
        RecommenderError: the answer has the wrong shape or type, items out of range, repeated or after padding, seen
            items that were to be left out, or scores that are NaN or increase.
    """
    answer = recommender.recommend(histories, n, exclude_seen=exclude_seen)
    items, scores = _arrays(answer, (len(histories), n), name)
    _check_items(items, recommender.num_items, name)
    _check_scores(scores, items != PAD, name)
    if exclude_seen:
        _check_seen(items, histories, recommender.num_items, name)
    return Recommendations(items, scores)


def check_size(recommender: Recommender, num_items: int, name: str) -> None:
    """Raise unless the recommender ranks the catalogue it is evaluated on.

    Raises:
        RecommenderError: its number of items differs, or it has none.
    """
    found = getattr(recommender, "num_items", None)
    if not callable(getattr(recommender, "recommend", None)) or found is None:
        raise RecommenderError(
            f"{name!r} is of type {type(recommender).__name__}; expected a recommender, an object with `num_items` "
            "and `recommend(histories, n, exclude_seen=...)`"
        )
    if found != num_items:
        raise RecommenderError(
            f"{name!r} ranks {found} items, the split has {num_items}; expected the same catalogue, so evaluate it on "
            "the data it was made from"
        )


def _arrays(answer: Any, shape: tuple[int, int], name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    try:
        items, scores = (np.asarray(part) for part in answer)
    except (TypeError, ValueError) as error:
        raise RecommenderError(
            f"{name!r} returned a {type(answer).__name__}; expected Recommendations(items, scores), two arrays {shape}"
        ) from error
    if items.shape != shape or scores.shape != shape:
        raise RecommenderError(
            f"{name!r} returned items of shape {items.shape} and scores of shape {scores.shape}; expected {shape} for "
            "both, so fill short lists with -1 and -inf"
        )
    if items.dtype.kind not in "iu" or scores.dtype.kind not in "fiu":
        raise RecommenderError(
            f"{name!r} returned items of type {items.dtype} and scores of type {scores.dtype}; expected int64, float32"
        )
    return items.astype(np.int64, copy=False), scores.astype(np.float32, copy=False)


def _check_items(items: NDArray[np.int64], num_items: int, name: str) -> None:
    if (row := _first((items < PAD) | (items >= num_items))) is not None:
        bad = next(int(item) for item in items[row] if item < PAD or item >= num_items)
        raise RecommenderError(
            f"{name!r} recommends item {bad} in row {row}; expected item indexes 0 to {num_items - 1}, or -1 as padding"
        )
    if (row := _first((items[:, :-1] == PAD) & (items[:, 1:] != PAD))) is not None:
        raise RecommenderError(f"{name!r} has an item after padding in row {row}; expected -1 only where a list ends")
    ordered = np.sort(items, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    if (row := _first(repeated)) is not None:
        item = int(ordered[row, 1:][repeated[row]][0])
        raise RecommenderError(f"{name!r} recommends item {item} more than once in row {row}; expected distinct items")


def _check_scores(scores: NDArray[np.float32], real: NDArray[np.bool_], name: str) -> None:
    if (row := _first(np.isnan(scores))) is not None:
        raise RecommenderError(f"{name!r} has a score that is NaN in row {row}; expected a number for every item")
    if (row := _first(scores[:, 1:] > scores[:, :-1])) is not None:
        raise RecommenderError(
            f"{name!r} has scores that increase along row {row}; expected the best item first, so sort by score"
        )
    if (row := _first(~real & (scores != -np.inf))) is not None:
        raise RecommenderError(f"{name!r} has a score on padding in row {row}; expected -inf where the item is -1")


def _check_seen(items: NDArray[np.int64], histories: Histories, num_items: int, name: str) -> None:
    seen = histories.items + np.repeat(np.arange(len(histories)), histories.lengths) * num_items
    found = np.isin(items + np.arange(len(items))[:, None] * num_items, seen) & (items != PAD)
    if (row := _first(found)) is not None:
        item = int(items[row][found[row]][0])
        raise RecommenderError(
            f"{name!r} recommends item {item} in row {row}, which that user has seen; expected it to be left out under "
            "exclude_seen"
        )


def _first(bad: NDArray[np.bool_]) -> int | None:
    rows = np.flatnonzero(bad.any(axis=1))
    return int(rows[0]) if len(rows) else None
