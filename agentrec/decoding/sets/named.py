"""Named sets of allowed items over one index, combined per request and replaced while searches go on.

A search keeps the `Subset` that it began with; who replaces a set swaps one reference, and readers wait for nobody.

Why bits over one index, and not an index per set? ``scripts/bench_sets.py`` on one thread, 1,000,000 items, 4 levels of
256 codes, a whole search of 16 x 50 beams without the model (0.33 ms over all items):

=================  ==============  ================  ===========
share of items     build, ms       search, ms        memory, KB
.                  bits / index    bits / index      bits / index
=================  ==============  ================  ===========
50 %                 7 / 18        0.35 / 0.32       380 / 4,100
5 %                  7 / 2.4       0.47 / 0.33       380 / 690
1 %                  6 / 0.7       0.83 / 0.21       380 / 350
0.1 %                4 / 0.4       1.20 / 0.16       380 / 270
one first code       3 / 0.4       0.19 / 0.18       380 / 31
=================  ==============  ================  ===========

Bits are small whatever the set, combine in milliseconds, share one index, and cost a search about a millisecond at
most. So everything here is bits. Who holds to one small set for long is faster with ``StaticIndex.build(codes, sizes,
items)``, which stands wherever a `Subset` stands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy as shallow_copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.core.types import IntArray
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.expressions import NAME, Postfix, evaluate, names, parse
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.subset import Subset, everything

ALL = "all"
CACHED = 64  # expressions whose sets are kept
LONGEST_NAME = 100
SHOWN = 30  # names in a message


@dataclass(frozen=True)
class _State:
    """All sets at one moment; never changed but for the cache of expressions, which is theirs alone."""

    sets: Mapping[str, Subset | None]  # None for a set that may be empty and is
    cache: dict[Postfix, Subset] = field(default_factory=dict)

    def cached_without(self, name: str) -> dict[Postfix, Subset]:
        """What is known of expressions that do not name a set."""
        return {postfix: made for postfix, made in self.cache.items() if name not in postfix}


class ConstraintSets:
    """Name -> set of items of one index; ``all`` is the whole index. Safe to share between threads.

    Args:
        index: of the catalogue, on the device of the model.

    Example:
        >>> sets = ConstraintSets(StaticIndex.build(np.array([[0, 1], [1, 0], [1, 1]]), level_sizes=(2, 2)))
        >>> sets.put("in_stock", [0, 2]), sets.put("seen", [2])
        (2, 1)
        >>> sets.get("in_stock - seen").items().tolist()
        [0]
    """

    def __init__(self, index: StaticIndex) -> None:
        self.index = index
        self._everything = everything(index)
        self._lock = threading.Lock()  # of writers
        self._state = _State({ALL: Subset.of_members(index, self._everything, name=ALL)})

    def __contains__(self, name: str) -> bool:
        return name in self._state.sets

    @property
    def moment(self) -> object:
        """What the sets are now: another object after every change, the same until then."""
        return self._state

    def sizes(self) -> dict[str, int]:
        """How many items every set has, by name."""
        return {name: 0 if made is None else made.num_items for name, made in sorted(self._state.sets.items())}

    def put(
        self,
        name: str,
        items: NDArray[np.bool_] | IntArray | Sequence[int] | Subset,
        *,
        may_be_empty: bool = False,
    ) -> int:
        """Create a set, or replace it; searches that began with the old one end with it.

        Args:
            name: letters, digits and ``_ . : = /``.
            items: a mask (I,) bool, item indexes, or a subset of the same index.
            may_be_empty: keep a set without items, for expressions that subtract it; to ask for it alone, or for
                anything else that comes out empty, stays an error.

        Returns:
            How many items it has.

        Raises:
            ConfigError: the name is not one, or ``all``.
            EmptySetError: it holds no item.
            DataError: the items are not those of the index.
        """
        _check_name(name)
        made = self._made(name, items, may_be_empty)
        with self._lock:
            old = self._state
            self._state = _State({**old.sets, name: made}, old.cached_without(name))
        return 0 if made is None else made.num_items

    def _made(self, name: str, items: Any, may_be_empty: bool) -> Subset | None:
        if isinstance(items, Subset):
            if items.index is not self.index:
                raise DataError(
                    f"constraint set {name!r} is a subset of another index; expected one of the index of these sets"
                )
            return items.named(name)
        given = np.asarray(items)
        nothing = not (given.any() if given.dtype == np.bool_ else len(given))
        return None if nothing and may_be_empty else Subset.build(self.index, given, name=name)

    def remove(self, name: str) -> None:
        """Delete a set; searches that began with it end with it.

        Raises:
            UnknownNameError: no set has that name.
            ConfigError: it is ``all``.
        """
        _check_name(name)
        with self._lock:
            old = self._state
            _check_known([name], old.sets)
            left = {other: made for other, made in old.sets.items() if other != name}
            self._state = _State(left, old.cached_without(name))

    def get(self, expression: str) -> Subset:
        """The items that an expression describes now, kept until one of its sets changes.

        Args:
            expression: one name, or several with ``& | - ~`` and parentheses; see `agentrec.decoding.sets.expressions`.

        Raises:
            EmptySetError: no item is in it.
            UnknownNameError: no set has a name in it; the message lists those that exist.
            ConfigError: it is malformed.
        """
        state, postfix = self._state, parse(expression)
        _check_known(names(postfix), state.sets)
        found = state.sets[postfix[0]] if len(postfix) == 1 else state.cache.get(postfix)
        if found is not None:
            return found
        nothing = torch.zeros_like(self._everything)
        bits = {name: nothing if made is None else made.members for name, made in state.sets.items()}
        found = Subset.of_members(self.index, evaluate(postfix, bits, self._everything), name=expression.strip())
        with self._lock:
            while len(state.cache) >= CACHED:
                del state.cache[next(iter(state.cache))]
            state.cache[postfix] = found
        return found

    def rows(self, expressions: Sequence[str]) -> PerRow:
        """One constraint per batch row, from one expression each; as `get`."""
        return PerRow([self.get(expression) for expression in expressions])

    def copy(self) -> ConstraintSets:
        """The sets of now over the same index; what is put into one later is not in the other."""
        made = shallow_copy(self)
        made._lock, made._state = threading.Lock(), _State(self._state.sets)
        return made

    def save(self, folder: str | Path) -> None:
        """Write all sets but ``all`` as an artefact folder, without the index; others may read it all the while.

        Raises:
            AgentrecError: as `agentrec.decoding.sets.files.write_sets`.
        """
        from agentrec.decoding.sets.files import write_sets

        given = {name: made for name, made in self._state.sets.items() if name != ALL}
        nothing = torch.zeros_like(self._everything)
        members = {name: nothing if made is None else made.members for name, made in given.items()}
        write_sets(self.index, members, folder)

    @classmethod
    def load(cls, folder: str | Path, index: StaticIndex) -> ConstraintSets:
        """Open what `save` wrote, over the same index.

        Raises:
            ArtefactError: it is missing or damaged, holds something else, or belongs to another index.
        """
        from agentrec.decoding.sets.files import read_sets

        made = cls(index)
        for name, mask in read_sets(index, folder).items():
            made.put(name, mask, may_be_empty=True)
        return made


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"a constraint set is named {name[:LONGEST_NAME]!r}; expected up to {LONGEST_NAME} letters, digits and "
            "_ . : = /, with a letter, digit or _ first"
        )
    if name == ALL:
        raise ConfigError(f"the constraint set {ALL!r} is the whole index and stays; choose another name")


def _check_known(wanted: Iterable[str], sets: Mapping[str, Subset | None]) -> None:
    unknown = next((name for name in sorted(wanted) if name not in sets), None)
    if unknown is not None:
        known = sorted(sets)
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        raise UnknownNameError(
            f"no constraint set is named {unknown!r}; those that exist are {', '.join(known[:SHOWN])}{more}"
        )
