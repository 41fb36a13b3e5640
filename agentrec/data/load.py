"""One door for every kind of data: `load_dataset` looks at the source and picks the loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.files import MANIFEST
from agentrec.data.amazon import SUFFIXES as JSON_SUFFIXES
from agentrec.data.amazon import load_amazon
from agentrec.data.build import Duplicates
from agentrec.data.columns import Columns
from agentrec.data.dataset import Dataset
from agentrec.data.download import SOURCES, load_named
from agentrec.data.movielens import load_movielens, ratings_in
from agentrec.data.recbole import load_recbole
from agentrec.data.shop import Shop
from agentrec.data.table import load_table, table_in

Format = Literal["auto", "saved", "table", "recbole", "movielens", "amazon", "named", "shop"]
USES: Mapping[str, set[str]] = {  # the options that each format looks at
    "saved": set(),
    "table": {"items", "columns", "encoding", "name"},
    "recbole": {"items", "columns", "encoding", "name"},
    "movielens": {"name"},
    "amazon": {"items", "name"},
    "named": set(),
    "shop": set(),
}


def load_dataset(
    source: str | Path,
    *,
    items: str | Path | None = None,
    format: Format = "auto",
    columns: Columns | Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str | None = None,
    encoding: str = "utf-8",
    progress: bool = False,
) -> Dataset:
    """Load a data set from wherever it is.

    Args:
        source: a saved data set; a folder of ``interactions.csv`` and ``items.csv``, RecBole or MovieLens files;
            a CSV, Parquet, ``.inter`` or Amazon JSON-lines file; a name that `agentrec data names` lists; ``"shop"``.
            The text ``"shop"`` and known names win over files of that name: write ``"./shop"`` for a folder.
        items: items table or metadata, where ``source`` is a file.
        format: ``"auto"`` looks at the source.
        columns: which column is what, where names are not the usual ones.
        duplicates: ``"error"`` or ``"drop"`` rows that repeat user, item and order.
        name: of the data set; default: that of the source.
        encoding: of text tables.
        progress: show a progress bar while downloading.

    Raises:
        DataError: the source is not there or not usable.
        ConfigError: an option is unknown, or does not apply to this kind of source.
    """
    kind = recognise(source) if format == "auto" else format
    if kind not in USES:
        raise ConfigError(f"format is {format!r}; expected one of {', '.join(get_args(Format))}")
    given = {
        "items": items is not None,
        "columns": columns is not None,
        "encoding": encoding != "utf-8",
        "name": bool(name),
    }
    ignored = [option for option, is_given in given.items() if is_given and option not in USES[kind]]
    if ignored:
        raise ConfigError(
            f"{ignored[0]} is given, but {source} is read as {kind!r}, which does not use it; leave it out"
        )
    path = Path(source)
    if kind == "shop":
        return Shop.generate().dataset
    if kind == "saved":
        return Dataset.from_pretrained(path)
    if kind == "named":
        return load_named(str(source), duplicates=duplicates, progress=progress)
    if kind == "movielens":
        return load_movielens(path if path.is_dir() else path.parent, duplicates=duplicates, name=name)
    if kind == "amazon":
        return load_amazon(path, items, duplicates=duplicates, name=name)
    load = load_recbole if kind == "recbole" else load_table
    return load(path, items, columns=columns, duplicates=duplicates, name=name, encoding=encoding)


def recognise(source: str | Path) -> str:
    """Tell the format of a source: one of those of `load_dataset`.

    Raises:
        DataError: nothing is there, or it is a folder of something else.
    """
    path = Path(source)
    if source == "shop" or source in SOURCES:
        return "shop" if source == "shop" else "named"
    if path.is_dir():
        return _recognise_folder(path)
    if path.is_file():
        if path.name.endswith(JSON_SUFFIXES):
            return "amazon"
        return {".inter": "recbole", ".data": "movielens", ".dat": "movielens"}.get(path.suffix, "table")
    raise DataError(
        f"{source} does not exist; expected a file, a folder, 'shop' or one of {', '.join(SOURCES)}, so check its name"
    )


def _recognise_folder(folder: Path) -> str:
    if (folder / MANIFEST).is_file():
        return "saved"
    if any(folder.glob("*.inter")):
        return "recbole"
    if ratings_in(folder) is not None:
        return "movielens"
    if table_in(folder, "interactions") is not None:
        return "table"
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    raise DataError(
        f"{folder} holds {found or 'nothing'}; expected a saved data set, interactions.csv (or .parquet), RecBole's "
        ".inter or a MovieLens ratings file, so point to the file itself"
    )
