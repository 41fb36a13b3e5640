"""One door for every kind of data: `load_dataset` looks at the source and picks the loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentrec.core.artefact import MANIFEST
from agentrec.core.errors import DataError
from agentrec.data.build import Duplicates
from agentrec.data.columns import Columns
from agentrec.data.dataset import Dataset
from agentrec.data.table import load_table, load_table_folder


def load_dataset(
    source: str | Path,
    *,
    items: str | Path | None = None,
    columns: Columns | Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Load a data set from wherever it is."""
    if str(source) == "shop":
        from agentrec.data.shop import Shop, ShopConfig

        return Shop.generate(ShopConfig()).dataset
    path = Path(source)
    if path.is_dir():
        if (path / MANIFEST).is_file():
            return Dataset.from_pretrained(path)
        return load_table_folder(path, columns=columns, duplicates=duplicates, name=name, encoding=encoding)
    if not path.exists():
        raise DataError(f"{source} does not exist; expected a folder or a file, so check its name")
    return load_table(path, items, columns=columns, duplicates=duplicates, name=name, encoding=encoding)
