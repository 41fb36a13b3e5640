"""Inventory: how much of the profit that demand allows does a policy earn, ordering period by period?

Units are instances of InventoryBench's game. The score of each is its reward over the profit of all demand, 0 at least;
``of_best`` is the reward over that of perfect foresight, which no lead time hides. Intervals take instances as
independent, though those of one demand series are alike. Data are a folder of InventoryBench, a shop's own CSV file, or
`families`: 60 series of the ten demand families, drawn here, in each of three supplies.

How the settings of `adaptive` were chosen stands in `scripts/choose_inventory_settings.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.agents.inventory.game import Planner, Played, Policy, play
from agentrec.agents.inventory.generate import SUPPLIES, generate
from agentrec.agents.inventory.instances import Instances
from agentrec.agents.inventory.own_data import OwnData, load_own
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.perfect_foresight import PerfectForesight
from agentrec.core.artefact import plain
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.files import json_hash
from agentrec.core.rng import generator
from agentrec.core.types import JSON
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.result import Result
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.pipeline.recommenders import labelled

QUESTION = (
    "How much of the profit that demand allows does a policy earn? {count:,} instances of {periods} periods, ordering "
    "before demand is known."
)
METRICS = (
    Metric("score", headline=True),
    Metric("of_best"),
    Metric("served"),
    Metric("stock", "neither"),
)
SHOWN = 12  # instances that people look at


@dataclass(frozen=True)
class Config:
    """Which policies play, on which instances."""

    policy: str = setting(
        "or,adaptive", "comma-separated policies of agentrec.agents.inventory.policies, or label=name"
    )
    data: str = setting("families", "folder of InventoryBench, CSV file of one product, or 'families'")
    limit: int | None = setting(None, "play so many instances, drawn at random")
    profit: float | None = setting(None, "CSV file: profit per unit, where it has no such column")
    holding_cost: float | None = setting(None, "CSV file: cost per unit left and period, where it has no such column")
    lead_time: int | None = setting(None, "CSV file: promised lead time in periods, where it has no such column")
    history: int = setting(5, "CSV file: periods that are known before the game")
    sku: str | None = setting(None, "CSV file: which product, where it holds several")
    seed: int = setting(0, "of series drawn, and of the limit")


@task
def inventory(config: Config) -> Task:
    """Read or draw the instances, and name the policies.

    Raises:
        ConfigError: the limit is below 1.
        DataError: the data are not as described.
    """
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"limit is {config.limit}; expected at least 1 instance")
    batches = _limited(_instances(config), config)
    units = _units(batches)
    periods = sorted({batch.periods for batch in batches})
    fingerprint = json_hash([batch.fingerprint for batch in batches])
    sliced = tuple(name for name in ("family", "pattern", "ratio") if 1 < units[name].nunique() <= 20)
    return Task(
        question=QUESTION.format(count=len(units), periods=" or ".join(map(str, periods))),
        data={"name": Path(config.data).name, "fingerprint": fingerprint},
        units=units,
        metrics=METRICS,
        systems={label: _system(name) for label, name in labelled(config.policy).items()},
        measure=partial(_measure, batches, units),
        slices=sliced,
        digest=partial(_digest, units),
    )


def _instances(config: Config) -> list[Instances]:
    own = OwnData(config.profit, config.holding_cost, config.lead_time, config.history, config.sku)
    if config.data.lower().endswith(".csv"):
        return [load_own(config.data, own)]
    if own != OwnData():
        raise ConfigError("profit, holding_cost, lead_time, history and sku are for CSV files; expected none of them")
    if config.data == "families":
        return [_drawn(name, config.seed) for name in SUPPLIES]
    if not Path(config.data).is_dir():
        raise DataError(f"{config.data} is no folder; expected one of InventoryBench, a .csv file, or 'families'")
    return load_benchmark(config.data)


def _drawn(family: str, seed: int) -> Instances:
    made = generate(supply=SUPPLIES[family], seed=seed)
    ratio = made.profit / (made.profit + made.holding)
    labels = {**made.labels, "family": (family,) * len(made), "ratio": tuple(f"{value:.2f}" for value in ratio)}
    names = tuple(f"{family}/{name}" for name in made.names)
    arrays = (made.history, made.demand, made.lead_times, made.promised, made.profit, made.holding)
    return Instances(names, *arrays, labels=labels)


def _limited(batches: list[Instances], config: Config) -> list[Instances]:
    total = sum(map(len, batches))
    if config.limit is None or config.limit >= total:
        return batches
    kept = np.sort(generator(config.seed, "limit").choice(total, config.limit, replace=False))
    parts, start = [], 0
    for batch in batches:
        rows = kept[(kept >= start) & (kept < start + len(batch))] - start
        parts += [batch.take(rows)] if len(rows) else []
        start += len(batch)
    return parts


def _units(batches: Sequence[Instances]) -> pd.DataFrame:
    columns = ("family", "pattern", "ratio")
    return pd.concat(
        [
            pd.DataFrame({"unit": list(batch.names), **{name: batch.labels[name] for name in columns}})
            for batch in batches
        ],
        ignore_index=True,
    )


def _system(name: str) -> System:
    kind = load_policy(name)
    policy = kind()
    settings = plain(policy.config) if hasattr(policy, "config") else {}
    return System(lambda _: policy, {"policy": kind.__name__, "settings": settings})


def _measure(
    batches: Sequence[Instances], units: pd.DataFrame, system: Policy | Planner, *, progress: bool = False
) -> Measured:
    began = time.perf_counter()
    games = [play(system, batch) for batch in batches]
    seconds = time.perf_counter() - began
    scored = [_scored(batch, game) for batch, game in zip(batches, games, strict=True)]
    table = pd.concat([units[["unit"]], pd.concat(scored, ignore_index=True)], axis=1)
    return Measured(
        table,
        costs={"seconds": seconds, "instances_per_second": len(table) / max(seconds, 1e-9)},
        facts={"kind": type(system).__name__},
        samples=_samples(batches[0], games[0]),
    )


def _scored(batch: Instances, game: Played) -> pd.DataFrame:
    """One row per instance: score, share of the best reward, share of demand served, stock in periods of demand."""
    demand = batch.demand.sum(axis=1).astype(np.float64)
    best = play(PerfectForesight(), batch).reward.sum(axis=1)
    mean = np.maximum(batch.demand.mean(axis=1), 1e-9)
    return pd.DataFrame(
        {
            "score": game.score,
            "of_best": np.divide(game.reward.sum(axis=1), best, out=np.full(len(batch), np.nan), where=best > 0),
            "served": np.divide(game.sold.sum(axis=1), demand, out=np.full(len(batch), np.nan), where=demand > 0),
            "stock": game.on_hand.mean(axis=1) / mean,
        }
    )


def _samples(batch: Instances, game: Played) -> JSON:
    """The course of some games, in words."""
    rows = np.unique(np.linspace(0, len(batch) - 1, SHOWN).astype(int)).tolist()
    return {batch.names[row]: {"about": _about(batch, row), "answer": _course(batch, game, row)} for row in rows}


def _about(batch: Instances, row: int) -> dict[str, Any]:
    return {
        "demand before": batch.history[row].tolist(),
        "promised lead time": int(batch.promised[row]),
        "profit": float(batch.profit[row]),
        "holding cost": float(batch.holding[row]),
    }


def _course(batch: Instances, game: Played, row: int) -> list[str]:
    columns = (game.orders, game.arrivals, batch.demand, game.sold, game.on_hand)
    told = zip(*(column[row].tolist() for column in columns), strict=True)
    return [
        f"period {period}: ordered {ordered}, {came} arrived, {wanted} asked for, {sold} sold, {left} left"
        for period, (ordered, came, wanted, sold, left) in enumerate(told, 1)
    ]


def _digest(units: pd.DataFrame, result: Result) -> JSON:
    """Mean score per policy and family, as `agentrec eval run inventory --json` prints it under ``policies``."""
    found = {}
    for name in result.systems:
        scores = result.values(name, "score").mean(axis=1).to_numpy()
        means = pd.Series(scores).groupby(units["family"].to_numpy()).mean()
        found[name] = {"mean": float(scores.mean()), "families": {str(key): float(means[key]) for key in means.index}}
    return {"policies": found}
