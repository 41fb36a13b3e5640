"""Data sets from a user's own tables: CSV or Parquet files, or pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from agentrec.data.build import Duplicates, build_dataset
from agentrec.data.columns import Columns, to_columns
from agentrec.data.dataset import Dataset
from agentrec.data.read import frame_table, read_table

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def load_table(
    interactions: str | Path,
    items: str | Path | None = None,
    *,
    columns: Columns | Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Load interactions, and items if given, from CSV or Parquet files.

    Args:
        interactions: one row per interaction: user, item, timestamp or order, rating if there is one; or a folder of
            ``interactions.csv`` and, if there is one, ``items.csv`` (or another suffix).
        items: one row per item: its id and any columns of text.
        columns: which column is what; unnamed ones are recognised by their usual names.
        duplicates: ``"error"`` or ``"drop"`` rows that repeat user, item and order.
        name: of the data set; default: the file's name, or its folder's where the file is called "interactions".
        encoding: of CSV files.

    Raises:
        DataError: a file or a value is not usable; the message names the line.
    """
    path = Path(interactions)
    if path.is_dir():
        items = table_in(path, "items") if items is None else items
        path = table_in(path, "interactions") or path / "interactions.csv"
    table = read_table(path, encoding=encoding)
    item_table = None if items is None else read_table(items, encoding=encoding)
    default = path.resolve().parent.name if path.stem == "interactions" else path.stem
    return build_dataset(name or default, table, item_table, columns=to_columns(columns), duplicates=duplicates)


def table_in(folder: Path, stem: str) -> Path | None:
    """The table of that name in a folder, whatever its suffix."""
    found = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((file for file in found if file.is_file()), None)


def from_frames(
    interactions: pd.DataFrame,
    items: pd.DataFrame | None = None,
    *,
    columns: Columns | Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str = "frame",
) -> Dataset:
    """As `load_table`, from frames in memory.

    Raises:
        DataError: a value is not usable; the message names the row, counted from 0.
    """
    item_table = None if items is None else frame_table(items, "the items frame")
    table = frame_table(interactions, "the interactions frame")
    return build_dataset(name, table, item_table, columns=to_columns(columns), duplicates=duplicates)
