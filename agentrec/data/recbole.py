"""RecBole's atomic files: ``<name>.inter`` and ``<name>.item``, tab-separated, with ``name:type`` headers.

Files of a ready-made split (``<name>.train.inter`` and so on) are read by `agentrec.data.recbole_split`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentrec.core.errors import DataError
from agentrec.data.build import Duplicates, build_dataset
from agentrec.data.columns import Columns, to_columns
from agentrec.data.dataset import Dataset
from agentrec.data.read import Table, read_csv

TYPES = ("token", "token_seq", "float", "float_seq")


def load_recbole(
    source: str | Path,
    items: str | Path | None = None,
    *,
    columns: Columns | Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Load a folder of atomic files, or one ``.inter`` file and the ``.item`` file beside it.

    Args:
        source: the folder or the ``.inter`` file.
        items: another ``.item`` file.
        columns: names without their type, where they are not the usual ones.
        duplicates: as for `build_dataset`.
        name: of the data set; default: the file's name.
        encoding: of the files.

    Raises:
        DataError: there is not exactly one ``.inter`` file, a header has no types, or `build_dataset` refuses.
    """
    source = Path(source)
    path = source if source.is_file() else _only(source)
    beside = path.with_suffix(".item")
    item_path = Path(items) if items is not None else beside if beside.is_file() else None
    item_table = None if item_path is None else read_atomic(item_path, encoding)
    table = read_atomic(path, encoding)
    return build_dataset(name or path.stem, table, item_table, columns=to_columns(columns), duplicates=duplicates)


def read_atomic(path: Path, encoding: str = "utf-8") -> Table:
    """Read one atomic file; columns lose their type.

    Raises:
        DataError: a column of the header has no type that RecBole knows.
    """
    table = read_csv(path, encoding=encoding, delimiter="\t", quoted=False)
    for column in table.columns:
        if column.rpartition(":")[2] not in TYPES or ":" not in column:
            raise DataError(
                f"{path} has the column {column!r}; expected name:type with a type of {', '.join(TYPES)}, so correct "
                "the header or load it as a plain table"
            )
    renamed = table.frame.rename(columns={column: column.rpartition(":")[0] for column in table.columns})
    return Table(renamed, table.name, table.place)


def _only(folder: Path) -> Path:
    found = sorted(folder.glob("*.inter")) if folder.is_dir() else []
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        split = any(file.name.endswith(".train.inter") for file in found)
        remedy = "read them as a ready-made split with load_recbole_split" if split else "name the file itself"
        raise DataError(f"{folder} has these .inter files: {names}; expected exactly one, so {remedy}")
    return found[0]
