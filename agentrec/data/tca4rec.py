"""The files of TCA4Rec (arXiv:2601.18457): a split by time whose rows bring their own histories.

A folder holds ``train_*.csv``, ``valid_*.csv`` and ``test_*.csv`` with the columns ``uid``, ``iid`` and ``hist_id`` (a
list in brackets, oldest item first), and ``item.csv`` with ``iid`` and ``title``. Rows are windows of ten items and the
one that follows; windows of one user overlap, and the files hold a sample of them. So every row is a sequence of its
own here, and of validation and test rows only the target is asked for: nobody's earlier windows are looked up.

Windows overlap and time parts the files, so a window of validation may show items that training rows hold too, as it
should; targets that the same user already has in a training row are counted in the split's summary.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from agentrec.core.errors import DataError
from agentrec.core.types import HeldOut, Histories
from agentrec.data.build import build_dataset
from agentrec.data.given import Benchmark, given_split
from agentrec.data.read import Table, frame_table, read_table

PARTS = ("train", "valid", "test")
ITEMS = "item.csv"
TEXTS = ("title", "brand")
LIST = re.compile(r"\[\s*[^\[\],]+(,[^\[\],]+)*\]")


class _Rows(NamedTuple):
    users: list[str]
    windows: list[list[str]]  # history and target, item ids as in the file


def load_tca4rec(folder: str | Path) -> Benchmark:
    """Read a folder of these files.

    Raises:
        DataError: a file or a column is missing, a list cannot be read, or an item is not in ``item.csv``.
    """
    folder = Path(folder)
    items = _items(folder / ITEMS)
    parts = {part: _rows(_one(folder, part), frozenset(items["item_id"])) for part in PARTS}
    names = {part: [f"{part}-{row}" for row in range(len(rows.users))] for part, rows in parts.items()}
    flat = [
        (name, item, place)
        for part, rows in parts.items()
        for name, window in zip(names[part], rows.windows, strict=True)
        for place, item in enumerate(window)
    ]
    frame = pd.DataFrame(flat, columns=["user_id", "item_id", "order"])
    dataset = build_dataset(folder.name, frame_table(frame, folder.name), frame_table(items, ITEMS))
    users = {name: index for index, name in enumerate(dataset.user_ids)}
    index = dataset.catalogue.index()

    def histories(part: str, cut: int) -> Histories:
        rows = [[index[item] for item in window[: len(window) - cut]] for window in parts[part].windows]
        return Histories.from_lists(rows, [users[name] for name in names[part]])

    def held(part: str) -> HeldOut:
        targets = np.array([index[window[-1]] for window in parts[part].windows], np.int64)
        return HeldOut("validation" if part == "valid" else "test", histories(part, 1), targets)

    known = {(user, item) for user, window in zip(*parts["train"], strict=True) for item in window}
    notes = {
        f"{part}_targets_of_training": sum(
            (user, window[-1]) in known for user, window in zip(*parts[part], strict=True)
        )
        for part in PARTS[1:]
    }
    held_out = {"validation": held("valid"), "test": held("test")}
    return Benchmark(dataset, given_split(dataset, histories("train", 0), held_out, notes=notes))  # type: ignore[arg-type]


def _one(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"{part}_*.csv"))
    if len(found) != 1:
        raise DataError(f"{folder} has {len(found)} files {part}_*.csv; expected one of each of train, valid and test")
    return found[0]


def _need(table: Table, *columns: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(f"{table.name} has no column {missing[0]!r}; expected {', '.join(columns)}")


def _items(path: Path) -> pd.DataFrame:
    """``item_id``, ``title`` and what else describes an item, as text."""
    table = read_table(path)
    _need(table, "iid", "title")
    described = [column for column in TEXTS if column in table.columns]
    return table.frame[["iid", *described]].rename(columns={"iid": "item_id"})


def _rows(path: Path, known: frozenset[str]) -> _Rows:
    table = read_table(path)
    _need(table, "uid", "iid", "hist_id")
    windows = []
    for row, (history, target) in enumerate(zip(table.frame["hist_id"], table.frame["iid"], strict=True)):
        if not LIST.fullmatch(history):
            raise DataError(
                f"{path} has the history {history[:40]!r} at {table.place(row)}; expected item ids in brackets, "
                "separated by commas"
            )
        window = [*(item.strip() for item in history[1:-1].split(",")), target]
        strange = next((item for item in window if item not in known), None)
        if strange is not None:
            raise DataError(f"{path} names the item {strange!r} at {table.place(row)}, which {ITEMS} does not hold")
        windows.append(window)
    return _Rows(table.frame["uid"].tolist(), windows)
