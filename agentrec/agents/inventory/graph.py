"""Inventory: a policy advises, a language model judges, checks guard, a person may decide, orders go out.

    observe -> advise -> consult (each product at once) -> check -> person -> order -> observe ... until the game ends

Whatever happens to the model, every product gets an order in every period: where it fails, or orders beyond reason,
the policy's order stands, and the decision says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from agentrec.agents.inventory import nodes
from agentrec.agents.inventory.context import Config, Context
from agentrec.agents.inventory.outcome import result_of, rows_of
from agentrec.agents.inventory.person import heard, words_of
from agentrec.agents.inventory.state import State
from agentrec.core.config import from_mapping
from agentrec.core.errors import require
from agentrec.core.types import JSON

require("langgraph", "agents")

from langgraph.graph import END, START, StateGraph  # noqa: E402 - only after the sentence that says how to install it
from langgraph.runtime import Runtime  # noqa: E402
from langgraph.types import Send  # noqa: E402


class InventoryAgent:
    """Orders for a shop, or plays the inventory game."""

    config: ClassVar[type] = Config
    prompts: ClassVar[tuple[str, ...]] = tuple(
        f"inventory/{name}"
        for name in ("system", "situation", "or_to_llm", "llm_to_or", "llm_only", "reasons", "explanation")
    )

    def build(self) -> Any:
        """The graph, not compiled."""
        graph = StateGraph(State, context_schema=Context)
        for node in (nodes.observe, nodes.advise, nodes.consult, nodes.check, nodes.person, nodes.order):
            graph.add_node(node.__name__, node)
        graph.add_edge(START, "observe")
        graph.add_edge("observe", "advise")
        graph.add_conditional_edges("advise", _to_model, ["consult", "check"])
        graph.add_edge("consult", "check")
        graph.add_conditional_edges("check", _to_person, ["person", "order"])
        graph.add_conditional_edges("person", _after_person, ["person", "order"])
        graph.add_conditional_edges("order", _next_period, ["observe", END])
        return graph

    def context(self, settings: Mapping[str, Any], **shared: Any) -> Context:
        """The context from settings; unknown ones are refused."""
        config = from_mapping(Config, settings)
        return Context(**vars(config), **shared)

    def fingerprint(self, context: Context) -> str:
        """Of the game or the shop."""
        return context.world.fingerprint

    def result(self, values: Mapping[str, Any], context: Context) -> JSON:
        """Orders with reasons, or how the game went."""
        return result_of(values, context)

    def told(self, result: JSON) -> tuple[list[str], list[list[str]]]:
        """The result as a table."""
        return rows_of(result)

    def asked(self, question: JSON) -> list[str]:
        """A question in lines."""
        return words_of(question)

    def heard(self, question: JSON, words: str) -> JSON:
        """A person's words as an answer."""
        return heard(question, words)


def _to_model(state: State, runtime: Runtime[Context]) -> list[Send] | Literal["check"]:
    if runtime.context.mode == "or_only":
        return "check"
    memory = state.get("memory", {})
    return [
        Send(
            "consult",
            {
                "period": state["period"],
                "facts": facts,
                "advice": advice,
                "memory": memory.get(facts["product"], []),
            },
        )
        for facts, advice in zip(state["facts"], state["advice"], strict=True)
    ]


def _to_person(state: State, runtime: Runtime[Context]) -> Literal["person", "order"]:
    return "person" if runtime.context.human else "order"


def _after_person(state: State) -> Literal["person", "order"]:
    return "order" if state["verdict"] in ("accept", "edit") else "person"


def _next_period(state: State, runtime: Runtime[Context]) -> str:
    return "observe" if len(state["orders"]) < runtime.context.world.periods else str(END)


METHOD = InventoryAgent
graph = InventoryAgent().build().compile()
