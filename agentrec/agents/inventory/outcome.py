"""What came of a run: a shop's next orders with reasons, or the score of a game beside that of the policy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from agentrec.agents.inventory.context import Context
from agentrec.agents.inventory.game import InventoryGame, play, score
from agentrec.agents.inventory.instances import Instances
from agentrec.agents.inventory.person import by_whom
from agentrec.agents.inventory.policies import load_policy
from agentrec.core.types import JSON


def result_of(values: Mapping[str, Any], context: Context) -> JSON:
    """The result from a state.

    Returns:
        ``kind`` ``orders`` with ``products`` (product, order, source, reasons, notes), or ``kind`` ``game`` with
        ``products`` (product, units and money, and once all is played ``score`` and that of the advice alone).
    """
    world, orders = context.world, values.get("orders", [])
    if world.game is None:
        fields = ("product", "order", "advice", "source", "reasons", "notes")
        placed = values.get("proposals", []) if orders else []
        return {"kind": "orders", "products": [{name: part[name] for name in fields} for part in placed]}
    return {"kind": "game", "periods": len(orders), "of": world.periods, **_game(world.game, orders, context)}


def _game(instances: Instances, orders: list[list[int]], context: Context) -> JSON:
    """Totals of the periods so far, product by product."""
    kept = {name: getattr(instances, name)[:, : len(orders)] for name in ("demand", "lead_times")}
    played = replace(instances, **kept)
    made = _played(played, orders)
    alone = play(load_policy(context.advice)(), played) if orders else None
    rows = []
    for place, name in enumerate(instances.names):
        row: JSON = {"product": name} | {key: values[place].item() for key, values in made.items()}
        if alone is not None:
            row |= {"advice_score": float(alone.score[place]), "advice_reward": float(alone.reward[place].sum())}
        rows.append(row)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("score", "advice_score") if orders}
    return {
        "products": rows,
        "totals": {key: values.sum().item() for key, values in made.items() if key != "score"},
        **mean,
    }


def _played(instances: Instances, orders: list[list[int]]) -> dict[str, np.ndarray[Any, Any]]:
    game, size = InventoryGame(instances), len(instances)
    steps = [game.step(np.array(row, np.int64)) for row in orders]
    reward = np.stack([step.reward for step in steps], axis=1) if steps else np.zeros((size, 0))
    placed = np.array(orders, np.int64).reshape(-1, size).sum(axis=0)
    zero = np.zeros(size, np.int64)
    return {
        "ordered": placed,
        "arrived": sum((step.arrivals for step in steps), zero),
        "demand": instances.demand.sum(axis=1),
        "sold": sum((step.sold for step in steps), zero),
        "on_hand": steps[-1].on_hand if steps else zero,
        "reward": reward.sum(axis=1),
        "score": score(instances, reward),
    }


def rows_of(result: JSON) -> tuple[list[str], list[list[str]]]:
    """A result as columns and rows."""
    if result["kind"] == "orders":
        rows = [
            [part["product"], str(part["order"]), by_whom(part["source"]), "\n".join([part["reasons"], *part["notes"]])]
            for part in result["products"]
        ]
        return ["product", "order", "from", "why"], rows
    columns = ["product", "ordered", "arrived", "demand", "sold", "left", "reward", "score", "advice alone"]
    return columns, [
        [
            part["product"],
            *(str(part[name]) for name in ("ordered", "arrived", "demand", "sold", "on_hand")),
            f"{part['reward']:.2f}",
            f"{part['score']:.4f}",
            f"{part['advice_score']:.4f}" if "advice_score" in part else "",
        ]
        for part in result["products"]
    ]
