"""What the backend ``policy`` answers: orders and parameters computed from the facts, with figures as reasons.

It takes the place of a language model where there is none, and is what one has to beat. Orders are those of the
adaptive policy; parameters are the window of recent demand that forecast best so far, the lead times that were seen,
and overdue orders written off.
"""

from __future__ import annotations

import numpy as np

from agentrec.agents.inventory.answers import ParametersAnswer
from agentrec.agents.inventory.facts import figures, observation_of, overdue, seen
from agentrec.agents.inventory.policies.adaptive import Adaptive
from agentrec.core.types import JSON
from agentrec.prompts.files import prompt
from agentrec.serving.chat.protocol import ChatRequest

WINDOWS = (3, 5, 8, 13)
PARAMETERS = "inventory/llm_to_or"


def answer(request: ChatRequest) -> JSON:
    """Answer a question of the inventory graph."""
    facts: JSON = dict(request.facts)
    if request.step == PARAMETERS:
        return _parameters(facts)
    order = int(Adaptive().order(observation_of(facts))[0])
    return {"rationale": reasons(facts, order), "carry_over_insight": _insight(facts), "order": order}


def reasons(facts: JSON, order: int) -> str:
    """Why an order of this size, in figures."""
    return prompt("inventory/reasons").render(**figures(facts, order))


def best_window(demand: list[int]) -> int:
    """Over how many recent periods the mean forecast the next period best so far; 0 for all of them.

    Errors are absolute, and older ones count less.
    """
    scores = {}
    for window in (0, *WINDOWS):
        errors = [
            abs(float(np.mean(demand[max(0, place - window) if window else 0 : place])) - demand[place])
            for place in range(1, len(demand))
        ]
        weights = 0.9 ** np.arange(len(errors))[::-1]
        scores[window] = float(np.average(errors, weights=weights)) if errors else 0.0
    return min(scores, key=lambda window: (scores[window], window))


def _parameters(facts: JSON) -> JSON:
    window = best_window(seen(facts))
    recent = {"method": "recent", "periods": window} if window else {"method": "default"}
    known = bool(facts["lead_times"])
    made: JSON = {
        "rationale": "",
        "carry_over_insight": _insight(facts),
        "mean": recent,
        "deviation": {"method": "recent", "periods": max(window, 5)} if window else {"method": "default"},
        "lead_time": {"method": "calculate" if known else "default"},
        "lost_units": overdue(facts),
    }
    order, _ = ParametersAnswer.model_validate(made).ordered(facts)
    return {**made, "rationale": reasons(facts, order)}


def _insight(facts: JSON) -> str:
    """What is worth carrying over: a changed level of demand, and orders that did not come."""
    found = figures(facts, 0)
    moved = found["recent"] - found["mean"]
    parts = []
    if found["num_seen"] > found["num_recent"] and abs(moved) > found["deviation"]:
        parts.append(f"demand moved from {found['mean']:.0f} to {found['recent']:.0f} by period {facts['period']}")
    if found["overdue"]:
        parts.append(f"{found['overdue']} units overdue in period {facts['period']}")
    return "; ".join(parts)
