"""The one owner of codes <-> tokens <-> items.

An item's semantic ID is one token per level, ``<a_12><b_3>...``: the letter is the level, the number the code
(the format of LETTER, LC-Rec and MiniOneRec index files). Every item has an ID of its own: collisions are resolved
before a vocabulary is built (`agentrec.semantic_ids.collisions`).

What it does not know: models' weights. `extend_tokenizer` and `extend_model` add the tokens to a Hugging Face
tokenizer and model and give the new rows a sensible start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, ClassVar, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact
from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.files import array_hash
from agentrec.core.types import IntArray

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKEN = re.compile(r"<([a-z])_(0|[1-9][0-9]{0,8})>")


class SIDVocabulary(Artefact):
    """Semantic IDs of a catalogue: one row of codes per item, one token per level and code.

    Args:
        codes: (N, L) int64, row i the codes of item i; rows are distinct.
        level_sizes: K_l per level; by default the largest code of each level plus one.
        item_ids: the N item ids the rows belong to, to notice a catalogue that does not match.

    Raises:
        DataError: two items share their codes or their id, or a code lies outside its level or is no integer.

    Example:
        >>> vocabulary = SIDVocabulary(np.array([[0, 1], [1, 0]]))
        >>> vocabulary.tokens(0)
        ('<a_0>', '<b_1>')
        >>> vocabulary.parse("<a_1><b_0>")
        [1]
    """

    room: ClassVar[str] = "semantic_ids"
    method: ClassVar[str] = "vocabulary"

    def __init__(
        self, codes: IntArray, level_sizes: Sequence[int] | None = None, item_ids: Sequence[str] | None = None
    ) -> None:
        table = np.asarray(codes)
        if table.ndim != 2 or table.size == 0 or not np.issubdtype(table.dtype, np.integer):
            raise DataError(
                f"codes have shape {table.shape} and type {table.dtype}; expected (N, L) integers with at least one "
                "item and one level"
            )
        self.codes: IntArray = np.ascontiguousarray(table, dtype=np.int64)
        largest = self.codes.max(axis=0) + 1
        self.level_sizes: tuple[int, ...] = tuple(int(k) for k in (largest if level_sizes is None else level_sizes))
        self.item_ids: tuple[str, ...] | None = None if item_ids is None else tuple(item_ids)
        self._check(largest)

    def _check(self, largest: IntArray) -> None:
        if self.num_levels > len(LETTERS):
            raise DataError(f"codes have {self.num_levels} levels; at most {len(LETTERS)} have a token name")
        if len(self.level_sizes) != self.num_levels or self.codes.min() < 0 or (largest > self.level_sizes).any():
            raise DataError(
                f"codes need level sizes of at least {largest.tolist()} and no negative code; level sizes are "
                f"{list(self.level_sizes)} and the smallest code is {int(self.codes.min())}"
            )
        if self.item_ids is not None and len(self.item_ids) != self.num_items:
            raise DataError(f"{len(self.item_ids)} item ids belong to {self.num_items} rows of codes; expected as many")
        if self.item_ids is not None and len(set(self.item_ids)) != self.num_items:
            twin = next(item for row, item in enumerate(self.item_ids) if self._index[item] != row)
            raise DataError(f"the item id {twin!r} is given twice; expected another for each row of codes")
        unique = len(np.unique(self.codes, axis=0))
        if unique != self.num_items:
            row = next(row for row, codes in enumerate(self.codes.tolist()) if self._item_of[tuple(codes)] != row)
            other = self._item_of[tuple(self.codes[row].tolist())]
            raise DataError(
                f"{self.num_items} items share {unique} distinct codes, {self._name(row)} and {self._name(other)} for "
                f"example {self.codes[row].tolist()}; expected one each, so resolve collisions first"
            )

    def _name(self, row: int) -> str:
        return f"item {row}" if self.item_ids is None else f"item {self.item_ids[row]!r}"

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.codes)

    @property
    def num_levels(self) -> int:
        """L, tokens per item."""
        return int(self.codes.shape[1])

    @cached_property
    def all_tokens(self) -> list[str]:
        """Every token, level by level: sum of K_l strings."""
        return [f"<{LETTERS[level]}_{code}>" for level, size in enumerate(self.level_sizes) for code in range(size)]

    @cached_property
    def level_offsets(self) -> IntArray:
        """(L,) position of each level's code 0 in `all_tokens`."""
        return np.concatenate([[0], np.cumsum(self.level_sizes)[:-1]]).astype(np.int64)

    @cached_property
    def _item_of(self) -> dict[tuple[int, ...], int]:
        return {tuple(row): item for item, row in enumerate(self.codes.tolist())}

    @cached_property
    def _index(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_ids or ())}

    @property
    def fingerprint(self) -> str:
        """A hash of codes and level sizes."""
        return array_hash(self.codes, np.array(self.level_sizes))

    def tokens(self, item: int) -> tuple[str, ...]:
        """The L tokens of one item.

        Raises:
            DataError: there is no such item.
        """
        if not 0 <= item < self.num_items:
            raise DataError(f"there is no item {item}; expected an index from 0 to {self.num_items - 1}")
        return tuple(f"<{LETTERS[level]}_{code}>" for level, code in enumerate(self.codes[item].tolist()))

    def text(self, item: int) -> str:
        """The tokens of one item as one string; raises as `tokens`."""
        return "".join(self.tokens(item))

    def item(self, codes: Sequence[int]) -> int | None:
        """The item of L codes, or None where no item has them."""
        return self._item_of.get(tuple(int(code) for code in codes))

    def items(self, codes: IntArray) -> IntArray:
        """The items of codes: (n, L) int64 -> (n,) int64.

        Raises:
            DataError: codes are no (n, L) integers, or the first row that belongs to no item.
        """
        table = np.asarray(codes)
        if table.ndim != 2 or table.shape[1] != self.num_levels or not np.issubdtype(table.dtype, np.integer):
            raise DataError(
                f"codes have shape {table.shape} and type {table.dtype}; expected (n, {self.num_levels}) integers"
            )
        found = [self._item_of.get(tuple(row), -1) for row in table.tolist()]
        if -1 in found:
            row = found.index(-1)
            raise DataError(
                f"row {row} has the codes {table[row].tolist()}, which no item has; expected codes of the "
                f"{self.num_items} items, so decode within a constraint or skip such rows by item(codes)"
            )
        return np.array(found, np.int64)

    def codes_of(self, item_ids: Sequence[str]) -> IntArray:
        """The codes of items by their ids: n ids -> (n, L) int64.

        Raises:
            DataError: these semantic IDs know no item ids, or the first id that is none of theirs.
        """
        if self.item_ids is None:
            raise DataError(f"these semantic IDs know no item ids; expected indexes from 0 to {self.num_items - 1}")
        unknown = next((item for item in item_ids if item not in self._index), None)
        if unknown is not None:
            raise DataError(
                f"item {unknown!r} has no semantic ID; expected one of the {self.num_items} items, such as "
                f"{self.item_ids[0]!r}, so extend the semantic IDs by it first"
            )
        return self.codes[[self._index[item] for item in item_ids]]

    def parse(self, text: str) -> list[int]:
        """The items whose complete semantic IDs stand in a text, in order; anything else is skipped."""
        found: list[int] = []
        run: list[int] = []
        for match in TOKEN.finditer(text):
            level, code = LETTERS.index(match[1]), int(match[2])
            run = [*run, code] if level == len(run) else [code] if level == 0 else []
            if len(run) == self.num_levels:
                item = self.item(run)
                found += [] if item is None else [item]
                run = []
        return found

    def token_ids(self, tokenizer: Any) -> list[IntArray]:
        """The tokenizer's ids of each level's codes: L arrays (K_l,) int64.

        Raises:
            ArtefactError: the tokenizer lacks a token, so it was not extended with this vocabulary.
        """
        known = tokenizer.get_vocab()
        missing = next((token for token in self.all_tokens if token not in known), None)
        if missing is not None:
            raise ArtefactError(
                f"the tokenizer has no token {missing!r}; it does not match these semantic IDs, so train with them or "
                "load the ones it was trained with"
            )
        ids = np.array([known[token] for token in self.all_tokens], dtype=np.int64)
        return np.split(ids, self.level_offsets[1:])

    def item_token_ids(self, tokenizer: Any) -> IntArray:
        """The tokenizer's ids of every item: (N, L) int64."""
        levels = self.token_ids(tokenizer)
        return np.stack([ids[self.codes[:, level]] for level, ids in enumerate(levels)], axis=1)

    def extend_tokenizer(self, tokenizer: Any) -> int:
        """Add the tokens that a tokenizer lacks; return how many were added."""
        from tokenizers import AddedToken

        # Not normalised: a tokenizer that rewrites its text (lower case, "▁" in front) still finds them inside it.
        return int(tokenizer.add_tokens([AddedToken(token, normalized=False) for token in self.all_tokens]))

    def extend_model(self, model: Any, tokenizer: Any, texts: Sequence[str] | None = None, seed: int = 0) -> None:
        """Resize a model's embeddings to its extended tokenizer and start the new rows.

        Without texts, a new row is drawn around the mean of the old rows with their standard deviation. With item
        texts, it starts at the mean embedding of the words of the items that carry the code (plus that noise, so that
        codes differ); the output head is treated likewise unless it is tied.

        Args:
            model: a Hugging Face causal language model.
            tokenizer: its tokenizer, already extended.
            texts: one text per item.
            seed: of the noise.
        """
        from agentrec.semantic_ids.embeddings import start_new_rows

        start_new_rows(self, model, tokenizer, texts, seed)

    def matches(self, item_ids: Sequence[str]) -> None:
        """Check that these are the IDs of a catalogue.

        Raises:
            ArtefactError: another number of items, or other item ids.
        """
        own = tuple(item_ids) if self.item_ids is None else self.item_ids
        if len(item_ids) == self.num_items and tuple(item_ids) == own:
            return
        other = next((item for item, mine in zip_longest(item_ids, own) if item != mine), None)
        named = "" if other is None else f", where {other!r} has another row or none"
        raise ArtefactError(
            f"the semantic IDs belong to another catalogue ({self.num_items} items against {len(item_ids)}{named}); "
            "fit or import them for this data, or extend them"
        )

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        config = {"level_sizes": list(self.level_sizes), "item_ids": self.item_ids and list(self.item_ids)}
        return config, {"codes": self.codes}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`."""
        return cls(arrays["codes"], config["level_sizes"], config["item_ids"])
