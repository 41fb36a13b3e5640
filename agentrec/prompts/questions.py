"""What a task of multi-task fine-tuning asks: columns of values for its prompts, and the answers.

A task (`agentrec.prompts.tasks`) turns the `Material`, which holds training histories and nothing else of a split, into
`Questions`: R rows as columns of indexes into tables of strings. No string is copied and no prompt is rendered here;
`agentrec.prompts.compose` does that for all rows at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue, Histories, IntArray

HEAD_SHARE = 0.2  # of the items that were chosen: the most popular ones, which no long tail holds
CATEGORY_NAMES = ("category", "categories", "genre", "genres")
NOBODY = -1


class Texts(NamedTuple):
    """One string per row, from a table: row r reads ``table[rows[r]]``.

    Attributes:
        table: strings that rows share.
        rows: (R,) int64.
    """

    table: Sequence[str]
    rows: IntArray

    def take(self, index: IntArray) -> Texts:
        """The chosen rows."""
        return Texts(self.table, self.rows[index])


class Listing(NamedTuple):
    """One list of entries per row: row r reads ``entries[starts[r] : starts[r] + lengths[r]]`` of every column.

    Attributes:
        starts: (R,) int64.
        lengths: (R,) int64.
        columns: what an entry holds, by the name the prompt uses; the texts of all entries, which rows may share.
        shrinks: leading entries may be left out where a prompt is longer than the context.
    """

    starts: IntArray
    lengths: IntArray
    columns: Mapping[str, Texts]
    shrinks: bool = False

    def take(self, index: IntArray) -> Listing:
        """The chosen rows."""
        return self._replace(starts=self.starts[index], lengths=self.lengths[index])


Field = Texts | Listing


@dataclass(frozen=True)
class Questions:
    """R prompts to be, with their answers.

    Attributes:
        fields: by the names of the prompt's variables.
        answers: what is learned.
        users: (R,) int64 user of each row as `Histories.users` counts them, ``-1`` for nobody.
        targets: (R,) int64 item that the answer names or describes, ``-1`` for none.
    """

    fields: Mapping[str, Field]
    answers: Texts
    users: IntArray
    targets: IntArray

    def __len__(self) -> int:
        return len(self.answers.rows)

    def take(self, index: IntArray) -> Questions:
        """The chosen rows, in that order."""
        fields = {name: field.take(index) for name, field in self.fields.items()}
        return Questions(fields, self.answers.take(index), self.users[index], self.targets[index])

    def shortened(self, entries: IntArray) -> Questions:
        """Without the first entries of the lists that may shrink, one entry left at least: entries (R,) int64."""
        fields = dict(self.fields)
        for name, field in fields.items():
            if isinstance(field, Listing) and field.shrinks:
                dropped = np.minimum(entries, np.maximum(field.lengths - 1, 0))
                fields[name] = field._replace(starts=field.starts + dropped, lengths=field.lengths - dropped)
        return replace(self, fields=fields)

    @property
    def spare(self) -> IntArray:
        """(R,) int64 entries that `shortened` could still leave out."""
        lengths = [field.lengths for field in self.fields.values() if isinstance(field, Listing) and field.shrinks]
        return np.maximum(np.max(lengths, axis=0) - 1, 0) if lengths else np.zeros(len(self), np.int64)

    def values(self, row: int) -> dict[str, Any]:
        """The variables of one prompt, for Jinja."""
        found: dict[str, Any] = {}
        for name, field in self.fields.items():
            if isinstance(field, Texts):
                found[name] = field.table[field.rows[row]]
                continue
            places = range(int(field.starts[row]), int(field.starts[row] + field.lengths[row]))
            columns = field.columns.items()
            found[name] = [{key: text.table[text.rows[place]] for key, text in columns} for place in places]
        return found


class Targets(NamedTuple):
    """Every training position that may be asked for.

    Attributes:
        items: (R,) int64, the item of the position.
        users: (R,) int64, whose it is.
        starts: (R,) int64, where the shown history begins in ``histories.items``.
        lengths: (R,) int64, its length, at least 1; it ends just before the position.
    """

    items: IntArray
    users: IntArray
    starts: IntArray
    lengths: IntArray

    def take(self, index: IntArray | NDArray[np.bool_]) -> Targets:
        """The chosen rows."""
        return Targets(*(column[index] for column in self))


@dataclass(frozen=True)
class Material:
    """What tasks are made of.

    Attributes:
        histories: of training, oldest item first.
        catalogue: the items and their texts.
        sids: the semantic ID of every item as text.
        max_items: latest items of a history that a prompt shows.
        targets_per_user: latest positions of a history that become targets.
    """

    histories: Histories
    catalogue: Catalogue
    sids: Sequence[str]
    max_items: int = 10
    targets_per_user: int = 5

    @cached_property
    def targets(self) -> Targets:
        """The latest positions of every history, all but its first item; users with one item have none."""
        lengths, ends = self.histories.lengths, self.histories.offsets[1:]
        counts = np.clip(lengths - 1, 0, self.targets_per_user)
        back = np.repeat(np.cumsum(counts), counts) - np.arange(int(counts.sum()))  # counts, ..., 2, 1 of each user
        positions = np.repeat(ends, counts) - back
        starts = np.maximum(np.repeat(self.histories.offsets[:-1], counts), positions - self.max_items)
        users = np.repeat(self.histories.users, counts)
        return Targets(self.histories.items[positions], users, starts, positions - starts)

    @cached_property
    def popularity(self) -> IntArray:
        """(N,) int64 how often training chose each item."""
        return np.bincount(self.histories.items, minlength=len(self.catalogue)).astype(np.int64)

    @cached_property
    def titled(self) -> IntArray:
        """Items that have a title.

        Raises:
            DataError: none has one.
        """
        titles = self.catalogue.columns.get("title", ())
        found = np.array([item for item, title in enumerate(titles) if title.strip()], np.int64)
        if not len(found):
            raise DataError(
                f"none of the {len(self.catalogue)} items has a title, which this task asks for; load an items table "
                "with a column 'title', or leave the task out"
            )
        return found

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Columns whose values items share: at most half as many different values as items that have one.

        Raises:
            DataError: there is no such column.
        """
        filled = {name: [value for value in values if value.strip()] for name, values in self.catalogue.columns.items()}
        found = [name for name, kept in filled.items() if name != "title" and 0 < 2 * len(set(kept)) <= len(kept)]
        if not found:
            raise DataError(
                f"the catalogue has the columns {', '.join(self.catalogue.columns) or 'none'}, and items share the "
                "values of none; this task needs one such as brand or category, so load it or leave the task out"
            )
        return tuple(found)

    @cached_property
    def category(self) -> str:
        """The column that tells what kind of item it is: by its name, or the one with the fewest values.

        Raises:
            DataError: there is no such column.
        """
        columns, shared = self.catalogue.columns, self.attributes
        named = [name for name in shared if name.lower() in CATEGORY_NAMES]
        return named[0] if named else min(shared, key=lambda name: len(set(columns[name])))

    def column(self, name: str) -> Sequence[str]:
        """One string per item: ``sid``, ``title`` (its id where an item has none) or a column of the catalogue."""
        if name == "sid":
            return self.sids
        return self._titles if name == "title" else self.catalogue.columns[name]

    @cached_property
    def _titles(self) -> Sequence[str]:
        return self.catalogue.titles

    def texts(self, name: str, items: IntArray) -> Texts:
        """A column read by items."""
        return Texts(self.column(name), items)

    def history(self, targets: Targets, *columns: str, **renamed: str) -> Listing:
        """What was chosen before each target, oldest first, as columns of its items.

        Args:
            targets: of this material.
            columns: shown under their own names.
            renamed: name in the prompt -> column.
        """
        names = {**{name: name for name in columns}, **renamed}
        shown = {name: self.texts(column, self.histories.items) for name, column in names.items()}
        return Listing(targets.starts, targets.lengths, shown, shrinks=True)


class Task(Protocol):
    """One kind of question. Its prompts are ``sft/<name>_system`` and ``sft/<name>_user``."""

    folder: ClassVar[Path | None]
    """Where its prompts lie; None for the prompts of this installation."""

    def questions(self, material: Material) -> Questions:
        """Every row that the material gives.

        Raises:
            DataError: the catalogue lacks what the task is about.
        """


def next_questions(material: Material, targets: Targets, history: Listing, answer: str) -> Questions:
    """Questions for what a user chooses next, answered by a column of the target."""
    return Questions({"history": history}, material.texts(answer, targets.items), targets.users, targets.items)


def item_questions(material: Material, items: IntArray, fields: Mapping[str, Field], answer: str) -> Questions:
    """Questions about items, which no user asks."""
    return Questions(fields, material.texts(answer, items), np.full(len(items), NOBODY, np.int64), items)
