"""Items withheld from a split, as if they came tomorrow: nobody has bought them, and training never meets them.

Every row of a withheld item goes, from training histories and from those of held-out users alike, since what is new has
no past. What is asked is the first purchase: `first_buyers` are the held-out users whose target is a withheld item.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError
from agentrec.core.rng import generator
from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import PARTS, Part, Split


def draw_items(num_items: int, share: float, seed: int) -> IntArray:
    """Draw a share of all items, rounded, at least one: (W,) int64, ascending.

    Raises:
        ConfigError: the share is not above 0, or leaves no item.
    """
    size = max(1, round(share * num_items)) if 0 < share < 1 else 0
    if not 0 < size < num_items:
        raise ConfigError(
            f"the share of withheld items is {share} of {num_items}; expected a number above 0 and below 1 that leaves "
            "at least one item"
        )
    drawn: IntArray = np.sort(generator(seed, "withheld items").choice(num_items, size, replace=False)).astype(np.int64)
    return drawn


def withhold(dataset: Dataset, split: Split, items: IntArray) -> Split:
    """The same split without some items: no row of theirs is left to train on, and none of them is a target.

    Held-out users keep their part; those whose target is withheld leave it, and are `first_buyers`. Users who bought
    nothing else have no history, and leave too. The catalogue stays whole, so that item numbers do.

    Args:
        dataset: of the split.
        split: stays as it is.
        items: (W,) int64, the items to withhold.

    Raises:
        ConfigError: an item is out of range.
    """
    gone = _mask(split.num_items, items)
    train = _without(split.train, gone)
    held_out = {part: _held_out(split, part, gone, lambda targets: ~gone[targets]) for part in PARTS}
    notes = {"withheld_items": int(gone.sum()), "withheld_rows": len(split.train.items) - len(train.items)}
    kept = train.take(np.flatnonzero(train.lengths))
    return Split(dataset, f"{split.method}, {int(gone.sum())} items withheld", kept, held_out, notes)


def first_buyers(split: Split, part: Part, items: IntArray) -> HeldOut:
    """Held-out users whose target is one of some items, with histories that hold none of these.

    Users whose history would be empty are left out.

    Args:
        split: the whole one.
        part: whose targets.
        items: (W,) int64.

    Raises:
        ConfigError: an item is out of range.
    """
    gone = _mask(split.num_items, items)
    return _held_out(split, part, gone, lambda targets: gone[targets])


def _held_out(
    split: Split, part: Part, gone: NDArray[np.bool_], wanted: Callable[[IntArray], NDArray[np.bool_]]
) -> HeldOut:
    held = split.reveal(part)
    histories = _without(held.histories, gone)
    rows = np.flatnonzero(wanted(held.targets) & (histories.lengths > 0))
    return HeldOut(part, histories.take(rows), held.targets[rows])


def _without(histories: Histories, gone: NDArray[np.bool_]) -> Histories:
    """The same users, without the rows of some items."""
    stays = ~gone[histories.items]
    before = np.concatenate([[0], np.cumsum(stays)]).astype(np.int64)
    return Histories(histories.users, before[histories.offsets], histories.items[stays])


def _mask(num_items: int, items: IntArray) -> NDArray[np.bool_]:
    outside = items[(items < 0) | (items >= num_items)]
    if len(outside):
        raise ConfigError(f"there is no item {int(outside[0])} to withhold; expected indexes 0 to {num_items - 1}")
    gone = np.zeros(num_items, bool)
    gone[items] = True
    return gone
