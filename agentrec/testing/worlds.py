"""A tiny world with a planted answer: items follow each other around fixed cycles, so the next item is known.

`tiny_world` gives histories that walk along cycles of items; whoever learns "what comes after what" can be perfect,
while popularity cannot, because all items of the cycles are about equally popular. Small enough for any test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentrec.core.files import array_hash
from agentrec.core.rng import generator
from agentrec.core.types import Catalogue, HeldOut, Histories, IntArray, Recommendations
from agentrec.data.dataset import Dataset, Interactions


@dataclass(frozen=True)
class TinyWorld:
    """A split (it has what evaluation and training ask of one) whose right answers are known.

    Attributes:
        catalogue: N items with titles such as ``"cycle 2 item 3"``.
        sequences: whole histories of U users; the last item is the test target, the one before it validation's.
        next_item: (N,) int64, the item that always follows.
    """

    catalogue: Catalogue
    sequences: Histories
    next_item: IntArray

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.catalogue)

    @property
    def fingerprint(self) -> str:
        """Hash of the sequences."""
        return array_hash(self.sequences.offsets, self.sequences.items)

    @property
    def train(self) -> Histories:
        """Every history without its last two items."""
        return self._without_last(2)

    def reveal(self, part: Literal["validation", "test"]) -> HeldOut:
        """Histories and targets of a held-out part."""
        dropped = {"test": 1, "validation": 2}[part]
        targets = self.sequences.items[self.sequences.offsets[1:] - dropped]
        return HeldOut(part, self._without_last(dropped), targets)

    def oracle(self) -> CycleOracle:
        """The recommender that knows the cycles."""
        return CycleOracle(self.next_item)

    def _without_last(self, count: int) -> Histories:
        return Histories.from_lists([row[:-count].tolist() for row in self.sequences], self.sequences.users.tolist())


@dataclass(frozen=True)
class CycleOracle:
    """Recommends what follows the last item, then what follows that, around the cycle, then all other items.

    Attributes:
        next_item: (N,) int64.
    """

    next_item: IntArray

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.next_item)

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; an empty history starts before item 0."""
        items = np.full((len(histories), n), -1, np.int64)
        for row, history in enumerate(histories):
            seen = set(history.tolist()) if exclude_seen else set()
            ranked = [item for item in self._ranking(history) if item not in seen][:n]
            items[row, : len(ranked)] = ranked
        scores = np.where(items >= 0, -np.arange(n, dtype=np.float32), -np.inf).astype(np.float32)
        return Recommendations(items, scores)

    def _ranking(self, history: IntArray) -> list[int]:
        item = int(self.next_item[history[-1]]) if len(history) else 0
        ranked: dict[int, None] = {}
        while item not in ranked:
            ranked[item] = None
            item = int(self.next_item[item])
        return [*ranked, *(other for other in range(self.num_items) if other not in ranked)]


def tiny_world(*, num_cycles: int = 4, cycle_length: int = 6, num_users: int = 60, seed: int = 0) -> TinyWorld:
    """Build a world of ``num_cycles * cycle_length`` items (24) in which item i is always followed by the same item.

    Every user walks one cycle from a random start for 5 to 10 steps, so that seen items may come again; the items of a
    cycle are scattered over the indexes.

    Args:
        num_cycles: how many cycles.
        cycle_length: items per cycle.
        num_users: U.
        seed: seed of order, starts and lengths.

    Example:
        >>> world = tiny_world()
        >>> held = world.reveal("test")
        >>> all(world.next_item[row[-1]] == target for row, target in zip(held.histories, held.targets))
        True
    """
    rng = generator(seed, "tiny world")
    num_items = num_cycles * cycle_length
    cycles = rng.permutation(num_items).reshape(num_cycles, cycle_length).astype(np.int64)
    next_item = np.empty(num_items, np.int64)
    next_item[cycles] = np.roll(cycles, -1, axis=1)
    starts, lengths = rng.integers(cycle_length, size=num_users), rng.integers(5, 11, size=num_users)
    walks: list[Sequence[int]] = [
        cycles[user % num_cycles][(starts[user] + np.arange(lengths[user])) % cycle_length].tolist()
        for user in range(num_users)
    ]
    titles = [""] * num_items
    for (cycle, place), item in np.ndenumerate(cycles):
        titles[item] = f"cycle {cycle} item {place}"
    ids = tuple(f"item-{item:02d}" for item in range(num_items))
    sequences = Histories.from_lists(walks, list(range(num_users)))
    return TinyWorld(Catalogue(ids, {"title": tuple(titles)}), sequences, next_item)


def tiny_dataset() -> Dataset:
    """The sequences of `tiny_world` as a data set of its own: users ``"u0"`` and on, orders 0 and on.

    Example:
        >>> tiny_dataset().user_ids[:2]
        ['u0', 'u1']
    """
    world = tiny_world()
    lengths = world.sequences.lengths
    users = np.repeat(world.sequences.users, lengths)
    order = np.concatenate([np.arange(length) for length in lengths])
    rows = Interactions.sort(users, world.sequences.items, order)
    return Dataset("tiny", [f"u{user}" for user in range(len(lengths))], world.catalogue, rows)
