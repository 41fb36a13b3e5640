"""The steps of the inventory graph: observe, advise, consult the model, check, ask a person, order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from agentrec.agents.asking import ask, tell
from agentrec.agents.inventory.advice import advise as advice_of
from agentrec.agents.inventory.answers import OrderAnswer, ParametersAnswer
from agentrec.agents.inventory.computed import reasons
from agentrec.agents.inventory.context import Context
from agentrec.agents.inventory.facts import figures, seen
from agentrec.agents.inventory.limits import excess, within
from agentrec.agents.inventory.person import PersonError, Verdict, question_of, verdict_of
from agentrec.agents.inventory.state import Answers, Question, State, Update
from agentrec.core.lines import append_line
from agentrec.core.types import JSON
from agentrec.prompts.files import prompt
from agentrec.serving.chat.private import redact_all
from agentrec.serving.chat.protocol import ChatError

SHAPES: dict[str, type[OrderAnswer] | type[ParametersAnswer]] = {
    "llm_only": OrderAnswer,
    "or_to_llm": OrderAnswer,
    "llm_to_or": ParametersAnswer,
}


def observe(state: State, runtime: Runtime[Context]) -> Update:
    """See what may be seen before ordering."""
    orders = state.get("orders", [])
    facts = runtime.context.world.observe(orders)
    return {"period": len(orders), "facts": facts, "proposals": [], "explained": {}, "problem": "", "verdict": ""}


def advise(state: State, runtime: Runtime[Context]) -> Update:
    """What the policy orders, product by product."""
    return {"advice": [advice_of(facts, runtime.context.advice) for facts in state["facts"]]}


def consult(question: Question, runtime: Runtime[Context]) -> Update:
    """Ask the model about one product; a failure is an answer too, and says why."""
    facts, advice, mode = question["facts"], question["advice"], runtime.context.mode
    situation = prompt("inventory/situation").render(facts=facts, memory=question["memory"])
    variables: dict[str, Any] = {"situation": situation}
    if mode != "llm_only":
        variables["advice"] = advice
    try:
        found = ask(runtime, f"inventory/{mode}", variables, SHAPES[mode], facts=facts, system="inventory/system")
    except ChatError as error:
        answer: JSON = {"failed": str(error)}
    else:
        order, computed = found.value.ordered(facts)
        said = found.value.model_dump()
        answer = {"order": order, "said": said, "figures": computed, "by": f"{found.usage.backend}:{found.usage.model}"}
    return {"answers": {"period": question["period"], "by_product": {facts["product"]: answer}}}


def check(state: State, runtime: Runtime[Context]) -> Update:
    """Take the model's orders where they can be taken, the policy's elsewhere, and keep the limits."""
    context = runtime.context
    answers = state.get("answers") or Answers(period=-1, by_product={})
    told: dict[str, JSON] = answers["by_product"] if answers["period"] == state["period"] else {}
    proposals = [
        _proposal(facts, advice, told.get(facts["product"]), context.largest)
        for facts, advice in zip(state["facts"], state["advice"], strict=True)
    ]
    kept, notes = within([proposal["order"] for proposal in proposals], state["facts"], context.shared)
    for proposal, order, cut in zip(proposals, kept, notes, strict=True):
        proposal["order"] = order
        proposal["notes"] += cut
    return {"proposals": proposals}


def _proposal(facts: JSON, advice: JSON, answer: JSON | None, largest: float) -> JSON:
    """One product's order, where it comes from and why, before limits."""
    made = {"product": facts["product"], "advice": advice["order"], "notes": [], "insight": "", "asked": None}
    standing = {
        **made,
        "order": advice["order"],
        "source": advice["policy"],
        "reasons": reasons(facts, advice["order"]),
    }
    if answer is None:
        return standing
    if "failed" in answer:
        return {
            **standing,
            "notes": [f"the model gave no answer, so the order of {advice['policy']} stands: {answer['failed']}"],
        }
    ceiling = largest * max(seen(facts)) * (1 + facts["promised"])
    if answer["order"] > ceiling:
        note = f"the model ordered {answer['order']}, above the most of {ceiling:.0f}, so {advice['policy']}'s stands"
        return {**standing, "notes": [note], "asked": answer["order"]}
    said = answer["said"]
    return {
        **made,
        "order": answer["order"],
        "asked": answer["order"],
        "source": answer["by"],
        "reasons": said["rationale"],
        "insight": said["carry_over_insight"],
    }


def person(state: State, runtime: Runtime[Context]) -> Update:
    """Ask a person, who accepts, edits, or wants an explanation; an answer that cannot be taken is asked for again."""
    answer = interrupt(question_of(state))
    names = [facts["product"] for facts in state["facts"]]
    try:
        verdict = verdict_of(answer, names)
        proposals = _edited(state["proposals"], verdict)
        problem = excess([proposal["order"] for proposal in proposals], state["facts"], runtime.context.shared)
        if verdict.action == "edit" and problem:
            raise PersonError(f"{problem}; expected less, so lower an order")
    except PersonError as error:
        return {"problem": str(error), "verdict": "again"}
    if verdict.action == "explain":
        wanted = verdict.products or names
        explained = {
            facts["product"]: _explained(facts, advice, proposal)
            for facts, advice, proposal in zip(state["facts"], state["advice"], state["proposals"], strict=True)
            if facts["product"] in wanted
        }
        return {"explained": explained, "problem": "", "verdict": "explain"}
    return {"proposals": proposals, "problem": "", "verdict": verdict.action}


def _edited(proposals: list[JSON], verdict: Verdict) -> list[JSON]:
    if verdict.action != "edit":
        return proposals
    made = []
    for proposal in proposals:
        order = verdict.orders.get(proposal["product"], proposal["order"])
        if order != proposal["order"]:
            note = f"a person ordered {order} instead of {proposal['order']}"
            note += f": {verdict.note}" if verdict.note else ""
            proposal = {**proposal, "order": order, "source": "person", "notes": [*proposal["notes"], note]}
        made.append(proposal)
    return made


def _explained(facts: JSON, advice: JSON, proposal: JSON) -> str:
    """A proposal in figures."""
    numbers = figures(facts, proposal["order"])
    return prompt("inventory/explanation").render(facts=facts, advice=advice, proposal=proposal, figures=numbers)


def order(state: State, runtime: Runtime[Context]) -> Update:
    """Place the orders, write each decision down, and keep the newest insights."""
    context = runtime.context
    memory = {name: list(texts) for name, texts in state.get("memory", {}).items()}
    for proposal in state["proposals"]:
        kept = memory.setdefault(proposal["product"], [])
        if proposal["insight"] and proposal["insight"] not in kept:
            kept.append(proposal["insight"])
        memory[proposal["product"]] = kept[len(kept) - min(len(kept), context.memory) :]
        if context.folder:
            decision = {"period": state["period"], **proposal}
            append_line(Path(context.folder) / "decisions.jsonl", redact_all(decision))
    row = [proposal["order"] for proposal in state["proposals"]]
    done = state["period"] + 1
    text = ", ".join(f"{proposal['product']} {proposal['order']}" for proposal in state["proposals"][:6])
    tell(runtime, f"ordered {text}{', ...' if len(row) > 6 else ''}", done=done, total=context.world.periods)
    return {"orders": [*state.get("orders", []), row], "memory": memory}
