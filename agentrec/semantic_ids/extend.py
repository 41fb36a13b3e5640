"""New items get semantic IDs, items that are gone free theirs, and nobody else's ID changes.

New items are encoded by the quantiser that made the old codes; where they collide with these or among themselves, a
collision policy decides (`agentrec.semantic_ids.collisions`), and the old codes are not for it to give.

What a trained model makes of it: a new item inside the level sizes needs no new token; the model reads its codes as it
learnt them from items alike, and has never seen the last of them follow the others. Where the appended level grows
(``append``), it lacks tokens, and `extend` warns. A freed code that another item gets keeps, in a model trained before,
the popularity and the successors of the item that had it: keep freed codes back by ``avoid`` until the model is trained
again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agentrec.core.errors import DataError, DataWarning
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.problem import Problem
from agentrec.semantic_ids.collisions.solve import solve
from agentrec.semantic_ids.vocabulary import SIDVocabulary


def extend(
    vocabulary: SIDVocabulary,
    new: Problem,
    item_ids: Sequence[str] | None = None,
    *,
    policy: str = "next_best",
    settings: Mapping[str, Any] | None = None,
    avoid: IntArray | None = None,
) -> SIDVocabulary:
    """Add items behind the old ones, whose rows stay as they are.

    Args:
        vocabulary: M items with L levels, or L + 1 where the last tells colliding items apart.
        new: N items, their codes (N, L) by the same quantiser, and what the policy needs to know of them; its ``taken``
            is set here.
        item_ids: of the new items, where the vocabulary has ids.
        policy: a collision policy; all but ``append``, ``sinkhorn`` and ``hash`` with a level of its own stay inside
            the level sizes.
        settings: of the policy.
        avoid: (R, levels of the vocabulary) int64 further codes that nobody gets, such as freed ones.

    Returns:
        M + N items; the level sizes are the old ones, the appended level perhaps larger.

    Warns:
        DataWarning: the appended level grew, so that a trained model lacks tokens.

    Raises:
        DataError: ids are missing, too many or in use, codes do not fit the vocabulary's levels, or the policy finds no
            room.
    """
    ids = _all_ids(vocabulary, item_ids, new.num_items)
    _check_levels(vocabulary, new)
    taken = vocabulary.codes if avoid is None else np.concatenate([vocabulary.codes, np.asarray(avoid, np.int64)])
    found = solve(replace(new, taken=taken), policy, settings)
    if found.ranks.any() or found.codes.shape[1] != vocabulary.num_levels:
        raise DataError(
            f"collisions {policy!r} gives codes of {found.codes.shape[1]} levels to new items and the vocabulary has "
            f"{vocabulary.num_levels}; expected as many, so take another policy"
        )
    sizes = tuple(int(size) for size in np.maximum(vocabulary.level_sizes, found.codes.max(axis=0) + 1))
    if sizes != vocabulary.level_sizes:
        warnings.warn(
            f"the level that tells colliding items apart grew from {vocabulary.level_sizes[-1]} to {sizes[-1]} codes; "
            "a model trained on the old IDs lacks their tokens, so extend and train it, or use collisions='next_best'",
            DataWarning,
            stacklevel=2,
        )
    codes = np.concatenate([vocabulary.codes, found.codes])
    return SIDVocabulary(codes, sizes, ids).stamp(vocabulary.provenance)


def _check_levels(vocabulary: SIDVocabulary, new: Problem) -> None:
    old = vocabulary.level_sizes[: new.num_levels]
    if vocabulary.num_levels - new.num_levels not in (0, 1) or new.level_sizes != old:
        raise DataError(
            f"new codes have level sizes {list(new.level_sizes)} and the vocabulary {list(vocabulary.level_sizes)}; "
            "expected codes of the quantiser that made the vocabulary"
        )


def _all_ids(vocabulary: SIDVocabulary, item_ids: Sequence[str] | None, size: int) -> tuple[str, ...] | None:
    if vocabulary.item_ids is None and item_ids is None:
        return None
    if vocabulary.item_ids is None or item_ids is None or len(item_ids) != size:
        held = "no item ids" if vocabulary.item_ids is None else "item ids"
        given = "none" if item_ids is None else f"{len(item_ids)} item ids"
        raise DataError(
            f"the vocabulary has {held}, and {given} came with {size} new items; expected ids for all or none"
        )
    known = set(vocabulary.item_ids)
    for item in item_ids:
        if item in known:
            raise DataError(f"the new item {item!r} is in the vocabulary or given twice; expected each item once")
        known.add(item)
    return (*vocabulary.item_ids, *item_ids)


def remove(vocabulary: SIDVocabulary, items: Iterable[int]) -> SIDVocabulary:
    """Take items out and free their codes; the others keep theirs and move up.

    Args:
        vocabulary: N items.
        items: indexes of those that are gone; ``vocabulary.codes[items]`` are the codes that become free.

    Returns:
        The others, in their order, with the same level sizes.

    Raises:
        DataError: there is no such item, or none would remain.
    """
    gone = np.unique(np.fromiter(items, np.int64))
    outside = gone[(gone < 0) | (gone >= vocabulary.num_items)]
    if len(outside):
        raise DataError(
            f"there is no item {int(outside[0])} to remove; expected indexes from 0 to {vocabulary.num_items - 1}"
        )
    if len(gone) == vocabulary.num_items:
        raise DataError(f"all {vocabulary.num_items} items would be removed; expected one that remains")
    return take(vocabulary, np.setdiff1d(np.arange(vocabulary.num_items), gone))


def take(vocabulary: SIDVocabulary, items: IntArray) -> SIDVocabulary:
    """Some items in a chosen order, each with its codes: (n,) int64 indexes, without repetition."""
    ids = None if vocabulary.item_ids is None else [vocabulary.item_ids[item] for item in items.tolist()]
    return SIDVocabulary(vocabulary.codes[items], vocabulary.level_sizes, ids).stamp(vocabulary.provenance)
