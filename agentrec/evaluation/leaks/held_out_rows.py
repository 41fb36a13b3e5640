"""Where a split's held-out rows lie in its data set, found again from the rows themselves.

The parts of a `Split` are item sequences. Here they are set against the rows of the data set: which row of a user is
the first held-out one, and what a history holds beyond the rows before it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import Part, Split


def held_out_starts(dataset: Dataset, split: Split, part: Part) -> IntArray:
    """Where each user's rows of a part begin: (num_users,) int64 positions; the number of rows where none is.

    By the rule of the split: the last row or the one before it, or the first row from a cut in time on. A split of
    another name is taken by its word: the last occurrence of the target.
    """
    rows = dataset.interactions
    lengths = np.bincount(rows.users, minlength=dataset.num_users).astype(np.int64)
    if split.method == "leave_one_out":
        return np.where(lengths >= 3, lengths - (1 if part == "test" else 2), lengths)
    if split.method == "global_time":
        before = rows.order < split.summary()["second_cut" if part == "test" else "first_cut"]
        return np.bincount(rows.users[before], minlength=dataset.num_users).astype(np.int64)
    starts, histories, held = lengths.copy(), dataset.histories(), split.reveal(part)
    for user, target in zip(held.histories.users.tolist(), held.targets.tolist(), strict=True):
        places = np.flatnonzero(histories[user] == target)
        starts[user] = places[-1] if len(places) else lengths[user]
    return starts


def columns(dataset: Dataset) -> tuple[IntArray, IntArray, NDArray[Any]]:
    """Users, items and order of all rows: (R,) each."""
    rows = dataset.interactions
    return rows.users, rows.items, rows.order


def row_offsets(dataset: Dataset, users: IntArray) -> tuple[IntArray, IntArray]:
    """Row number of each user's first row, and the number of rows: (U,) int64 each."""
    lengths = np.bincount(dataset.interactions.users, minlength=dataset.num_users)
    return (np.cumsum(lengths) - lengths)[users], lengths[users]


def target_rows(dataset: Dataset, split: Split, part: Part) -> tuple[HeldOut, IntArray]:
    """The held-out users whose rows of the part exist, and the row number of each one's first."""
    held = split.reveal(part)
    starts = held_out_starts(dataset, split, part)[held.histories.users]
    offsets, lengths = row_offsets(dataset, held.histories.users)
    real = np.flatnonzero(starts < lengths)
    return HeldOut(held.part, held.histories.take(real), held.targets[real]), (offsets + starts)[real]


def is_prefix(dataset: Dataset, histories: Histories, limits: IntArray) -> NDArray[np.bool_]:
    """Whether each history is the user's first ``limits`` rows: (U,) bool."""
    offsets, lengths = row_offsets(dataset, histories.users)
    exact = (histories.lengths == limits) & (limits <= lengths)
    owner = np.repeat(np.arange(len(histories)), histories.lengths)
    source = np.arange(len(histories.items)) - histories.offsets[owner] + offsets[owner]
    source = np.minimum(source, max(0, len(dataset.interactions) - 1))
    differs = histories.items != dataset.interactions.items[source]
    found: NDArray[np.bool_] = exact & (np.bincount(owner[differs], minlength=len(histories)) == 0)
    return found


def surplus_items(dataset: Dataset, histories: Histories, limits: IntArray) -> dict[int, list[int]]:
    """Row -> the items a history holds more often than the user's first ``limits`` rows do."""
    found: dict[int, list[int]] = {}
    offsets, _ = row_offsets(dataset, histories.users)
    for row in np.flatnonzero(~is_prefix(dataset, histories, limits)).tolist():
        allowed = dataset.interactions.items[offsets[row] : offsets[row] + limits[row]]
        surplus: Counter[int] = Counter(histories[row].tolist()) - Counter(allowed.tolist())
        if surplus:
            found[row] = list(surplus)
    return found
