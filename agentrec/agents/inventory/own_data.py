"""A shop's own sales as an instance: one CSV file with a row per period.

Columns are found by name: the period (``date``, ``period``, ``week``, ``month``, ``day``), ``demand`` (or ``sales``,
``quantity``, ``units``), and where they exist ``profit``, ``holding_cost``, ``lead_time`` (of the order placed in that
period) and ``sku`` (or ``item``, ``product``). The first periods are taken as known before the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentrec.agents.inventory.csv_cells import LONGEST_LEAD, check_calendar, lead_time, money, read_rows, units
from agentrec.agents.inventory.instances import Instances
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import IntArray

NAMES = {
    "period": ("date", "period", "week", "month", "day"),
    "demand": ("demand", "sales", "quantity", "units"),
    "profit": ("profit",),
    "holding_cost": ("holding_cost", "holding"),
    "lead_time": ("lead_time",),
    "sku": ("sku", "item", "product"),
}


@dataclass(frozen=True)
class OwnData:
    """What the file does not say, and how it is to be read."""

    profit: float | None = setting(None, "profit per unit, where the file has no such column")
    holding_cost: float | None = setting(None, "cost per unit and period, where the file has no such column")
    lead_time: int | None = setting(None, "promised lead time in periods; default: the median of the file's column")
    history: int = setting(5, "periods that are known before the game")
    sku: str | None = setting(None, "which product, where the file holds several")

    def __post_init__(self) -> None:
        if self.history < 1 or not 0 <= (self.lead_time or 0) <= LONGEST_LEAD:
            raise ConfigError(
                f"history is {self.history} and lead_time {self.lead_time}; expected at least 1 period, and 0 to "
                f"{LONGEST_LEAD} of them"
            )


def load_own(path: str | Path, config: OwnData | None = None) -> Instances:
    """Read one product's file.

    Args:
        path: CSV with a header, a row per period in order of time, none missing.
        config: costs and lead time, where the file has no columns for them.

    Returns:
        One instance, named by the product or the file.

    Raises:
        DataError: a column is missing, or a cell is not as expected; the message names row, value and remedy.
    """
    config, path = config or OwnData(), Path(path)
    columns = _columns(path)
    rows, name = _one_product(columns, path, config.sku)
    return _instance(columns, rows, name, config, path)


def load_products(path: str | Path, config: OwnData | None = None) -> list[Instances]:
    """Read every product of a file, or the one that ``sku`` names: as `load_own`, one instance each, sorted by name.

    Raises:
        DataError: a column is missing, or a cell is not as expected; the message names row, value and remedy.
    """
    config, path = config or OwnData(), Path(path)
    columns = _columns(path)
    if config.sku is not None or "sku" not in columns:
        rows, name = _one_product(columns, path, config.sku)
        return [_instance(columns, rows, name, config, path)]
    found: dict[str, list[int]] = {}
    for row, product in enumerate(columns["sku"]):
        found.setdefault(product, []).append(row)
    return [_instance(columns, rows, name, config, path) for name, rows in sorted(found.items())]


def _instance(columns: dict[str, list[str]], rows: list[int], name: str, config: OwnData, path: Path) -> Instances:
    """The instance of some rows."""
    picked = {kind: [cells[row] for row in rows] for kind, cells in columns.items()}
    where = [f"row {row} of {path}" for row in picked["row"]]
    demand = np.array([units(text, place) for text, place in zip(picked["demand"], where, strict=True)], np.int64)
    check_calendar(picked["period"], where)
    if len(demand) <= config.history:
        lower = ", or lower history" if config.history > 1 else ""
        raise DataError(
            f"{path} holds {len(demand)} periods of {name}; expected at least {config.history + 1}, so add "
            f"periods{lower}"
        )
    leads, promised = _leads(picked, where, config, len(demand))
    profit = _cost(picked, "profit", config.profit, where, path)
    holding = _cost(picked, "holding_cost", config.holding_cost, where, path)
    return Instances(
        (name,),
        demand[None, : config.history],
        demand[None, config.history :],
        leads[None, config.history :],
        np.array([promised], np.int64),
        np.array([profit]),
        np.array([holding]),
        {"family": (f"lead_time_{promised}",), "pattern": ("",), "ratio": (f"{profit / (profit + holding):.2f}",)},
    )


def _columns(path: Path) -> dict[str, list[str]]:
    """The columns that are known, by what they hold, and ``row``, where each row stands in the file."""
    names, rows = read_rows(path)
    found = {"row": [str(number) for number, _ in rows]}
    for kind, accepted in NAMES.items():
        places = [place for place, name in enumerate(names) if name in accepted]
        if len(places) > 1 or (not places and kind in ("period", "demand")):
            raise DataError(
                f"{path} has {len(places)} columns for {kind} among {', '.join(names) or 'none'}; expected one called "
                f"{' or '.join(accepted)}, so rename it"
            )
        if places:
            found[kind] = [cells[places[0]] if places[0] < len(cells) else "" for _, cells in rows]
    return found


def _one_product(columns: dict[str, list[str]], path: Path, wanted: str | None) -> tuple[list[int], str]:
    """The rows of one product, and its name."""
    cells = columns.get("sku")
    if cells is None:
        if wanted is not None:
            raise DataError(f"{path} has no column of products to find {wanted!r} in; expected one called sku")
        return list(range(len(columns["demand"]))), path.stem
    products = sorted(set(cells))
    if wanted is None and len(products) > 1:
        shown = ", ".join(products[:5]) + (", ..." if len(products) > 5 else "")
        raise DataError(
            f"{path} mixes {len(products)} products ({shown}); expected one, so choose it by sku, such as "
            f"{products[0]!r}"
        )
    chosen = products[0] if wanted is None and products else wanted or path.stem
    rows = [row for row, cell in enumerate(cells) if cell == chosen]
    if not rows:
        raise DataError(f"{path} has no product {chosen!r}; those that exist are {', '.join(products[:10]) or 'none'}")
    return rows, chosen


def _leads(picked: dict[str, list[str]], where: Sequence[str], config: OwnData, periods: int) -> tuple[IntArray, int]:
    """Lead times of all periods and the promised one."""
    if "lead_time" not in picked:
        promised = 0 if config.lead_time is None else config.lead_time
        return np.full(periods, promised, np.int64), promised
    cells = zip(picked["lead_time"], where, strict=True)
    leads = np.array([lead_time(text, place) for text, place in cells], np.int64)
    promised = int(np.median(leads)) if config.lead_time is None else config.lead_time
    return leads, promised


def _cost(picked: dict[str, list[str]], kind: str, given: float | None, where: Sequence[str], path: Path) -> float:
    """One cost, from the column or from the settings."""
    shown = kind.replace("_", " ")
    if kind not in picked:
        if given is None:
            option = f"--{kind.replace('_', '-')}"
            raise DataError(
                f"{path} has no column {kind}, and none was given; expected a number above 0, so add the column or set "
                f"{kind} (on the command line {option} 2.5)"
            )
        return money(str(given), shown, "the settings")
    values = [money(text, shown, place) for text, place in zip(picked[kind], where, strict=True)]
    other = next((row for row, value in enumerate(values) if value != values[0]), None)
    if other is not None:
        raise DataError(
            f"{shown} in {where[other]} is {values[other]:g} after {values[0]:g}; expected one value for the whole "
            "file, so write the latest into every row"
        )
    return values[0]
