"""A set of allowed items of one `StaticIndex`, as packed bits over its edges: nothing of the index is built twice.

The bit of an edge says whether an allowed item lies behind it; those of the last level come from the set, those above
are the OR of their children. A node that is not allowed has no allowed child, so walks of another set end here too.
States are those of the index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.errors import DataError, EmptySetError
from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import Candidates, Frontier, masked
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets import bits


@dataclass(frozen=True, eq=False)
class Subset:
    """Some items of an index; follows `agentrec.core.protocols.Constraint` and `candidates.Searchable`.

    Sets of one index combine by ``&``, ``|``, ``-`` and ``~``; a combination that holds no item is an `EmptySetError`.

    Attributes:
        index: whose items they are.
        members: (I / 8,) uint8, the bit of every item index, lowest bit first.
        bits: per level, (E_l / 8,) uint8, the bit of every edge.
        num_items: how many items are allowed.
        name: for messages.

    Example:
        >>> index = StaticIndex.build(np.array([[0, 1], [1, 0], [1, 1]]), level_sizes=(2, 2))
        >>> shoes, fresh = Subset.build(index, [0, 1], name="shoes"), Subset.build(index, [1, 2], name="fresh")
        >>> (shoes & fresh).items().tolist(), (shoes - fresh).items().tolist(), (~shoes).items().tolist()
        ([1], [0], [2])
        >>> shoes.children(1, torch.tensor([0, 1])).tolist()
        [[-1, 0], [1, -1]]
    """

    index: StaticIndex
    members: torch.Tensor
    bits: tuple[torch.Tensor, ...]
    num_items: int
    name: str

    @classmethod
    def build(
        cls, index: StaticIndex, items: NDArray[np.bool_] | IntArray | list[int], *, name: str = "allowed items"
    ) -> Subset:
        """Build from a mask, or from item indexes.

        Args:
            index: of the catalogue.
            items: (I,) bool, which items are allowed, one value for each item that the index can name; or item indexes
                in any order.
            name: for messages.

        Raises:
            EmptySetError: no item is allowed.
            DataError: the mask is too short, or an allowed item is not in the index.
        """
        members = pack_members(index, items, name)
        found = cls.of_members(index, members, name=name)
        if found.num_items < bits.count(members):
            outside = _unpack(members & ~everything(index), index)
            raise DataError(
                f"constraint set {name!r} has {int(outside.sum())} items that the index does not hold, for example "
                f"item {int(outside.argmax())}; expected items of the index, so leave them out or build it with them"
            )
        return found

    @classmethod
    def of_members(cls, index: StaticIndex, members: torch.Tensor, *, name: str = "allowed items") -> Subset:
        """Build from packed bits of items: (I / 8,) uint8 on the device of the index, as `members` has them.

        Raises:
            EmptySetError: no item of the index is allowed.
        """
        leaves = bits.gathered(members, index.items)
        count = bits.count(leaves)
        if not count:
            raise EmptySetError(
                f"constraint set {name!r} holds none of the {index.num_items} items of the index; expected at least "
                "one, so check its filter or choose another set"
            )
        levels = [leaves]
        for offsets in reversed(index.offsets[1:]):
            levels.append(bits.any_below(offsets, levels[-1]))
        return cls(index, members, tuple(reversed(levels)), count, name)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return self.index.level_sizes

    @property
    def nbytes(self) -> int:
        """Memory of the bits alone, without the index."""
        return len(self.members) + sum(map(len, self.bits))

    def items(self) -> IntArray:
        """The allowed items: (num_items,) int64, rising."""
        return np.flatnonzero(_unpack(self.members, self.index)).astype(np.int64)

    def named(self, name: str) -> Subset:
        """The same set under another name."""
        return replace(self, name=name)

    def to(self, device: torch.device | str) -> Subset:
        """The same set on a device, with its index; sets that are to share one are built on one that lies there."""
        levels = tuple(level.to(device) for level in self.bits)
        return Subset(self.index.to(device), self.members.to(device), levels, self.num_items, self.name)

    def children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Next state of every code: states (...,) int64 -> (..., K_level) int64, ``-1`` where not allowed."""
        return self._only(level, self.index.children(level, states))

    def allowed(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Which codes may follow: states (...,) int64 -> (..., K_level) bool."""
        return self.children(level, states) >= 0

    def advance(self, level: int, states: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The states behind one code each: (...,) int64 and (...,) int64 -> (...,) int64, ``-1`` where not allowed."""
        return self._only(level, self.index.advance(level, states, codes))

    def _only(self, level: int, found: torch.Tensor) -> torch.Tensor:
        """Next states with ``-1`` where the set does not go."""
        inside = bits.at(self.members if level == len(self.bits) - 1 else self.bits[level], found)
        return found.masked_fill(inside == 0, -1)

    def mask_logits(
        self, level: int, states: torch.Tensor, logits: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (..., V) with ``-inf`` everywhere but at the allowed codes; see `StaticIndex.mask_logits`."""
        return masked(logits, self.allowed(level, states), columns)

    def top_candidates(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
    ) -> Candidates:
        """See `agentrec.decoding.children.candidates.best`."""
        own = self.bits[beams.level]
        return self.index.top_candidates(beams, logprobs, k, columns=columns, barred=barred, bits=own)

    def __and__(self, other: Subset) -> Subset:
        return self._made(other, self.members & other.members, "&")

    def __or__(self, other: Subset) -> Subset:
        return self._made(other, self.members | other.members, "|")

    def __sub__(self, other: Subset) -> Subset:
        return self._made(other, self.members & ~other.members, "-")

    def __invert__(self) -> Subset:
        return Subset.of_members(self.index, everything(self.index) & ~self.members, name=f"~{self.name}")

    def _made(self, other: Subset, members: torch.Tensor, sign: str) -> Subset:
        if other.index is not self.index:
            raise DataError(
                f"constraint sets {self.name!r} and {other.name!r} belong to two indexes; expected one, so build both "
                "on the same StaticIndex object"
            )
        return Subset.of_members(self.index, members, name=f"({self.name} {sign} {other.name})")


def pack_members(index: StaticIndex, items: NDArray[np.bool_] | IntArray | list[int], name: str) -> torch.Tensor:
    """Packed bits of items from a mask or from item indexes: (I / 8,) uint8 on the device of the index.

    Raises:
        DataError: the mask is too short or too long, or an index is out of range; items that the index lacks pass.
    """
    given = np.asarray(items)
    size = universe(index)
    if given.ndim != 1 or (len(given) and given.dtype.kind not in "bui"):
        raise DataError(
            f"constraint set {name!r} is given as {given.ndim}-dimensional {given.dtype}; expected one bool per item "
            "or a list of item indexes"
        )
    if given.dtype == np.bool_ and len(given) != size:
        if len(given) < size or given[size:].any():
            raise DataError(
                f"constraint set {name!r} has a mask of {len(given)} items; expected {size}, one per item of the index"
            )
        given = given[:size]
    elif given.dtype != np.bool_:
        wrong = given[(given < 0) | (given >= size)]
        if len(wrong):
            raise DataError(f"constraint set {name!r} names item {int(wrong[0])}; expected indexes 0 to {size - 1}")
        mask = np.zeros(size, np.bool_)
        mask[given.astype(np.int64)] = True
        given = mask
    return torch.from_numpy(np.packbits(given, bitorder="little")).to(index.items.device)


def universe(index: StaticIndex) -> int:
    """I: one more than the largest item index of an index."""
    return int(index.items.max()) + 1


def everything(index: StaticIndex) -> torch.Tensor:
    """Packed bits of all items of an index."""
    return pack_members(index, index.items.cpu().numpy(), "all")


def _unpack(members: torch.Tensor, index: StaticIndex) -> NDArray[np.bool_]:
    """(I / 8,) uint8 -> (I,) bool."""
    return np.unpackbits(members.cpu().numpy(), count=universe(index), bitorder="little").astype(np.bool_)
