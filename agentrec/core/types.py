"""The arrays that travel between rooms: histories, held-out targets, recommendations, the catalogue.

Items are indexes ``0..N-1`` into the catalogue, users are indexes into the data set's user list; ``-1`` pads. Strings
appear only at the borders (loading, printing).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]

PAD = -1
ANONYMOUS = -1


@dataclass(frozen=True)
class Histories:
    """Item sequences of U users, oldest item first, stored back to back.

    Attributes:
        users: (U,) int64, index of the user in the data set, ``-1`` for somebody unknown.
        offsets: (U + 1,) int64; user row ``u`` owns ``items[offsets[u]:offsets[u + 1]]``.
        items: (R,) int64, item indexes ``0..N-1``.

    Example:
        >>> histories = Histories.from_lists([[3, 1], [2]])
        >>> histories.padded(3).tolist()
        [[-1, 3, 1], [-1, -1, 2]]
    """

    users: IntArray
    offsets: IntArray
    items: IntArray

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.users) + 1 or int(self.offsets[-1]) != len(self.items):
            raise DataError(
                f"histories have {len(self.users)} users, {len(self.offsets)} offsets ending at "
                f"{int(self.offsets[-1])} and {len(self.items)} items; expected one offset more than users, "
                "the last equal to the number of items"
            )

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]], users: Sequence[int] | None = None) -> Histories:
        """Build from one list of item indexes per user; without ``users`` everybody is anonymous."""
        rows = [np.asarray(row, dtype=np.int64) for row in lists]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
        items = np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64)
        who = np.full(len(rows), ANONYMOUS, np.int64) if users is None else np.asarray(users, np.int64)
        return cls(who, offsets, items)

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, row: int) -> IntArray:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} histories")
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[IntArray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> IntArray:
        """(U,) int64 number of items per user."""
        return np.diff(self.offsets)

    def take(self, rows: IntArray | slice) -> Histories:
        """The chosen rows, in that order."""
        index = np.arange(len(self))[rows]
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
        return Histories(self.users[index], offsets, self.items[np.repeat(self.offsets[:-1][index], lengths) + within])

    def batches(self, size: int) -> Iterator[Histories]:
        """Consecutive slices of at most ``size`` users."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def padded(self, length: int, pad: int = PAD) -> IntArray:
        """The last ``length`` items of each user, padded on the left: (U, length) int64."""
        kept = np.minimum(self.lengths, length)
        columns = np.arange(length)[None, :] - (length - kept)[:, None]
        source = (self.offsets[1:] - kept)[:, None] + columns
        table = np.full((len(self), length), pad, np.int64)
        mask = columns >= 0
        table[mask] = self.items[source[mask]]
        return table


@dataclass(frozen=True)
class HeldOut:
    """What evaluation asks a split for: histories up to a moment, and the item that came next.

    Attributes:
        part: ``"validation"`` or ``"test"``.
        histories: U users, everything known before the target.
        targets: (U,) int64 item index per user.
    """

    part: Literal["validation", "test"]
    histories: Histories
    targets: IntArray

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, size: int, seed: int) -> HeldOut:
        """At most ``size`` users, drawn without replacement, in their original order."""
        if size >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), size, replace=False))
        return HeldOut(self.part, self.histories.take(rows), self.targets[rows])


class Recommendations(NamedTuple):
    """Ranked items, best first.

    Attributes:
        items: (U, n) int64 item indexes; rows with fewer than n items end in ``-1``.
        scores: (U, n) float32, not increasing along a row; ``-inf`` where ``items`` is ``-1``.
    """

    items: IntArray
    scores: FloatArray


@dataclass(frozen=True)
class Catalogue:
    """The N items and their texts.

    Attributes:
        ids: the user's own item ids, in index order.
        columns: text columns by name, each one string per item (empty where unknown).
    """

    ids: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            if len(values) != len(self.ids):
                raise DataError(
                    f"item column {name!r} has {len(values)} values for {len(self.ids)} items; expected one per item"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def titles(self) -> tuple[str, ...]:
        """The title of every item; the item's id where it has none."""
        known = self.columns.get("title", ("",) * len(self))
        return tuple(title or item for title, item in zip(known, self.ids, strict=True))

    def texts(self, columns: Sequence[str] | None = None) -> list[str]:
        """Text columns of each item joined into one string; empty where an item has none.

        Args:
            columns: names of the columns, all by default.

        Raises:
            DataError: there is no such column.
        """
        unknown = next((name for name in columns or () if name not in self.columns), None)
        if unknown is not None:
            raise DataError(f"items have no text column {unknown!r}; those that exist are {', '.join(self.columns)}")
        chosen = list(self.columns if columns is None else columns)
        if not chosen:
            return [""] * len(self)
        rows = zip(*(self.columns[name] for name in chosen), strict=True)
        return [". ".join(part for part in row if part) for row in rows]

    def take(self, items: IntArray) -> Catalogue:
        """The chosen items with their texts, in that order: (n,) int64 indexes."""
        rows = items.tolist()
        columns = {name: tuple(values[row] for row in rows) for name, values in self.columns.items()}
        return Catalogue(tuple(self.ids[row] for row in rows), columns)

    def index(self) -> dict[str, int]:
        """Item id -> item index."""
        return {item: position for position, item in enumerate(self.ids)}


JSON = dict[str, Any]
