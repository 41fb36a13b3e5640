"""Tokens of many prompts at once: each text is tokenised once and prompts are put together from the pieces.

A prompt is rendered once per *shape* (how many entries its lists have) with marks in the place of values. What stands
between the marks and every distinct value are pieces; a row is a run of pieces, gathered by numpy. A blank goes with
what follows it and line ends go with what they end, which is where the tokenizers of today's models cut anyway.

Whether they do is checked on `SAMPLE` rows against prompts that are rendered and tokenised whole. Where a tokenizer
joins pieces, rows are tokenised whole, with a warning: slower, and the same result that recommending computes. Prompts
that decide by a value (``{% if item.brand %}``) or change one (filters) are always tokenised whole.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from jinja2 import nodes
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError, TrainingWarning
from agentrec.core.types import IntArray
from agentrec.prompts.chat import answer_tokens, chat_text
from agentrec.prompts.files import ENVIRONMENT, Prompt
from agentrec.prompts.questions import Listing, Questions, Texts

MARK = re.compile("( ?)\ue000(\\d+)\ue001((?:\\s*[\r\n]+)?)")
PLAIN = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.For, nodes.Getattr)
SAMPLE = 64
BLOCK = 2048  # rows gathered at once, whose index arrays stay in the processor's cache

Tokens = NDArray[np.int32]


class Ragged(NamedTuple):
    """Rows of tokens, back to back.

    Attributes:
        values: (T,) int32.
        offsets: (R + 1,) int64; row r owns ``values[offsets[r]:offsets[r + 1]]``.
    """

    values: Tokens
    offsets: IntArray

    @property
    def lengths(self) -> IntArray:
        """(R,) int64 tokens per row."""
        return np.diff(self.offsets)

    def rows(self) -> list[list[int]]:
        """As lists."""
        return [self.values[start:stop].tolist() for start, stop in zip(self.offsets, self.offsets[1:], strict=False)]

    def take(self, index: IntArray) -> Ragged:
        """The chosen rows, in that order."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        source = np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths) + np.arange(int(offsets[-1]))
        return Ragged(self.values[source], offsets)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """From lists."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(np.fromiter(chain.from_iterable(rows), np.int32, int(offsets[-1])), offsets)


class Slot(NamedTuple):
    """Where a value stands in a prompt, with the white space that is tokenised with it."""

    field: str
    place: int
    column: str
    before: str
    after: str


class Pieces:
    """Texts that are tokenised once and numbered; tasks share them.

    Args:
        tokenizer: of Hugging Face.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.tokens = Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64))
        self._known: dict[str, int] = {}
        self._tables: dict[tuple[int, str, str], tuple[Sequence[str], IntArray]] = {}

    def of(self, texts: Sequence[str]) -> IntArray:
        """The numbers of texts; the new ones are tokenised in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            first = len(self._known)
            self._known.update((text, first + place) for place, text in enumerate(new))
            added = Ragged.of(answer_tokens(self.tokenizer, new))
            values = np.concatenate([self.tokens.values, added.values])
            self.tokens = Ragged(values, np.append(self.tokens.offsets, self.tokens.offsets[-1] + added.offsets[1:]))
        return np.fromiter((self._known[text] for text in texts), np.int64, len(texts))

    def of_rows(self, texts: Texts, before: str = "", after: str = "") -> IntArray:
        """The numbers of a table's rows with white space around them: (R,) int64."""
        key = (id(texts.table), before, after)
        fresh = (texts.table, np.full(len(texts.table), -1, np.int64))
        _, numbers = self._tables.setdefault(key, fresh)  # the table is kept, so that its id stays its own
        used = np.unique(texts.rows)
        missing = used[numbers[used] < 0]
        if len(missing):
            numbers[missing] = self.of([f"{before}{texts.table[row]}{after}" for row in missing.tolist()])
        return numbers[texts.rows]

    def gather(self, numbers: IntArray) -> Ragged:
        """Runs of pieces as rows of tokens: (R, S) int64 numbers."""
        lengths = self.tokens.lengths[numbers]
        offsets = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))]).astype(np.int64)
        flat = lengths.ravel()
        skipped = self.tokens.offsets[numbers.ravel()] - (np.cumsum(flat) - flat)
        return Ragged(self.tokens.values[np.repeat(skipped, flat) + np.arange(int(offsets[-1]))], offsets)


class Composer:
    """Prompts of one task as tokens.

    Args:
        system: the prompt of the system message.
        user: the prompt of the user's message.
        pieces: what is tokenised already, and the tokenizer.
    """

    def __init__(self, system: Prompt, user: Prompt, pieces: Pieces) -> None:
        self.system, self.user, self.pieces = system, user, pieces
        self._skeletons: dict[tuple[int, ...], list[str | Slot]] = {}
        self._in_pieces: bool | None = None

    @cached_property
    def plain(self) -> bool:
        """Whether neither prompt decides by a value or changes one."""
        return all(_plain(ENVIRONMENT.parse(prompt.body)) for prompt in (self.system, self.user))

    def encode(self, questions: Questions) -> Ragged:
        """The tokens of every prompt, up to the start of the answer.

        Raises:
            ConfigError: the prompts and the questions do not agree about the variables.
        """
        if self._in_pieces is None:
            self._in_pieces = self.plain and self._agree(questions)
        if not self._in_pieces:
            return self.whole(questions)
        blocks = [np.arange(start, min(start + BLOCK, len(questions))) for start in range(0, len(questions), BLOCK)]
        return concatenated([self.composed(questions.take(block)) for block in blocks])

    def composed(self, questions: Questions) -> Ragged:
        """Put together from pieces."""
        listings = {name: field for name, field in questions.fields.items() if isinstance(field, Listing)}
        lengths = [field.lengths for field in listings.values()] or [np.zeros(len(questions), np.int64)]
        shapes, which = np.unique(np.stack(lengths, axis=1), axis=0, return_inverse=True)
        parts, order = [], []
        for number, shape in enumerate(shapes.tolist()):
            rows = np.flatnonzero(which.ravel() == number)
            skeleton = self._skeleton(questions, dict(zip(listings, shape, strict=False)))
            parts.append(self.pieces.gather(self._numbers(skeleton, questions.take(rows))))
            order.append(rows)
        return concatenated(parts).take(np.argsort(np.concatenate(order))) if parts else Ragged.of([])

    def whole(self, questions: Questions) -> Ragged:
        """Rendered and tokenised row by row."""
        texts = [self.text(questions.values(row)) for row in range(len(questions))]
        return Ragged.of(answer_tokens(self.pieces.tokenizer, texts) if texts else [])

    def text(self, values: Mapping[str, Any]) -> str:
        """The chat of one row, up to the start of the answer.

        Raises:
            ConfigError: a value is one that neither prompt takes, or one is missing.
        """
        prompts = (self.system, self.user)
        unknown = sorted(set(values) - {*self.system.variables, *self.user.variables})
        if unknown:
            known = ", ".join([*self.system.variables, *self.user.variables]) or "none"
            raise ConfigError(
                f"the prompts {self.system.name!r} and {self.user.name!r} take no variable {unknown[0]!r}; the task "
                f"fills it and they declare {known}, so declare it or leave it out"
            )
        given = [{name: values[name] for name in prompt.variables if name in values} for prompt in prompts]
        system, user = (prompt.render(**known) for prompt, known in zip(prompts, given, strict=True))
        return chat_text(self.pieces.tokenizer, system, user)

    def _agree(self, questions: Questions) -> bool:
        sample = questions.take(np.unique(np.linspace(0, len(questions) - 1, SAMPLE).astype(np.int64)))
        composed, whole = self.composed(sample), self.whole(sample)
        same = bool(np.array_equal(composed.offsets, whole.offsets) and np.array_equal(composed.values, whole.values))
        if not same:
            warnings.warn(
                f"the tokenizer joins the parts of the prompt {self.user.name!r}; every row is tokenised whole, which "
                "takes longer and changes no result",
                TrainingWarning,
                stacklevel=2,
            )
        return same

    def _skeleton(self, questions: Questions, shape: Mapping[str, int]) -> list[str | Slot]:
        """The parts of a prompt whose lists have these lengths."""
        key = tuple(shape.values())
        if key not in self._skeletons:
            slots: list[tuple[str, int, str]] = []

            def mark(field: str, place: int = 0, column: str = "") -> str:
                slots.append((field, place, column))
                return f"\ue000{len(slots) - 1}\ue001"

            values: dict[str, Any] = {}
            for name, field in questions.fields.items():
                if isinstance(field, Listing):
                    places = range(shape[name])
                    values[name] = [{column: mark(name, place, column) for column in field.columns} for place in places]
                else:
                    values[name] = mark(name)
            self._skeletons[key] = _parts(self.text(values), slots)
        return self._skeletons[key]

    def _numbers(self, skeleton: Sequence[str | Slot], questions: Questions) -> IntArray:
        """Piece numbers (R, S) int64 of rows of one shape."""
        table = np.empty((len(questions), len(skeleton)), np.int64)
        for column, part in enumerate(skeleton):
            if isinstance(part, str):
                table[:, column] = self.pieces.of([part])
                continue
            field = questions.fields[part.field]
            texts = field if isinstance(field, Texts) else field.columns[part.column].take(field.starts + part.place)
            table[:, column] = self.pieces.of_rows(texts, part.before, part.after)
        return table


def concatenated(parts: Sequence[Ragged]) -> Ragged:
    """Rows of several tables, one after the other."""
    if not parts:
        return Ragged.of([])
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([part.values for part in parts]), offsets)


def _parts(text: str, slots: Sequence[tuple[str, int, str]]) -> list[str | Slot]:
    parts: list[str | Slot] = []
    end = 0
    for match in MARK.finditer(text):
        parts.append(text[end : match.start()])
        parts.append(Slot(*slots[int(match[2])], match[1], match[3]))
        end = match.end()
    return [part for part in [*parts, text[end:]] if part != ""]


def _plain(node: nodes.Node) -> bool:
    """Whether a template only writes values and walks over lists; it may ask where in a list it stands."""
    if isinstance(node, nodes.If):
        places = {name.name for name in node.test.find_all(nodes.Name)} <= {"loop"}
        return places and all(map(_plain, [*node.body, *node.elif_, *node.else_]))
    return isinstance(node, PLAIN) and all(map(_plain, node.iter_child_nodes()))
