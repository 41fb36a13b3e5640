"""The one strict step from tables to a `Dataset`, which every loader takes.

Users are numbered in the order of their first row. Items are numbered as the items table lists them; items that occur
in interactions only follow in the order of their first row, as do all items where there is no items table.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.core.types import Catalogue, FloatArray, IntArray
from agentrec.data.columns import NO_TEXT, Columns, find_column, missing_column, need_column, plain_name
from agentrec.data.convert import index_ids, positions, ratings, shown, texts, times
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.read import Table

Duplicates = Literal["error", "drop"]


class Rows(NamedTuple):
    """R interactions in the order of their source, not yet numbered against a catalogue.

    Attributes:
        users: (R,) int64 into ``user_ids``.
        items: (R,) int64 into ``item_ids``.
        order: (R,) int64 or float64.
        ratings: (R,) float32 or None.
        user_ids: distinct, in order of first appearance.
        item_ids: likewise.
        has_timestamps: ``order`` is a time.
    """

    users: IntArray
    items: IntArray
    order: NDArray[Any]
    ratings: FloatArray | None
    user_ids: list[str]
    item_ids: list[str]
    has_timestamps: bool


def build_dataset(
    name: str,
    interactions: Table,
    items: Table | None = None,
    *,
    columns: Columns | None = None,
    duplicates: Duplicates = "error",
) -> Dataset:
    """Validate tables and number their users and items.

    Args:
        name: of the data set.
        interactions: a user, an item, and a timestamp or an order per row; a rating if there is one.
        items: an item id per row, and columns of text.
        columns: which column is what; unnamed ones are recognised by their usual names.
        duplicates: what to do with rows that repeat user, item and order: ``"error"`` or ``"drop"`` all but the first.

    Raises:
        DataError: the tables break a rule; the message names the first place.
    """
    if duplicates not in ("error", "drop"):
        raise ConfigError(f"duplicates is {duplicates!r}; expected 'error' or 'drop'")
    columns = columns or Columns()
    rows = read_rows(interactions, columns)
    keep = _distinct(rows, interactions, duplicates)
    catalogue = Catalogue((), {}) if items is None else read_items(items, columns)
    index = catalogue.index()
    extra = [item for item in rows.item_ids if item not in index]
    if extra and items is not None:
        warnings.warn(
            f"{len(extra)} of {len(rows.item_ids)} items of {interactions.name} are not in {items.name}, for example "
            f"{shown(extra[0])}; they are added without text",
            DataWarning,
            stacklevel=2,
        )
    catalogue = _extended(catalogue, extra)
    index = catalogue.index()
    numbers = np.array([index[item] for item in rows.item_ids], np.int64)
    kept_ratings = None if rows.ratings is None else rows.ratings[keep]
    ordered = Interactions.sort(
        rows.users[keep],
        numbers[rows.items[keep]],
        rows.order[keep],
        ratings=kept_ratings,
        has_timestamps=rows.has_timestamps,
    )
    return Dataset(name, rows.user_ids, catalogue, ordered)


def read_rows(table: Table, columns: Columns) -> Rows:
    """The interactions of a table.

    Raises:
        DataError: a column or a value is missing or of the wrong kind.
    """
    names = table.columns
    user = need_column(names, "user", columns.user, table.name)
    item = need_column(names, "item", columns.item, table.name)
    by_time = None if columns.order else find_column(names, "timestamp", columns.timestamp, table.name)
    by_order = None if by_time else find_column(names, "order", columns.order, table.name)
    if by_time is None and by_order is None:
        raise missing_column(names, "timestamp or order", table.name)
    rating = None if columns.rating == "" else find_column(names, "rating", columns.rating, table.name)
    roles = [column for column in (user, item, by_time, by_order, rating) if column is not None]
    if len(set(roles)) != len(roles):
        twice = next(column for column in roles if roles.count(column) > 1)
        raise DataError(f"column {twice!r} of {table.name} is named for two roles; expected one column per role")
    users, user_ids = index_ids(table, user, "user")
    items, item_ids = index_ids(table, item, "item")
    order = times(table, by_time) if by_time is not None else positions(table, str(by_order))
    stars = None if rating is None else ratings(table, rating)
    return Rows(users, items, order, stars, user_ids, item_ids, by_time is not None)


def read_items(table: Table, columns: Columns) -> Catalogue:
    """The catalogue of an items table; a column of the title's role is called ``title``.

    Raises:
        DataError: the id column is missing, an id is missing or occurs twice, or a column asked for does not exist.
    """
    id_column = need_column(table.columns, "item", columns.item, table.name)
    codes, ids = index_ids(table, id_column, "item")
    if len(ids) != len(codes):
        row = int(pd.Series(codes).duplicated().to_numpy().argmax())
        raise DataError(
            f"{table.name} has item {shown(ids[codes[row]])} again at {table.place(row)} ({len(codes) - len(ids)} such "
            "rows); expected every item once, so remove the repeated rows"
        )
    title = find_column(table.columns, "title", columns.title, table.name)
    kept = {"title": texts(table, title)} if title is not None else {}
    for column in _text_columns(table, columns, {id_column, title}):
        kept[column] = texts(table, column)
    return Catalogue(tuple(ids), {column: tuple(values) for column, values in kept.items()})


def _text_columns(table: Table, columns: Columns, taken: set[str | None]) -> list[str]:
    """Columns to keep beside the title: those asked for, else all but identifiers and links."""
    if columns.texts is None:
        return [name for name in table.columns if name not in taken | {"title"} and plain_name(name) not in NO_TEXT]
    asked = [name.strip() for name in columns.texts.split(",") if name.strip()]
    found = [need_column(table.columns, "text", name, table.name) for name in asked]
    return [name for name in dict.fromkeys(found) if name not in taken]


def _extended(catalogue: Catalogue, extra: list[str]) -> Catalogue:
    blank = ("",) * len(extra)
    return Catalogue((*catalogue.ids, *extra), {name: values + blank for name, values in catalogue.columns.items()})


def _distinct(rows: Rows, table: Table, duplicates: Duplicates) -> NDArray[np.bool_]:
    """Mask of the rows to keep: the first of those that repeat user, item and order."""
    repeated = pd.DataFrame({"user": rows.users, "item": rows.items, "order": rows.order}).duplicated().to_numpy(bool)
    if duplicates == "error" and repeated.any():
        row = int(repeated.argmax())
        raise DataError(
            f"{table.name} repeats user {shown(rows.user_ids[rows.users[row]])} with item "
            f"{shown(rows.item_ids[rows.items[row]])} at the same time at {table.place(row)} ({repeated.sum()} such "
            'rows); expected every interaction once, so remove them or pass duplicates="drop"'
        )
    return ~repeated
