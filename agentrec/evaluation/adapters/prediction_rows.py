"""Rows of a predictions file as arrays: CSV or Parquet, one row per item or one row per user with lists.

Files are read piece by piece. Ids become indexes as they are read: each piece is dictionary-encoded, and only its
distinct ids are looked up. Nothing is judged here: what cannot be used is counted, with examples, for
`agentrec.evaluation.adapters.conformance`.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray
from agentrec.data.columns import USUAL_NAMES, find_column, plain_name
from agentrec.data.dataset import Dataset
from agentrec.data.read import DELIMITERS, delimiter_count

SUFFIXES = (".csv", ".parquet")
PIECE = 2**20  # rows of a Parquet file held at once
PIECE_OF_LISTS = 2**14
CSV_BLOCK = 2**24  # bytes
LISTS_OF_ITEMS = {f"{usual}{end}" for usual in USUAL_NAMES["item"] for end in ("", "s", "list")}

Index32 = NDArray[np.int32]
Values = NDArray[Any]


@dataclass
class Examples:
    """How often something was met, and the first three cases."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, count: int, shown: list[str]) -> None:
        """Count further cases."""
        self.count += count
        self.shown = [*self.shown, *shown][:3]


class Ids:
    """Looks ids up, piece by piece, and remembers which were met.

    Args:
        known: the ids of the data set, in index order.

    Attributes:
        met: (N,) bool, which known ids occurred.
        unknown: text -> rows, for ids that the data set lacks.
    """

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known
        self._index = pd.Index(np.array(known, dtype=object))
        self.met = np.zeros(len(known), bool)
        self.unknown: dict[str, int] = {}

    def indexes(self, column: pa.Array) -> Index32:
        """(R,) int32 indexes of a piece of a column; -1 where an id is unknown or missing."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        texts = np.array(_texts(encoded.dictionary), dtype=object)
        codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False).astype(np.int64)
        found = np.append(self._index.get_indexer(pd.Index(texts, dtype=object)), -1).astype(np.int32)
        rows = np.bincount(codes, minlength=len(texts) + 1)
        self.met[found[(found >= 0) & (rows > 0)]] = True
        for place in np.flatnonzero((found < 0) & (rows > 0)).tolist():
            text = texts[place] if place < len(texts) else ""
            self.unknown[text] = self.unknown.get(text, 0) + int(rows[place])
        return np.asarray(found[codes], np.int32)


@dataclass
class Rows:
    """P rows whose user and item are known, and what else was met.

    Attributes:
        users: (P,) int32 user indexes.
        items: (P,) int32 item indexes.
        order: (P,) float32 or float64, larger is better: the score, or minus the rank; NaN where the file has no finite
            number.
        scores: (P,) likewise, where the file has ranks and scores both.
        by_rank: ranks decide, from a column or by the place in a list.
        lists: the file has one row per user.
        total: rows of the file (of lists: entries).
        user_ids: what was met among users.
        item_ids: what was met among items.
        elsewhere: rows of users of the data set who are not evaluated; they are left out.
        bad_numbers: ranks or scores that are no finite number.
        uneven: rows whose lists of items and scores differ in length.
    """

    users: Index32
    items: Index32
    order: Values
    scores: Values | None
    by_rank: bool
    lists: bool
    total: int
    user_ids: Ids
    item_ids: Ids
    elsewhere: int
    bad_numbers: Examples
    uneven: Examples


@dataclass(frozen=True)
class _Layout:
    """Which column is what."""

    user: str
    item: str
    rank: str | None
    score: str | None
    lists: bool


def read_rows(path: Path, dataset: Dataset, users: IntArray | None = None) -> Rows:
    """Read a predictions file.

    Args:
        path: ``*.csv`` or ``*.parquet``; columns user, item, and rank or score; or, in Parquet, user, items (a list)
            and, if there are any, scores (a list).
        dataset: whose ids the file uses.
        users: (U,) int64, keep the rows of these alone.

    Raises:
        DataError: the file is missing, unreadable, or has other columns.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} ends in {path.suffix!r}; expected predictions in a .csv or .parquet file")
    with _clear(path):
        layout, pieces = _open_csv(path) if path.suffix == ".csv" else _open_parquet(path)
        return _gather(pieces, layout, dataset, users)


def _gather(pieces: Iterator[pa.RecordBatch], layout: _Layout, dataset: Dataset, users: IntArray | None) -> Rows:
    user_ids, item_ids = Ids(dataset.user_ids), Ids(dataset.catalogue.ids)
    wanted = np.zeros(dataset.num_users + 1, bool)  # the last one stands for unknown users, index -1
    wanted[np.arange(dataset.num_users) if users is None else users] = True
    bad, uneven = Examples(), Examples()
    kept: tuple[list[NDArray[Any]], ...] = ([], [], [], [])  # pieces of users, items, order and scores
    total = elsewhere = 0
    for piece in pieces:
        who = user_ids.indexes(piece.column(layout.user))
        item, order, scores, lengths = _columns(piece, layout, uneven)
        who = who if lengths is None else np.repeat(who, lengths)
        what = item_ids.indexes(item)
        numbers = [_numbers(column, total, bad) for column in (order, scores) if column is not None]
        keep = wanted[who] & (who >= 0) & (what >= 0)
        elsewhere += int(((who >= 0) & ~wanted[who]).sum())
        total += len(who)
        for pile, column in zip(kept, (who, what, *numbers), strict=False):
            pile.append(column[keep])
    by_rank, order = layout.rank is not None or layout.lists, _joined(kept[2], np.float64)
    if by_rank:
        np.negative(order, out=order)
    return Rows(
        users=_joined(kept[0], np.int32),
        items=_joined(kept[1], np.int32),
        order=order,
        scores=_joined(kept[3], np.float64) if by_rank and layout.score is not None else None,
        by_rank=by_rank,
        lists=layout.lists,
        total=total,
        user_ids=user_ids,
        item_ids=item_ids,
        elsewhere=elsewhere,
        bad_numbers=bad,
        uneven=uneven,
    )


def _joined(pieces: list[NDArray[Any]], kind: type[Any]) -> NDArray[Any]:
    """One column of all pieces, which are let go."""
    whole = np.concatenate(pieces) if pieces else np.zeros(0, kind)
    pieces.clear()
    return whole


def _columns(
    piece: pa.RecordBatch, layout: _Layout, uneven: Examples
) -> tuple[pa.Array, pa.Array, pa.Array | None, IntArray | None]:
    """Item, rank (or score) and, beside ranks, score; lists are unrolled to places as ranks, with their lengths."""
    item = piece.column(layout.item)
    score = None if layout.score is None else piece.column(layout.score)
    if not layout.lists:
        return (item, score, None, None) if layout.rank is None else (item, piece.column(layout.rank), score, None)
    lengths = pc.list_value_length(item).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    if score is not None:
        widths = pc.list_value_length(score).fill_null(0).to_numpy(zero_copy_only=False)
        differ = np.flatnonzero(widths != lengths)
        uneven.add(len(differ), [f"{lengths[row]} items and {widths[row]} scores" for row in differ[:3].tolist()])
        score = pa.array(np.zeros(int(lengths.sum()))) if len(differ) else score.flatten()
    places = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    return item.flatten(), pa.array(places.astype(np.float32)), score, lengths


def _numbers(column: pa.Array, before: int, bad: Examples) -> NDArray[Any]:
    """(R,) float32 or float64, NaN where the value is no finite number; those are counted."""
    try:
        kind = column.type if pa.types.is_float32(column.type) else pa.float64()
        found = np.asarray(column.cast(kind).to_numpy(zero_copy_only=False))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = pd.Series(np.array(_texts(column), dtype=object))
        found = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(found)
    if not finite.all():
        broken = np.flatnonzero(~finite)
        shown = [f"{column[row].as_py()!r} in data row {before + row + 1}" for row in broken[:3].tolist()]
        bad.add(len(broken), shown)
        found = np.where(finite, found, np.nan)
    return found


def _texts(column: pa.Array) -> list[str]:
    """Values as text: whole numbers as "12", missing ones as ""."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [(value or b"").decode("utf-8", "replace") for value in column.to_pylist()]
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        return ["" if value is None else str(value) for value in column.to_pylist()]
    return [value or "" for value in column.cast(pa.string()).to_pylist()]


def _open_csv(path: Path) -> tuple[_Layout, Iterator[pa.RecordBatch]]:
    delimiter = max(DELIMITERS, key=delimiter_count(path, "utf-8-sig"))
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=delimiter), [])
    layout = _layout(header, set(), path)
    used = [name for name in (layout.user, layout.item, layout.rank, layout.score) if name is not None]
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, column_names=header, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=used, column_types=dict.fromkeys(used, pa.string()), strings_can_be_null=False
        ),
    )
    return layout, iter(reader)


def _open_parquet(path: Path) -> tuple[_Layout, Iterator[pa.RecordBatch]]:
    file = pyarrow.parquet.ParquetFile(path)
    fields = {name: file.schema_arrow.field(name).type for name in file.schema_arrow.names}
    lists = {name for name, kind in fields.items() if pa.types.is_list(kind) or pa.types.is_large_list(kind)}
    layout = _layout(list(fields), lists, path)
    used = [name for name in (layout.user, layout.item, layout.rank, layout.score) if name is not None]
    return layout, file.iter_batches(PIECE_OF_LISTS if layout.lists else PIECE, columns=used)


def _layout(header: list[str], lists: set[str], path: Path) -> _Layout:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} twice; expected distinct names, so rename one")
    plain = [name for name in header if name not in lists]
    user = find_column(plain, "user", None, str(path))
    rank = next((name for name in plain if plain_name(name) == "rank"), None)
    score = next((name for name in plain if plain_name(name) in ("score", "prediction")), None)
    item = find_column(plain, "item", None, str(path))
    of_items = next((name for name in header if name in lists and plain_name(name) in LISTS_OF_ITEMS), None)
    if user is not None and of_items is not None:
        of_scores = next((name for name in header if name in lists and plain_name(name) in ("scores", "score")), None)
        return _Layout(user, of_items, None, of_scores, lists=True)
    if user is None or item is None or (rank is None and score is None):
        raise DataError(
            f"{path} has columns {', '.join(header) or 'none'}; expected user, item, and rank or score (in Parquet "
            "also user, and lists of items and scores), so rename or add one"
        )
    return _Layout(user, item, rank, score, lists=False)


@contextlib.contextmanager
def _clear(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; expected a file of predictions there, so check its name") from error
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{path} could not be read ({said}); expected a {path.suffix[1:]} table") from error
