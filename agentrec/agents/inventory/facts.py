"""What may be seen of one product, as JSON: what prompts are written from, and what policies answer from."""

from __future__ import annotations

import numpy as np

from agentrec.agents.inventory.lead_times import seen_lags
from agentrec.agents.inventory.observation import WAITING, Observation
from agentrec.core.types import JSON

RECENT = 8  # periods


def facts_of(name: str, observation: Observation) -> JSON:
    """Facts of a product.

    Args:
        name: of the product.
        observation: of it alone, B = 1.

    Returns:
        The observation in lists and numbers, and ``lags``: ordered units, lead time, and age of each order by period.
    """
    lists = {field: getattr(observation, field)[0].tolist() for field in ("history", "demand", "orders", "arrived")}
    numbers = {field: getattr(observation, field)[0].item() for field in ("on_hand", "promised", "profit", "holding")}
    lags = seen_lags(observation)[0].tolist()
    period = observation.period

    return {
        "product": name,
        "period": period,
        **lists,
        **numbers,
        "in_transit": int(observation.in_transit[0]),
        "waiting": [
            {"period": place, "units": units, "age": period - place}
            for place, (units, lag) in enumerate(zip(lists["orders"], lags, strict=True))
            if units and lag == WAITING
        ],
        "lead_times": [lag for units, lag in zip(lists["orders"], lags, strict=True) if units and lag != WAITING],
    }


def observation_of(facts: JSON) -> Observation:
    """The observation that facts were made of: B = 1."""

    def row(name: str) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return np.array([facts[name]], np.int64).reshape(1, -1)

    return Observation(
        row("history"),
        row("demand"),
        row("orders"),
        row("arrived"),
        np.array([facts["on_hand"]], np.int64),
        np.array([facts["promised"]], np.int64),
        np.array([facts["profit"]], np.float64),
        np.array([facts["holding"]], np.float64),
    )


def seen(facts: JSON) -> list[int]:
    """All demand known, oldest first."""
    found: list[int] = [*facts["history"], *facts["demand"]]
    return found


def overdue(facts: JSON) -> int:
    """Units that are out for longer than the promise, and than every order that came."""
    longest = max([facts["promised"], *facts["lead_times"]])
    return sum(order["units"] for order in facts["waiting"] if order["age"] > longest)


def coming(facts: JSON) -> int:
    """Units that are out and not overdue."""
    return int(facts["in_transit"]) - overdue(facts)


def figures(facts: JSON, order: int) -> JSON:
    """Numbers that give reasons for an order."""
    known = np.array(seen(facts), np.float64)
    recent = known[-RECENT:]
    rate = float(recent.mean())
    at_hand = facts["on_hand"] + coming(facts) + order
    return {
        "order": order,
        "until": facts.get("until", ""),
        "recent": rate,
        "num_recent": len(recent),
        "mean": float(known.mean()),
        "num_seen": len(known),
        "deviation": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "on_hand": facts["on_hand"],
        "in_transit": facts["in_transit"],
        "overdue": overdue(facts),
        "promised": facts["promised"],
        "took": float(np.mean(facts["lead_times"])) if facts["lead_times"] else None,
        "profit": facts["profit"],
        "holding": facts["holding"],
        "ratio": facts["profit"] / (facts["profit"] + facts["holding"]),
        "cover": at_hand / rate if rate > 0 else None,
    }
