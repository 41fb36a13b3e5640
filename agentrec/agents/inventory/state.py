"""What a checkpoint of the inventory graph holds: JSON alone, and everything that a killed run needs to go on.

The game itself is not kept: it is played again from the orders so far, which takes no time and cannot drift.
"""

from __future__ import annotations

from typing import Annotated, Any

from typing_extensions import TypedDict  # pydantic, and so the studio, refuses that of typing before Python 3.12

from agentrec.core.types import JSON


class Answers(TypedDict):
    """Answers of the model in one period, by product."""

    period: int
    by_product: dict[str, JSON]


def gathered(known: Answers, new: Answers) -> Answers:
    """Answers of one period come together in any order; those of a later period replace them."""
    if not known or new["period"] > known["period"]:
        return new
    return {"period": new["period"], "by_product": {**known["by_product"], **new["by_product"]}}


class State(TypedDict, total=False):
    """The state of a run.

    Attributes:
        period: about to be ordered for, from 0.
        orders: placed so far, a row per period and a number per product.
        facts: what may be seen of each product (see `agentrec.agents.inventory.facts`).
        advice: the order of the policy for each product, and its figures.
        answers: of the model, product by product.
        proposals: orders after checks and limits, with where they come from and why.
        explained: product -> explanation, where the person asked for one.
        problem: why the person's last answer could not be taken; empty for none.
        verdict: what the person decided: ``accept``, ``edit``, ``explain`` or ``again``.
        memory: product -> insights carried over, the newest last.
    """

    period: int
    orders: list[list[int]]
    facts: list[JSON]
    advice: list[JSON]
    answers: Annotated[Answers, gathered]
    proposals: list[JSON]
    explained: dict[str, str]
    problem: str
    verdict: str
    memory: dict[str, list[str]]


class Question(TypedDict):
    """What one consultation of the model gets: one product in one period."""

    period: int
    facts: JSON
    advice: JSON
    memory: list[str]


Update = dict[str, Any]
