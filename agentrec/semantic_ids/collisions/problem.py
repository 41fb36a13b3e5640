"""What a collision policy is told, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.groups import groups, row_keys
from agentrec.semantic_ids.residual import checked_codes


@dataclass(frozen=True, eq=False)
class Problem:
    """Items whose codes may collide, and what is known about them.

    Attributes:
        codes: (N, L) int64, as the quantiser gave them.
        level_sizes: K_l per level; by default those of the codebooks, without them the largest codes plus one.
        vectors: (N, D) float32, what the codes describe, in the space of the codebooks; for policies that weigh
            distances.
        codebooks: L arrays (K_l, D) float32, whose sum approximates a vector.
        keys: one business key per item, all different; for policies that hash them, and to break ties.
        popularity: (N,) count per item, of the training split only.
        taken: (M, L or L + 1) int64, codes that others have and keep: nobody gets them. A further column is the level
            that tells colliding items apart.

    Raises:
        DataError: parts of different lengths, codes outside their levels, or keys that repeat.
    """

    codes: IntArray
    level_sizes: tuple[int, ...] = ()
    vectors: FloatArray | None = None
    codebooks: Sequence[FloatArray] | None = None
    keys: Sequence[str] | None = None
    popularity: IntArray | None = None
    taken: IntArray | None = None

    def __post_init__(self) -> None:
        groups(self.codes)  # its shape
        books = self.codebooks
        sizes = self.level_sizes or ([len(book) for book in books] if books else self.codes.max(axis=0) + 1)
        object.__setattr__(self, "level_sizes", tuple(int(size) for size in sizes))
        if len(self.level_sizes) != self.num_levels:
            raise DataError(
                f"codes have {self.num_levels} levels and {len(self.level_sizes)} level sizes; expected as many"
            )
        object.__setattr__(self, "codes", checked_codes(self.codes, self.level_sizes))
        for name in ("vectors", "keys", "popularity"):
            found = getattr(self, name)
            if found is not None and len(found) != self.num_items:
                raise DataError(f"{len(found)} {name} were given for {self.num_items} rows of codes; expected as many")
        if self.keys is not None and len(set(self.keys)) < self.num_items:
            raise DataError(f"{self.num_items} items have {len(set(self.keys))} different keys; expected one each")
        self._check_books()
        self._check_taken()

    def _check_books(self) -> None:
        if self.codebooks is None:
            return
        if [len(book) for book in self.codebooks] != list(self.level_sizes):
            raise DataError(
                f"codebooks have {[len(book) for book in self.codebooks]} codes; expected the level sizes "
                f"{list(self.level_sizes)}"
            )
        if self.vectors is not None and any(book.shape[1] != self.vectors.shape[1] for book in self.codebooks):
            raise DataError(
                f"vectors have {self.vectors.shape[1]} dimensions and code vectors {self.codebooks[0].shape[1]}; "
                "expected as many, so pass the vectors that the quantiser clusters"
            )

    def _check_taken(self) -> None:
        if self.taken is None or not len(self.taken):
            object.__setattr__(self, "taken", None)
            return
        extra = self.taken.shape[1] - self.num_levels
        if extra not in (0, 1):
            raise DataError(
                f"codes in use have {self.taken.shape[1]} levels and new ones {self.num_levels}; expected as many, or "
                "one more that tells colliding items apart"
            )
        checked_codes(self.taken[:, : self.num_levels], self.level_sizes)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.codes)

    @property
    def num_levels(self) -> int:
        """L."""
        return int(self.codes.shape[1])

    def name(self, item: int) -> str:
        """How messages call an item: by its key, without keys by its row."""
        return f"item {item}" if self.keys is None else f"item {self.keys[item]!r}"

    @cached_property
    def blocked(self) -> IntArray:
        """Codes in use without a further level: (M, L) int64, M may be 0."""
        return np.zeros((0, self.num_levels), np.int64) if self.taken is None else self.taken[:, : self.num_levels]

    def space(self) -> tuple[FloatArray, Sequence[FloatArray]]:
        """Vectors (N, D) and codebooks, for policies that weigh distances.

        Raises:
            DataError: there are none.
        """
        if self.vectors is None or self.codebooks is None:
            missing = "vectors" if self.vectors is None else "codebooks"
            raise DataError(
                f"this collision policy weighs distances and has no {missing}; pass them, or use collisions='append'"
            )
        return self.vectors, self.codebooks

    @property
    def numbered(self) -> bool:
        """Whether the codes in use have a further level."""
        return self.taken is not None and self.taken.shape[1] > self.num_levels

    @cached_property
    def colliding(self) -> np.ndarray:
        """(N,) bool: items that share all codes with another, or have codes in use."""
        keys = row_keys(np.concatenate([self.codes, self.blocked]))
        _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        shared: np.ndarray = sizes[group.reshape(-1)[: self.num_items]] > 1
        return shared

    @cached_property
    def order(self) -> IntArray:
        """(N,) int64 place of every item where all else is equal: by key, without keys by item."""
        if self.keys is None:
            return np.arange(self.num_items)
        place = np.empty(self.num_items, np.int64)
        place[sorted(range(self.num_items), key=self.keys.__getitem__)] = np.arange(self.num_items)
        return place

    def check_room(self) -> None:
        """See that there are enough codes for all.

        Raises:
            DataError: more items than codes.
        """
        room, wanted = math.prod(self.level_sizes), self.num_items + len(np.unique(row_keys(self.blocked)))
        if wanted > room:
            raise DataError(
                f"{wanted} items do not fit into {room} codes (level sizes {list(self.level_sizes)}); expected at most "
                "as many, so take larger codebooks, more levels, or collisions='append'"
            )


class Resolved(NamedTuple):
    """What a policy answers.

    Attributes:
        codes: (N, L') int64, distinct rows unless the policy keeps collisions.
        level_sizes: K_l of the L' levels.
        ranks: (N,) int64, place among the items with the same codes; all 0 where rows are distinct.
        num_semantic: how many of the first levels say what an item is like; the others only tell items apart.
    """

    codes: IntArray
    level_sizes: tuple[int, ...]
    ranks: IntArray
    num_semantic: int


class Policy(Protocol):
    """Tells items apart that share all their codes; made from its ``Config``."""

    def resolve(self, problem: Problem) -> Resolved:
        """Give every item codes of its own; the same problem always has the same answer."""


def distinct(problem: Problem, codes: IntArray) -> Resolved:
    """The answer of a policy that stays inside the levels; 0 on a further level where the codes in use have one."""
    sizes = problem.level_sizes
    if problem.taken is not None and problem.numbered:
        codes = np.column_stack([codes, np.zeros(len(codes), np.int64)])
        sizes = (*sizes, int(problem.taken[:, -1].max()) + 1)
    return Resolved(codes.astype(np.int64), sizes, np.zeros(len(codes), np.int64), problem.num_levels)
