"""InventoryBench folders: ``.../lead_time_{0,4,stochastic}/.../{train,test}.csv``, synthetic and real alike.

``test.csv`` holds one product's periods with columns ``demand_<item>``, ``lead_time_<item>``, ``profit_<item>`` and
``holding_cost_<item>`` (others are ignored), ``train.csv`` the demand before. A lead time of ``inf`` is a lost order.
Players are promised the lead time of the folder's name, and 2 where that is stochastic.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from agentrec.agents.inventory.csv_cells import check_numbers, lead_time, money, units
from agentrec.agents.inventory.instances import LOST, Instances, stack
from agentrec.core.errors import DataError

STOCHASTIC = "lead_time_stochastic"
PROMISED_STOCHASTIC = 2
FAMILY = re.compile(r"^lead_time_(\d+|stochastic)$")


def load_benchmark(folder: str | Path) -> list[Instances]:
    """Read every instance below a folder.

    Args:
        folder: the whole benchmark, or a part of it; the folder's own path counts in the search for the lead time.

    Returns:
        Instances of equal length together, sorted by path, with labels ``family`` (such as ``lead_time_4``),
        ``pattern`` (the folder below it; empty for real series) and ``ratio`` (profit over profit and holding cost).

    Raises:
        DataError: no instance lies there, or a file is not as described; the message names file and row.
    """
    root = Path(folder)
    files = sorted(root.rglob("test.csv"))
    if not files:
        raise DataError(f"{root} holds no test.csv; expected a folder of InventoryBench, so check the path")
    return stack([_load(file.parent, root) for file in files])


def _load(folder: Path, root: Path) -> Instances:
    parts = folder.resolve().parts
    place = next((place for place, part in enumerate(parts) if FAMILY.match(part)), None)
    if place is None:
        raise DataError(
            f"{folder} lies in no folder lead_time_0, lead_time_4 or lead_time_stochastic; expected one above it, "
            "because its name is the promised lead time"
        )
    family = parts[place]
    test, train = folder / "test.csv", folder / "train.csv"
    played, before = _columns(test), _columns(train)
    _check_periods(played, test)
    leads = [lead_time(text, f"row {row} of {test}", LOST) for row, text in _cells(played, "lead_time", test)]
    profit, holding = (_constant(played, name, test) for name in ("profit", "holding_cost"))
    promised = PROMISED_STOCHASTIC if family == STOCHASTIC else int(family.rpartition("_")[2])
    return Instances(
        (folder.relative_to(root).as_posix(),),
        _demand(before, train),
        _demand(played, test),
        np.array([leads], np.int64),
        np.array([promised], np.int64),
        np.array([profit]),
        np.array([holding]),
        {
            "family": (family,),
            "pattern": (parts[place + 1] if len(parts) > place + 2 else "",),
            "ratio": (f"{profit / (profit + holding):.2f}",),
        },
    )


def _columns(path: Path) -> dict[str, list[str]]:
    """The columns of a file by their names in the header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; expected train.csv and test.csv side by side, so copy both") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise DataError(f"{path} holds {len(rows)} rows; expected a header and at least one period")
    short = next((place for place, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if short is not None:
        raise DataError(
            f"row {short + 1} of {path} has {len(rows[short])} cells under a header of {len(rows[0])}; expected equal "
            "numbers, so correct the row"
        )
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])}


def _check_periods(columns: dict[str, list[str]], path: Path) -> None:
    """Numbered periods follow each other; those of dates, as in the real series, are taken as they are."""
    name = next((name for name in columns if name.startswith("exact_dates")), None)
    if name is not None:
        check_numbers(columns[name], [f"row {row} of {path}" for row in range(2, len(columns[name]) + 2)])


def _cells(columns: dict[str, list[str]], kind: str, path: Path) -> list[tuple[int, str]]:
    """The one column ``<kind>_<item>``, each cell with its row in the file."""
    found = [name for name in columns if name.startswith(f"{kind}_")]
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise DataError(
            f"{path} has {len(found)} columns of {kind} ({listed}); expected one product per file, with one column "
            f"{kind}_<item>"
        )
    return list(enumerate(columns[found[0]], 2))


def _demand(columns: dict[str, list[str]], path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    cells = _cells(columns, "demand", path)
    return np.array([[units(text, f"row {row} of {path}") for row, text in cells]], np.int64)


def _constant(columns: dict[str, list[str]], kind: str, path: Path) -> float:
    shown = kind.replace("_", " ")
    values = [money(text, shown, f"row {row} of {path}") for row, text in _cells(columns, kind, path)]
    other = next((row for row, value in enumerate(values) if value != values[0]), None)
    if other is not None:
        raise DataError(
            f"{shown} in row {other + 2} of {path} is {values[other]:g} after {values[0]:g}; expected "
            "one value for the whole file"
        )
    return values[0]
