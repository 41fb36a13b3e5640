"""A split that somebody else made: its parts are taken as given, and refused where they overlap.

`agentrec.data.split` decides who is held out; here that was decided elsewhere, for example by the files of a benchmark.
What can be checked is checked: indexes, one target per user and part, and that no training sequence already contains
what is held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import PARTS, Part, Split


class Benchmark(NamedTuple):
    """A data set and the split it came with."""

    dataset: Dataset
    split: Split


def given_split(
    dataset: Dataset, train: Histories, held_out: Mapping[Part, HeldOut], *, notes: Mapping[str, Any] | None = None
) -> Split:
    """Make a split of parts that are given.

    Args:
        dataset: all interactions, held-out ones included; gives ids and the number of items.
        train: what may be trained on: every user at most once.
        held_out: "validation" and "test", every user at most once in each.
        notes: what the split's summary says besides counts.

    Raises:
        DataError: a part is missing or empty, an index is out of range, a user occurs twice, or a training sequence
            contains a held-out history with its target.
    """
    for part in PARTS:
        if part not in held_out or not len(held_out[part]):
            raise DataError(f"the {part} part of {dataset.name!r} has no users; expected at least 1 in both parts")
    _check(dataset, train, "training")
    sequences = {int(user): sequence for user, sequence in zip(train.users, train, strict=True)}
    for part in PARTS:
        held = held_out[part]
        _check(dataset, held.histories, part)
        _check_items(dataset, held.targets, part)
        for user, history, target in zip(held.histories.users.tolist(), held.histories, held.targets, strict=True):
            if user in sequences and _contains(sequences[user], np.append(history, target)):
                raise DataError(
                    f"the training sequence of user {dataset.user_ids[user]!r} contains the history and the target of "
                    f"its {part} row; expected targets that are not trained on, so remove them from training"
                )
    return Split(dataset, "given", train, held_out, notes or {})


def _check(dataset: Dataset, histories: Histories, part: str) -> None:
    users = histories.users
    if len(users) and not (users.min() >= 0 and users.max() < dataset.num_users):
        raise DataError(
            f"the {part} part names user indexes from {users.min()} to {users.max()}; expected 0 to "
            f"{dataset.num_users - 1}"
        )
    values, counts = np.unique(users, return_counts=True)
    if len(values) < len(users):
        twice = dataset.user_ids[values[counts > 1][0]]
        raise DataError(f"the {part} part has user {twice!r} more than once; expected every user at most once")
    _check_items(dataset, histories.items, part)


def _check_items(dataset: Dataset, items: IntArray, part: str) -> None:
    if len(items) and not (items.min() >= 0 and items.max() < dataset.num_items):
        raise DataError(
            f"the {part} part names item indexes from {items.min()} to {items.max()}; expected 0 to "
            f"{dataset.num_items - 1}"
        )


def _contains(sequence: IntArray, part: IntArray) -> bool:
    """Whether a sequence begins with another, or has one of three or more items inside."""
    if len(part) > len(sequence):
        return False
    if np.array_equal(sequence[: len(part)], part):
        return True
    windows = np.lib.stride_tricks.sliding_window_view(sequence, len(part))
    return len(part) >= 3 and bool((windows == part).all(axis=1).any())
