"""A person between proposal and order: what is asked, and how an answer is read.

Answers are JSON: ``{"action": "accept"}``, ``{"action": "edit", "orders": {"tea": 12}, "note": "a fair is on"}`` or
``{"action": "explain", "products": ["tea"]}``. On the terminal the same is ``accept``, ``tea=12 because a fair is on``
and ``explain tea``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentrec.agents.inventory.answers import LARGEST_ORDER
from agentrec.agents.inventory.state import State
from agentrec.core.errors import AgentrecError
from agentrec.core.types import JSON
from agentrec.serving.chat.structured import told

WANTED = "accept, explain [product], or product=units, ... [because reason]"


class PersonError(AgentrecError):
    """A person's answer cannot be taken; the message says why."""


class Verdict(BaseModel):
    """A person's answer."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["accept", "edit", "explain"]
    orders: dict[str, int] = {}
    products: list[str] = []
    note: str = Field("", max_length=500)


def question_of(state: State) -> JSON:
    """What a person is asked: the proposals, and what came of the last answer."""
    return {
        "period": state["period"],
        "products": [
            {name: proposal[name] for name in ("product", "order", "source", "advice", "reasons", "notes")}
            for proposal in state["proposals"]
        ],
        "explained": state.get("explained", {}),
        "problem": state.get("problem", ""),
        "answers": WANTED,
    }


def verdict_of(answer: Any, products: list[str]) -> Verdict:
    """Read an answer.

    Raises:
        PersonError: it is none, names an unknown product, or orders less than nothing.
    """
    try:
        verdict = Verdict.model_validate(answer)
    except ValidationError as error:
        raise PersonError(f"the answer cannot be read ({'; '.join(told(error))}); expected {WANTED}") from error
    unknown = sorted({*verdict.orders, *verdict.products} - set(products))
    if unknown:
        raise PersonError(f"there is no product {unknown[0]!r}; those that exist are {', '.join(products)}")
    wrong = next((name for name, units in verdict.orders.items() if not 0 <= units <= LARGEST_ORDER), None)
    if wrong is not None:
        raise PersonError(f"the order of {wrong!r} is {verdict.orders[wrong]}; expected 0 to {LARGEST_ORDER} units")
    if verdict.action == "edit" and not verdict.orders:
        raise PersonError(f"the answer edits nothing; expected {WANTED}")
    return verdict


def words_of(question: Mapping[str, Any]) -> list[str]:
    """A question in lines for a terminal."""
    lines = [f"problem: {question['problem']}"] if question["problem"] else []
    for part in question["products"]:
        advised = "" if part["advice"] == part["order"] else f" (OR advises {part['advice']})"
        lines.append(f"{part['product']}: order {part['order']}{advised}, from {by_whom(part['source'])}")
        lines += [f"    {text}" for text in (part["reasons"], *part["notes"]) if text]
    lines += [f"{name}: {text}" for name, text in question["explained"].items()]
    return [*lines, f"your answer: {question['answers']}"]


def by_whom(source: str) -> str:
    """Where an order comes from, for people: the policy behind the chat interface is no model."""
    return "computed, no model" if source.startswith("policy:") else source


def heard(question: Mapping[str, Any], words: str) -> JSON:
    """A person's words on a terminal as JSON.

    Raises:
        PersonError: they are none of the answers.
    """
    text = words.strip()
    products = [part["product"] for part in question["products"]]
    if text.lower() in ("accept", "a", "yes", "y"):
        return {"action": "accept"}
    if re.match(r"(?i)explain\b", text):
        named = text[len("explain") :].strip()
        return {"action": "explain", "products": [named] if named else products}
    orders, _, note = text.partition(" because ")
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in orders.split(","))):
        name, _, units = (piece.strip() for piece in part.rpartition("="))
        if not re.fullmatch(r"-?\d{1,9}", units) or (not name and len(products) > 1):
            raise PersonError(f"{words!r} cannot be read; expected {WANTED}")
        found[name or products[0]] = int(units)
    answer: JSON = {"action": "edit", "orders": found, "note": note.strip()}
    verdict_of(answer, products)
    return answer
