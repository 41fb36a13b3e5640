"""Predictions that somebody else made: a CSV or Parquet file of user, item and rank or score, as a recommender.

The lists are looked up by user, so only the users of the file can be served, and their histories are not read. Ids are
the data set's own, as text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from agentrec.core.errors import DataError
from agentrec.core.files import array_hash
from agentrec.core.types import JSON, PAD, FloatArray, Histories, IntArray, Recommendations
from agentrec.data.columns import find_column
from agentrec.data.dataset import Dataset

Missing = Literal["error", "miss"]


class PredictionsFile:
    """Ready-made lists as a recommender (see `read`).

    Args:
        rows: P rows, sorted by user, then best first: ``user`` and ``item`` int64 indexes, ``score`` float32.
        dataset: gives ids for messages and the number of items.
        missing: a user without rows is an ``"error"``, or a ``"miss"``: an empty list.
        provenance: what results record.
    """

    def __init__(self, rows: pd.DataFrame, dataset: Dataset, *, missing: Missing, provenance: JSON) -> None:
        self._dataset = dataset
        self._missing = missing
        self._items: IntArray = rows["item"].to_numpy(np.int64)
        self._scores: FloatArray = rows["score"].to_numpy(np.float32)
        self._offsets: IntArray = np.searchsorted(rows["user"], np.arange(dataset.num_users + 1)).astype(np.int64)
        self.provenance = provenance

    @classmethod
    def read(
        cls, path: str | Path, dataset: Dataset, *, users: IntArray | None = None, missing: Missing = "error"
    ) -> PredictionsFile:
        """Read a file with the columns user, item, and rank (smaller is better) or score (larger is better).

        Args:
            path: ``*.csv`` or ``*.parquet``.
            dataset: whose ids the file uses.
            users: (U,) int64 indexes of the users to be evaluated, all of which the file must know.
            missing: ``"error"`` refuses a file that lacks some of ``users``; ``"miss"`` counts them as missed and
                records their number in the result.

        Raises:
            DataError: a column is missing; a user or an item is unknown, an item or a rank occurs twice for a user, a
                rank or score is no number; or users are missing.
        """
        path = Path(path)
        rows = _sorted_rows(_read_table(path), dataset, path)
        who = np.unique(users) if users is not None else np.zeros(0, np.int64)
        absent = np.setdiff1d(who, rows["user"].to_numpy())
        if len(absent) and missing == "error":
            raise _missing_users(absent, len(who), dataset, str(path))
        found = {
            "file": path.name,
            "content": array_hash(*(rows[column].to_numpy() for column in ("user", "item", "score"))),
            "missing": missing,
            "missing_users": len(absent),
        }
        return cls(rows, dataset, missing=missing, provenance=found)

    @property
    def num_items(self) -> int:
        """N."""
        return self._dataset.num_items

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; lists are no longer than in the file.

        Raises:
            DataError: a user is not in the file, and ``missing`` is ``"error"``.
        """
        known = np.clip(histories.users, 0, self._dataset.num_users - 1)
        lengths = np.where(histories.users >= 0, np.diff(self._offsets)[known], 0)
        if self._missing == "error" and not lengths.all():
            raise _missing_users(histories.users[lengths == 0], len(histories), self._dataset, "the predictions file")
        place = np.arange(int(lengths.max(initial=0)))[None, :]
        real = place < lengths[:, None]
        source = np.where(real, self._offsets[known][:, None] + place, 0)
        items = np.where(real, self._items[source], PAD) if real.size else np.zeros(real.shape, np.int64)
        scores = np.where(real, self._scores[source], -np.inf) if real.size else np.zeros(real.shape, np.float32)
        if exclude_seen:
            items, scores = _without_seen(items, scores, histories, self.num_items)
        return _cut_or_fill(items, scores, n)


def _read_table(path: Path) -> pd.DataFrame:
    import pyarrow

    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path} ends in {path.suffix!r}; expected predictions in a .csv or .parquet file")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; expected a file of predictions there, so check its name") from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} could not be read ({error}); expected a {path.suffix[1:]} table") from error
    existing = [str(name) for name in table.columns]
    table.columns = pd.Index(existing)
    found = {role: find_column(existing, role, None, str(path)) for role in ("user", "item")}
    order = [name for name in existing if name.lower() in ("rank", "score")]
    if None in found.values() or not order:
        raise DataError(f"{path} has columns {', '.join(existing)}; expected user, item, and rank or score")
    columns = {"user": table[found["user"]], "item": table[found["item"]]}
    return pd.DataFrame({**columns, **{name.lower(): table[name] for name in order}})


def _sorted_rows(table: pd.DataFrame, dataset: Dataset, path: Path) -> pd.DataFrame:
    rows = pd.DataFrame({"user": _indexes(table["user"], dataset.user_ids, "user", path)})
    rows["item"] = _indexes(table["item"], dataset.catalogue.ids, "item", path)
    for name in table.columns.intersection(["rank", "score"]):
        rows[name] = _numbers(table[name], name, path)
    _refuse_repeated(rows, ["user", "item"], dataset, path)
    if "rank" in rows:
        _refuse_repeated(rows, ["user", "rank"], dataset, path)
        rows["score"] = -rows["rank"]
    rows = rows.sort_values(["user", "score", "item"], ascending=[True, False, True], kind="stable")
    return rows[["user", "item", "score"]].reset_index(drop=True)


def _indexes(column: pd.Series[Any], ids: tuple[str, ...], what: str, path: Path) -> IntArray:
    texts = column.astype(str)
    indexes = pd.Index(ids).get_indexer(pd.Index(texts)).astype(np.int64)
    unknown = texts[indexes < 0]
    if len(unknown):
        raise DataError(
            f"{path} names {unknown.nunique()} unknown {what}s, for example {unknown.iloc[0]!r}; expected {what} "
            f"ids of the data set such as {ids[0]!r}"
        )
    return indexes


def _numbers(column: pd.Series[Any], name: str, path: Path) -> pd.Series[float]:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    bad = np.flatnonzero(numbers.isna() | np.isinf(numbers))
    if len(bad):
        raise DataError(
            f"{path} has {len(bad)} {name}s that are no finite number, for example {str(column.iloc[bad[0]])!r} in "
            f"data row {bad[0] + 1}; expected a number in every row"
        )
    return numbers


def _refuse_repeated(rows: pd.DataFrame, key: list[str], dataset: Dataset, path: Path) -> None:
    repeated = rows[rows.duplicated(key)]
    if len(repeated):
        user, value = repeated[key].iloc[0]
        shown = f"item {dataset.catalogue.ids[int(value)]!r}" if key[1] == "item" else f"rank {value:g}"
        raise DataError(
            f"{path} gives user {dataset.user_ids[int(user)]!r} the {shown} twice ({len(repeated)} such rows); "
            f"expected each {key[1]} once per user"
        )


def _missing_users(absent: IntArray, total: int, dataset: Dataset, where: str) -> DataError:
    example = repr(dataset.user_ids[absent[0]]) if absent[0] >= 0 else "somebody unknown"
    return DataError(
        f"{where} has no predictions for {len(absent)} of {total} users, for example {example}; add them, or count "
        "them as missed with missing='miss' (--missing miss)"
    )


def _without_seen(items: IntArray, scores: Any, histories: Histories, num_items: int) -> tuple[IntArray, Any]:
    seen = histories.items + np.repeat(np.arange(len(histories)), histories.lengths) * num_items
    drop = (items == PAD) | np.isin(items + np.arange(len(items))[:, None] * num_items, seen)
    order = np.argsort(drop, axis=1, kind="stable")
    dropped = np.take_along_axis(drop, order, axis=1)
    items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return np.where(dropped, PAD, items), np.where(dropped, -np.inf, scores)


def _cut_or_fill(items: IntArray, scores: Any, n: int) -> Recommendations:
    fill = ((0, 0), (0, max(0, n - items.shape[1])))
    return Recommendations(
        np.pad(items[:, :n], fill, constant_values=PAD),
        np.pad(scores[:, :n].astype(np.float32), fill, constant_values=-np.inf),
    )
