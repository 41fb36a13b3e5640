"""What may be written, token by token: semantic IDs, several in one output, behind free text or at once.

A `Grammar` knows the constrained part of an output. It keeps nothing between calls: what was written is replayed, for
all rows at once, so that rows may be permuted, dropped or repeated as a beam search likes. An `Outline` puts free text
and a marker token in front, for models that think before they answer. `agentrec.decoding.hf` holds generation to an
outline, `agentrec.decoding.renormalise` scores under one.

A row that has written all it may, or that left the grammar because somebody else chose its tokens, gets the end token
and nothing else.

Rows of different prompts are held to different sets by a constraint that tells rows apart
(`agentrec.decoding.sets.mixed.PerRow`).

What it does not know: items in free text, which are text there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.protocols import Walkable


class Choice(NamedTuple):
    """The tokens that R rows may write next.

    Attributes:
        tokens: (R, C) int64 token ids.
        allowed: (R, C) bool, which of them the row may write; a token that is allowed stands once in its row.
    """

    tokens: torch.Tensor
    allowed: torch.Tensor

    def or_end(self, eos: int) -> Choice:
        """The same with one column more: the end token, allowed where nothing else is."""
        over = ~self.allowed.any(dim=1, keepdim=True)
        return Choice(
            torch.cat([self.tokens, torch.full_like(over, eos, dtype=torch.long)], dim=1),
            torch.cat([self.allowed, over], dim=1),
        )

    def mask(self, size: int) -> torch.Tensor:
        """(R, V) bool over a vocabulary of V = ``size`` tokens."""
        found = torch.zeros(len(self.tokens), size + 1, dtype=torch.bool, device=self.tokens.device)
        return found.scatter_(1, self.tokens.masked_fill(~self.allowed, size), True)[:, :size]


class Grammar(Protocol):
    """What rows may write that have all written equally many tokens of it."""

    @property
    def eos(self) -> int:
        """The token that ends an output."""

    @property
    def max_tokens(self) -> int:
        """After how many tokens nothing but the end may follow."""

    @property
    def vocabulary_size(self) -> int:
        """Largest token id in use, plus one."""

    def walk(self, tokens: torch.Tensor) -> torch.Tensor:
        """The state behind every token: (R, W) int64 -> (R, W) int64, ``-1`` from where a row left the grammar on."""

    def choices(self, tokens: torch.Tensor, reached: torch.Tensor) -> Choice:
        """What may follow tokens (R, W), given their walk; W is at most ``max_tokens``."""


@dataclass(frozen=True)
class Outline:
    """A whole output: at once what the grammar allows, or first free text up to a marker.

    The first marker counts. Before it the end token is barred, so that no output lacks its items.

    Attributes:
        grammar: of the constrained part.
        marker: token id behind which it begins; without one it begins at once.
        max_text: so many tokens of free text at most, then the marker is written; unlimited by default.
        barred: token ids that may not stand in free text besides the grammar's end token, such as a second end token.
    """

    grammar: Grammar
    marker: int | None = None
    max_text: int | None = None
    barred: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.marker is None and (self.max_text is not None or self.barred):
            raise ConfigError(
                f"max_text is {self.max_text} and barred {self.barred}, but there is no marker; expected both only "
                "with a marker, behind free text"
            )
        if self.max_text is not None and self.max_text < 0:
            raise ConfigError(f"max_text is {self.max_text}; expected 0 tokens or more")

    def begins(self, tokens: torch.Tensor) -> torch.Tensor:
        """Column of each row at which the constrained part begins: (R, W) int64 -> (R,) int64, W + 1 for not yet."""
        rows, width = tokens.shape
        if self.marker is None:
            return torch.zeros(rows, dtype=torch.long, device=tokens.device)
        columns = torch.arange(width, device=tokens.device).expand(rows, -1).masked_fill(tokens != self.marker, width)
        never = torch.full((rows, 1), width, dtype=torch.long, device=tokens.device)
        return torch.cat([columns, never], dim=1).amin(dim=1) + 1

    def text_mask(self, size: int, device: torch.device) -> torch.Tensor:
        """Which tokens may stand in free text: (V,) bool."""
        allowed = torch.ones(size, dtype=torch.bool, device=device)
        allowed[[self.grammar.eos, *self.barred]] = False
        return allowed

    def mask(self, tokens: torch.Tensor, size: int) -> torch.Tensor:
        """Which tokens may follow an output: tokens (R, W) int64 -> (R, V) bool, V = ``size``.

        Raises:
            DataError: the vocabulary is too small for the grammar's tokens.
        """
        self.fits(size)
        if self.marker is None:
            return self._grammar_mask(tokens[:, : self.grammar.max_tokens], size)
        allowed = self.text_mask(size, tokens.device).repeat(len(tokens), 1)
        if self.max_text is not None and tokens.shape[1] >= self.max_text:
            allowed[:] = False
            allowed[:, self.marker] = True
        begins = self.begins(tokens)
        written = (tokens.shape[1] - begins).clamp_max(self.grammar.max_tokens)
        for count in sorted(set(written.tolist()) - {-1}):  # all rows each time: the grammar may tell them apart
            columns = (begins[:, None] + torch.arange(count, device=tokens.device)).clamp_max(tokens.shape[1] - 1)
            found = self._grammar_mask(tokens.gather(1, columns), size)
            allowed = torch.where((written == count)[:, None], found, allowed)
        return allowed

    def _grammar_mask(self, tokens: torch.Tensor, size: int) -> torch.Tensor:
        return self.grammar.choices(tokens, self.grammar.walk(tokens)).or_end(self.grammar.eos).mask(size)

    def fits(self, size: int) -> None:
        """Refuse a vocabulary that lacks tokens of the outline.

        Raises:
            DataError: it does.
        """
        own = [self.grammar.eos, *self.barred, *([] if self.marker is None else [self.marker])]
        largest = max(self.grammar.vocabulary_size, *(token + 1 for token in own))
        if size < largest:
            raise DataError(
                f"the model scores {size} tokens and the allowed ones go up to {largest - 1}; expected a model whose "
                "embeddings were resized to its tokenizer"
            )


class ItemGrammar:
    """A fixed number of semantic IDs, one behind the other.

    Args:
        constraint: the allowed code sequences.
        token_ids: per level, (K_l,) int64 token id of each code (`SIDVocabulary.token_ids`), on the constraint's
            device.
        eos: end token, written behind the last item.
        items_per_output: S, items in one output.
        separator: token between items; none by default.
        unique: whether no item may be written twice in one output. Then a prefix is closed as soon as all items behind
            it are written.

    Raises:
        ConfigError: S is not positive, or more than the allowed items where these may not repeat.
        DataError: the levels do not fit the constraint, or two codes of a level share a token.
    """

    def __init__(
        self,
        constraint: Walkable,
        token_ids: Sequence[torch.Tensor],
        eos: int,
        *,
        items_per_output: int = 1,
        separator: int | None = None,
        unique: bool = False,
    ) -> None:
        sizes = tuple(len(ids) for ids in token_ids)
        if sizes != tuple(constraint.level_sizes):
            raise DataError(f"token ids have levels of {sizes} codes; expected those of the constraint, "
                            f"{tuple(constraint.level_sizes)}")  # fmt: skip
        if items_per_output < 1 or (unique and items_per_output > constraint.num_items):
            raise ConfigError(
                f"items_per_output is {items_per_output} with {constraint.num_items} allowed items; expected 1 or "
                "more, and no more than these if they may not repeat"
            )
        self.constraint = constraint
        self.token_ids = tuple(ids.long() for ids in token_ids)
        self.eos = eos
        self.items_per_output = items_per_output
        self.separator = separator
        self.unique = unique
        self.vocabulary_size = max([int(ids.max()) for ids in self.token_ids] + [separator or 0]) + 1
        self._code_of = torch.stack([self._table(level) for level in range(len(sizes))])
        self._period = len(sizes) + (separator is not None)

    def _table(self, level: int) -> torch.Tensor:
        """Code of every token id (V + 1,), ``-1`` for none; the last place is for ids beyond."""
        ids = self.token_ids[level]
        distinct = len(set(ids.tolist()))
        if distinct < len(ids):
            raise DataError(f"level {level} has {len(ids)} codes and {distinct} tokens; expected one per code")
        table = torch.full((self.vocabulary_size + 1,), -1, dtype=torch.long, device=ids.device)
        table[ids] = torch.arange(len(ids), device=ids.device)
        return table

    @property
    def num_levels(self) -> int:
        """L, codes per item."""
        return len(self.token_ids)

    @property
    def max_tokens(self) -> int:
        """Tokens of all items and of the separators between them."""
        return self.items_per_output * self._period - (self.separator is not None)

    def codes(self, level: int, tokens: torch.Tensor) -> torch.Tensor:
        """The codes of token ids at a level, ``-1`` for other tokens; any shape."""
        return self._code_of[level][tokens.clamp_max(self.vocabulary_size)]

    def walk(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `Grammar`; the state behind an item is the item, behind a separator 0."""
        reached = torch.full_like(tokens, -1)
        state = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        between = -1 if self.separator is None else self.separator
        for column in range(min(tokens.shape[1], self.max_tokens)):
            level = column % self._period
            if level == self.num_levels:
                after = (tokens[:, column] == between).long() - 1
            else:
                state = state if level else torch.where(state < 0, -1, 0)
                after = self.constraint.advance(level, state, self.codes(level, tokens[:, column]))
                if self.unique and level == self.num_levels - 1:
                    again = (after[:, None] == reached[:, level : column : self._period]).any(dim=1)
                    after = after.masked_fill(again, -1)
            reached[:, column] = state = after.masked_fill(state < 0, -1)
        return reached

    def choices(self, tokens: torch.Tensor, reached: torch.Tensor) -> Choice:
        """See `Grammar`."""
        rows, column = tokens.shape
        level = column % self._period
        last = reached[:, -1] if column else torch.zeros(rows, dtype=torch.long, device=tokens.device)
        alive: torch.Tensor = last >= 0
        if column >= self.max_tokens or level == self.num_levels:
            only = self.eos if column >= self.max_tokens or self.separator is None else self.separator
            return Choice(torch.full((rows, 1), only, device=tokens.device), alive[:, None])
        state = last if level else torch.where(alive, 0, -1)
        allowed = self.constraint.allowed(level, state)
        if self.unique and column >= self._period:
            allowed = allowed & ~self._closed(level, state, tokens, reached)
        return Choice(self.token_ids[level].expand(rows, -1), allowed)

    def _closed(self, level: int, state: torch.Tensor, tokens: torch.Tensor, reached: torch.Tensor) -> torch.Tensor:
        """Codes (R, K) behind which every item is written already."""
        num_items, num_levels = tokens.shape[1] // self._period, self.num_levels
        shape = (len(tokens), num_items, self._period)
        written = tokens[:, : num_items * self._period].reshape(shape)
        nodes = reached[:, : num_items * self._period].reshape(shape)
        spent = torch.ones(shape[:2], dtype=torch.bool, device=tokens.device)
        for depth in range(num_levels - 1, level, -1):
            parent, child = nodes[..., depth - 1], nodes[..., depth]
            twin = (child[:, :, None] == child[:, None, :]).tril(-1).any(dim=2)  # the same node, counted before
            inside = (parent[:, :, None] == parent[:, None, :]) & (spent & ~twin)[:, None, :]
            spent = inside.sum(dim=2) == self.constraint.allowed(depth, parent).sum(dim=2)
        here = torch.ones_like(spent) if level == 0 else nodes[..., level - 1] == state[:, None]
        size = len(self.token_ids[level])
        codes = self.codes(level, written[..., level]).masked_fill(~(here & spent), size)
        closed = torch.zeros(len(tokens), size + 1, dtype=torch.bool, device=tokens.device)
        return closed.scatter_(1, codes.masked_fill(codes < 0, size), True)[:, :size]
