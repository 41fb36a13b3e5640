"""Where orders go: a game that is played to its end, or a shop that wants its next orders.

A shop's file is one of `agentrec.agents.inventory.own_data`, with these columns where they exist: ``on_hand`` (stock at
the end of the period; the last row counts), ``ordered`` (units ordered in the period), ``arrived`` (the period, as
written in the file, in which that order came; empty while it is out), ``unit_cost`` and ``volume`` (for limits).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.agents.inventory.csv_cells import money, read_rows, units
from agentrec.agents.inventory.facts import facts_of
from agentrec.agents.inventory.game import InventoryGame
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.instances import Instances, stack
from agentrec.agents.inventory.observation import WAITING, Observation
from agentrec.agents.inventory.own_data import NAMES, OwnData, load_products
from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.core.files import array_hash, json_hash
from agentrec.core.types import JSON

if TYPE_CHECKING:
    from agentrec.agents.inventory.context import Config

DRAWN = "families"
EXTRA = ("on_hand", "ordered", "arrived", "unit_cost", "volume")

Cells = dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class World:
    """Products side by side.

    Attributes:
        names: of the products.
        game: instances that are played; None for a shop.
        shop: what a shop sees of each product; empty for a game.
        weights: unit cost and volume of each product.
        until: the last period of each product, as a shop's file writes it; empty for a game.
        periods: how many rounds of orders there are.
    """

    names: tuple[str, ...]
    game: Instances | None
    shop: tuple[Observation, ...]
    weights: tuple[tuple[float, float], ...]
    periods: int
    until: tuple[str, ...] = ()

    def observe(self, orders: Sequence[Sequence[int]]) -> list[JSON]:
        """Facts of every product after the orders so far: one row per period, one number per product."""
        seen = list(self.shop) or self._played(orders)
        found = [
            {**facts_of(name, part), "unit_cost": cost, "volume": volume}
            for name, part, (cost, volume) in zip(self.names, seen, self.weights, strict=True)
        ]
        for facts, until in zip(found, self.until, strict=False):
            facts["until"] = until
        return found

    def _played(self, orders: Sequence[Sequence[int]]) -> list[Observation]:
        assert self.game is not None
        game = InventoryGame(self.game)
        for row in orders:
            game.step(np.array(row, np.int64))
        found = game.observe()
        return [found.take(np.array([place])) for place in range(len(self.names))]

    def one(self, product: int) -> Instances:
        """The game of one product, cut to the periods that are played.

        Raises:
            DataError: there is no such product, or this is a shop.
        """
        if self.game is None or product >= len(self.names):
            raise DataError(f"product is {product} and the data hold {len(self.names)} to play; expected one of them")
        game = self.game.take(slice(product, product + 1))
        return replace(game, demand=game.demand[:, : self.periods], lead_times=game.lead_times[:, : self.periods])

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over everything that decides how orders go."""
        if self.game is not None:
            return json_hash([self.game.fingerprint, self.periods, self.weights])
        arrays = [getattr(part, name) for part in self.shop for name in ("demand", "orders", "arrived", "on_hand")]
        costs = [[float(part.profit[0]), float(part.holding[0]), int(part.promised[0])] for part in self.shop]
        return json_hash([self.names, array_hash(*arrays), costs, self.weights])


def open_world(config: Config) -> World:
    """Read what the settings name.

    Raises:
        DataError: the data are not as described.
        ConfigError: settings that do not fit them.
    """
    path = Path(config.data)
    if config.data == DRAWN or not config.data.lower().endswith(".csv"):
        _refuse(config)
        return _game(_drawn(config) if config.data == DRAWN else _benchmark(config), config)
    own = OwnData(config.profit, config.holding_cost, config.lead_time, config.history, config.sku)
    if config.play:
        return _game(stack(load_products(path, own)), config)
    return _shop(path, config)


def _refuse(config: Config) -> None:
    names = ("profit", "holding_cost", "lead_time", "sku", "on_hand", "in_transit")
    given = next((name for name in names if getattr(config, name) is not None), None)
    if given is not None:
        raise ConfigError(f"{given} is set and data is {config.data!r}; expected it for .csv files alone")


def _drawn(config: Config) -> list[Instances]:
    made = generate(sizes=Sizes(series=1), supply=SUPPLIES["lead_time_stochastic"], seed=config.seed)
    return [made.take(slice(0, config.limit))]


def _benchmark(config: Config) -> list[Instances]:
    if not Path(config.data).is_dir():
        raise DataError(f"{config.data} is no folder; expected a .csv file, a folder of InventoryBench, or '{DRAWN}'")
    first = load_benchmark(config.data)[0]
    return [first.take(slice(0, config.limit))]


def _game(groups: list[Instances], config: Config) -> World:
    if len(groups) != 1:
        raise DataError(
            f"{config.data} holds products with {len(groups)} different numbers of periods; expected equal ones to "
            "play them side by side, so choose one by sku"
        )
    game = groups[0]
    periods = min(game.periods, config.periods or game.periods)
    return World(game.names, game, (), ((1.0, 1.0),) * len(game), periods)


def _shop(path: Path, config: Config) -> World:
    own = OwnData(config.profit, config.holding_cost, config.lead_time, 1, config.sku)
    products = load_products(path, own)
    names = tuple(product.names[0] for product in products)
    extra = _extra(path, names)
    if len(names) > 1 and (config.on_hand is not None or config.in_transit is not None):
        raise ConfigError(
            f"on_hand or in_transit is set and {path} holds {len(names)} products; expected one, so choose it by sku, "
            "or add columns on_hand, ordered and arrived"
        )
    if config.on_hand is None and not any("on_hand" in cells for cells in extra.values()):
        warnings.warn(
            f"{path} has no column on_hand and on_hand is not set: stock is taken as 0", DataWarning, stacklevel=2
        )
    for limit, column in (("order_budget", "unit_cost"), ("capacity", "volume")):
        if getattr(config, limit) is not None and not any(column in cells for cells in extra.values()):
            warnings.warn(
                f"{limit} is set and {path} has no column {column}: each unit counts as 1", DataWarning, stacklevel=2
            )
    seen = tuple(_seen(path, product, extra[product.names[0]], config) for product in products)
    weights = tuple((_last(extra[name], "unit_cost", path), _last(extra[name], "volume", path)) for name in names)
    return World(names, None, seen, weights, 1, _ends(path, names, extra))


def _ends(path: Path, names: Sequence[str], extra: dict[str, Cells]) -> tuple[str, ...]:
    """The last period of each product; where they differ, with a warning."""
    until = tuple(extra[name]["period"][-1] for name in names)
    other = next((place for place, last in enumerate(until) if last != until[0]), None)
    if other is not None:
        warnings.warn(
            f"products of {path} end at different periods ({names[0]} at {until[0]}, {names[other]} at "
            f"{until[other]}): each is ordered for the period after its own last one",
            DataWarning,
            stacklevel=3,
        )
    return until


def _extra(path: Path, names: Sequence[str]) -> dict[str, Cells]:
    """The further columns of each product, with its periods."""
    header, rows = read_rows(path)
    wanted = dict(enumerate(header))
    found: dict[str, Cells] = {name: {} for name in names}
    sku = next((place for place, name in wanted.items() if name in NAMES["sku"]), None)
    for number, row in rows:
        product = names[0] if sku is None else row[sku] if sku < len(row) else ""
        if product not in found:
            continue
        found[product].setdefault("row", []).append(str(number))
        for place, name in wanted.items():
            kind = "period" if name in NAMES["period"] else name
            if kind == "period" or kind in EXTRA:
                found[product].setdefault(kind, []).append(row[place] if place < len(row) else "")
    return found


def _seen(path: Path, product: Instances, cells: Cells, config: Config) -> Observation:
    """What the shop sees of one product now."""
    demand = np.concatenate([product.history, product.demand], axis=1)
    orders, arrived = _orders(path, cells, demand.shape[1])
    if config.in_transit is not None:
        if arrived[orders > 0].size:
            raise ConfigError(f"in_transit is set and {path} has a column ordered; expected one of them, so leave it")
        orders[0, -1] = config.in_transit
    on_hand = config.on_hand
    if on_hand is None:
        rows = cells.get("on_hand")
        on_hand = 0 if rows is None else _whole(rows[-1], "on_hand", f"row {cells['row'][-1]} of {path}")
    return Observation(
        product.history[:, :0],
        demand,
        orders,
        arrived,
        np.array([on_hand], np.int64),
        product.promised,
        product.profit,
        product.holding,
    )


def _orders(path: Path, cells: Cells, periods: int) -> tuple[np.ndarray, np.ndarray]:
    """Units ordered in each period, and the period in which they came: two arrays (1, T) int64."""
    orders, arrived = np.zeros((1, periods), np.int64), np.full((1, periods), WAITING, np.int64)
    if "arrived" in cells and "ordered" not in cells:
        raise DataError(f"{path} has a column arrived and none called ordered; expected both, so add it")
    where = [f"row {row} of {path}" for row in cells["row"]]
    calendar = {text: place for place, text in enumerate(cells["period"])}
    for place, text in enumerate(cells.get("ordered", ())):
        orders[0, place] = _whole(text or "0", "ordered", where[place])
    for place, text in enumerate(cells.get("arrived", ())):
        if not text:
            continue
        if calendar.get(text, -1) < place or not orders[0, place]:
            raise DataError(
                f"arrived in {where[place]} is {text!r}; expected the period of that row or a later one, as the file "
                "writes it, beside units ordered, so correct the cell"
            )
        arrived[0, place] = calendar[text]
    return orders, arrived


def _whole(text: str, name: str, where: str) -> int:
    try:
        return units(text, where)
    except DataError as error:
        raise DataError(str(error).replace("demand", name, 1)) from error


def _last(cells: Cells, name: str, path: Path) -> float:
    rows = cells.get(name)
    return 1.0 if rows is None else money(rows[-1], name.replace("_", " "), f"row {cells['row'][-1]} of {path}")
