"""Train, validation and test without leaks: held-out rows leave a `Split` only through `Split.reveal`.

Two splits: the last item of every user (`leave_one_out`, the convention of most papers), and two cuts in time
(`global_time`, honest about the future). `reveal` is the one word to search for when asking who looks at test data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.files import array_hash, json_hash
from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset, to_histories

Part = Literal["validation", "test"]
PARTS: tuple[Part, Part] = ("validation", "test")


class Split:
    """What may be trained on, and a guarded way to the rest.

    Attributes:
        name: of the data set.
        method: ``"leave_one_out"`` or ``"global_time"``.
        num_items: N.
        num_users: users of the data set, whether or not they have training rows.
        catalogue: the N items.
        user_ids: the source's user ids, in index order.
        data: ``name`` and ``fingerprint`` of the data set.
        train: every user that has training rows, oldest item first.
        fingerprint: sixteen hexadecimal digits over the data set, the method and every part.
    """

    def __init__(
        self,
        dataset: Dataset,
        method: str,
        train: Histories,
        held_out: Mapping[Part, HeldOut],
        notes: Mapping[str, Any],
    ) -> None:
        self.name = dataset.name
        self.method = method
        self.num_items = dataset.num_items
        self.num_users = dataset.num_users
        self.catalogue = dataset.catalogue
        self.user_ids = dataset.user_ids
        self.data = {"name": dataset.name, "fingerprint": dataset.fingerprint}
        self.train = train
        parts = [
            part for held in held_out.values() for part in (held.histories.users, held.histories.items, held.targets)
        ]
        digest = array_hash(train.users, train.offsets, train.items, *parts)
        self.fingerprint = json_hash([dataset.fingerprint, method, digest])
        self._notes = {
            "split": method,
            "users": dataset.num_users,
            "train_users": len(train),
            "train_rows": len(train.items),
            **{f"{part}_users": len(held) for part, held in held_out.items()},
            **notes,
        }
        self.__reveal = _vault(held_out)

    def reveal(self, part: Part) -> HeldOut:
        """Hand out held-out users: training may ask for "validation", evaluation for both.

        Raises:
            ConfigError: no such part.
        """
        return self.__reveal(part)

    def with_train(self, train: Histories) -> Split:
        """The same split with other training histories, such as those of some users; its fingerprint tells them."""
        other = copy(self)
        other.train = train
        digest = array_hash(train.users, train.offsets, train.items)
        other.fingerprint = json_hash([self.fingerprint, "train", digest])
        other._notes = {**self._notes, "train_users": len(train), "train_rows": len(train.items)}
        return other

    def summary(self) -> dict[str, Any]:
        """Counts of users and rows, those left out included; JSON-able."""
        return dict(self._notes)

    def __repr__(self) -> str:
        return (
            f"Split({self.name!r}, {self.method}, {len(self.train):,} train users, {len(self.train.items):,} train "
            f"rows, {self.num_items:,} items)"
        )


def _vault(held_out: Mapping[Part, HeldOut]) -> Callable[[Part], HeldOut]:
    """Keep held-out rows in a closure, where no attribute, repr or iteration reaches them."""
    kept = dict(held_out)

    def open_part(part: Part) -> HeldOut:
        if part not in kept:
            raise ConfigError(f"a split has no part {part!r}; expected one of {', '.join(kept)}")
        return kept[part]

    return open_part


def leave_one_out(dataset: Dataset) -> Split:
    """Hold out every user's last item for test and the one before for validation.

    The history of a test user includes the validation item. Users with fewer than three interactions keep all of them
    for training and are not evaluated.

    Raises:
        DataError: no user has three interactions.
    """
    rows = dataset.interactions
    lengths = np.bincount(rows.users, minlength=dataset.num_users)
    starts = np.cumsum(lengths) - lengths
    evaluated = np.flatnonzero(lengths >= 3)
    if len(evaluated) == 0:
        raise DataError(
            f"data set {dataset.name!r} has {dataset.num_users} users and the longest history has "
            f"{lengths.max(initial=0)} interactions; expected one user with at least 3, so add interactions"
        )
    last = starts + lengths - 1
    left = last[rows.users] - np.arange(len(rows))  # rows of the same user that follow
    long = lengths[rows.users] >= 3
    held_out: dict[Part, HeldOut] = {
        "validation": _held_out("validation", dataset, long & (left > 1), evaluated, last[evaluated] - 1),
        "test": _held_out("test", dataset, long & (left > 0), evaluated, last[evaluated]),
    }
    short = int(((lengths > 0) & (lengths < 3)).sum())
    return Split(dataset, "leave_one_out", _train(dataset, ~long | (left > 1)), held_out, {"users_too_short": short})


def global_time(dataset: Dataset, *, validation_fraction: float = 0.1, test_fraction: float = 0.1) -> Split:
    """Cut all interactions at two moments: train before the first, validate up to the second, test after it.

    The target of a held-out user is the user's first row inside the window, the history everything of the user before
    the window begins; users without such a history are left out and counted.

    Args:
        dataset: with timestamps.
        validation_fraction: about which part of all rows lies between the cuts; rows of one moment stay together.
        test_fraction: about which part lies after the second cut.

    Raises:
        DataError: there are no timestamps, or a part would be empty.
        ConfigError: the fractions leave nothing.
    """
    if not (validation_fraction > 0 and test_fraction > 0 and validation_fraction + test_fraction < 1):
        raise ConfigError(
            f"validation_fraction is {validation_fraction} and test_fraction {test_fraction}; expected two numbers "
            "above 0 that leave something of 1 for training"
        )
    rows = dataset.interactions
    if not rows.has_timestamps:
        raise DataError(
            f"data set {dataset.name!r} has an order but no timestamps; expected times that compare between "
            "users, so use leave_one_out"
        )
    cuts = _cuts(dataset, validation_fraction, test_fraction)
    windows = {"validation": (cuts.first, cuts.second), "test": (cuts.second, np.inf)}
    held_out: dict[Part, HeldOut] = {}
    notes: dict[str, Any] = {"first_cut": cuts.first, "second_cut": cuts.second}
    for part in PARTS:
        begin, end = windows[part]
        before, inside = rows.order < begin, (rows.order >= begin) & (rows.order < end)
        users, first = np.unique(rows.users[inside], return_index=True)
        known = np.isin(users, rows.users[before])
        held_out[part] = _held_out(part, dataset, before, users[known], np.flatnonzero(inside)[first[known]])
        notes |= {f"{part}_rows": int(inside.sum()), f"{part}_users_without_history": int((~known).sum())}
        if not known.any():
            raise DataError(
                f"the {part} window of data set {dataset.name!r} has {inside.sum()} interactions but no user with "
                f"an earlier one; expected at least one, so choose another {part}_fraction or use leave_one_out"
            )
    return Split(dataset, "global_time", _train(dataset, rows.order < cuts.first), held_out, notes)


class _Cuts(NamedTuple):
    first: int | float
    second: int | float


def _cuts(dataset: Dataset, validation_fraction: float, test_fraction: float) -> _Cuts:
    moments = np.sort(dataset.interactions.order)
    places = [1 - validation_fraction - test_fraction, 1 - test_fraction]
    first, second = (moments[min(round(place * len(moments)), len(moments) - 1)].item() for place in places)
    if not moments[0] < first < second:
        raise DataError(
            f"data set {dataset.name!r} has {len(np.unique(moments))} distinct times and the cuts fall on {first} "
            f"and {second}; expected times that leave rows before, between and after them, so choose other fractions "
            "or use leave_one_out"
        )
    return _Cuts(first, second)


def _train(dataset: Dataset, mask: NDArray[np.bool_]) -> Histories:
    histories = _masked(dataset, mask)
    return histories.take(np.flatnonzero(histories.lengths))


def _held_out(part: Part, dataset: Dataset, known: NDArray[np.bool_], users: IntArray, targets: IntArray) -> HeldOut:
    """Held-out users: ``known`` masks the rows of histories, ``targets`` are row numbers, one per user."""
    return HeldOut(part, _masked(dataset, known).take(users), dataset.interactions.items[targets])


def _masked(dataset: Dataset, mask: NDArray[np.bool_]) -> Histories:
    return to_histories(dataset.num_users, dataset.interactions.users[mask], dataset.interactions.items[mask])
