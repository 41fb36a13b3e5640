"""What the service knows of the shop: items with texts and semantic IDs, users with histories; ids in, indexes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue, Histories, IntArray
from agentrec.decoding.sets.sources import Mask, having
from agentrec.prompts.forms import Form
from agentrec.semantic_ids.vocabulary import SIDVocabulary

SHOWN = 40  # characters of a name in a message


class MissingError(DataError):
    """An item or a user is not there."""


@dataclass(frozen=True)
class Shelf:
    """Items and users.

    Attributes:
        catalogue: N items.
        vocabulary: their semantic IDs.
        form: how histories become prompts.
        user_ids: U user ids.
        histories: of these users, row u user u.
    """

    catalogue: Catalogue
    vocabulary: SIDVocabulary
    form: Form
    user_ids: tuple[str, ...]
    histories: Histories

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Of every item."""
        return self.catalogue.titles

    @cached_property
    def _items(self) -> dict[str, int]:
        return self.catalogue.index()

    @cached_property
    def _users(self) -> dict[str, int]:
        return {user: row for row, user in enumerate(self.user_ids)}

    def warm(self) -> None:
        """Build what the first request would wait for."""
        _ = self.titles, self._items, self._users, self._blocks

    def items(self, ids: Sequence[str]) -> IntArray:
        """Item ids as indexes: (k,) int64.

        Raises:
            MissingError: the catalogue lacks one.
        """
        try:
            return np.array([self._items[item] for item in ids], np.int64)
        except KeyError as error:
            raise MissingError(
                f"item {_short(error.args[0])} is not in the catalogue; expected ids of its {len(self.catalogue)} "
                "items, so look one up with /v1/items/search"
            ) from error

    def history(self, user_id: str) -> IntArray:
        """A user's items, oldest first: (k,) int64.

        Raises:
            MissingError: there is no such user, or nothing is known of it.
        """
        row = self._users.get(user_id)
        if row is None:
            raise MissingError(
                f"user {_short(user_id)} is not in the data set; expected one of its {len(self.user_ids)} users, so "
                "give a history instead"
            )
        found = self.histories[row]
        if not len(found):
            raise MissingError(f"user {_short(user_id)} has no history; expected at least one item, so give a history")
        return found

    def having(self, column: str, values: Sequence[str]) -> Mask:
        """The items with one of some values in a column: (N,) bool.

        Raises:
            MissingError: there is no such column, or no item has a value.
        """
        try:
            return having(self.catalogue, column, values)
        except DataError as error:
            raise MissingError(str(error)) from error

    def sid(self, item: int) -> list[str]:
        """The tokens of an item."""
        return list(self.vocabulary.tokens(item))

    @cached_property
    def _blocks(self) -> list[dict[tuple[int, ...], int]]:
        """Per level, how many items have their first codes in common."""
        found: list[dict[tuple[int, ...], int]] = []
        for level in range(self.vocabulary.num_levels):
            rows, counts = np.unique(self.vocabulary.codes[:, : level + 1], axis=0, return_counts=True)
            found.append(dict(zip(map(tuple, rows.tolist()), counts.tolist(), strict=True)))
        return found

    def narrowing(self, item: int) -> list[int]:
        """Per level, how many items of the catalogue share an item's codes up to there; the last is 1."""
        codes = tuple(self.vocabulary.codes[item].tolist())
        return [blocks[codes[: level + 1]] for level, blocks in enumerate(self._blocks)]

    def nearest(self, item: int, history: IntArray) -> tuple[int, int] | None:
        """The item of a history with most leading codes in common, the latest of several, and how many these are."""
        same = self.vocabulary.codes[history] == self.vocabulary.codes[item]
        levels = np.cumprod(same, axis=1).sum(axis=1)
        if not len(levels) or not levels.max():
            return None
        row = int(np.flatnonzero(levels == levels.max())[-1])
        return int(history[row]), int(levels[row])


def _short(name: str) -> str:
    return repr(name if len(name) <= SHOWN else name[:SHOWN] + "...")
