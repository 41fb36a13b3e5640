import json
import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extra agents")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import agentrec
from agentrec.agents.inventory.computed import answer
from agentrec.agents.inventory.context import Context
from agentrec.agents.inventory.game import InventoryGame, play
from agentrec.agents.inventory.graph import InventoryAgent
from agentrec.agents.inventory.policies import load_policy
from agentrec.core.lines import read_lines
from agentrec.serving.chat.backends.policy import PolicyBackend
from agentrec.serving.chat.backends.scripted import ScriptedBackend, ScriptError
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import BackendError, Reply

ROOT = Path(agentrec.__file__).parents[1]
PLACE = {"configurable": {"thread_id": "1"}, "recursion_limit": 10_000}


def run(chat=None, *, folder="", given=None, graph=None, **settings):
    """Run the graph; by default with the computed answers."""
    context = InventoryAgent().context(settings, live=chat or Chat(PolicyBackend(answer)), folder=str(folder))
    graph = graph or InventoryAgent().build().compile(checkpointer=InMemorySaver())
    values = graph.invoke({} if given is None else given, PLACE, context=context, durability="sync")
    return values, context, graph


def decisions(folder):
    """The last line of each period and product."""
    return {(line["period"], line["product"]): line for line in read_lines(Path(folder) / "decisions.jsonl")}


def played(context, orders):
    """Rewards of orders, from the game itself."""
    game = InventoryGame(context.world.game)
    return sum(float(game.step(np.array(row)).reward.sum()) for row in orders)


@pytest.mark.parametrize("mode", ["or_to_llm", "llm_only", "llm_to_or", "or_only"])
def test_the_whole_graph_plays_in_every_mode(tmp_path, mode):
    values, context, _ = run(mode=mode, periods=5, limit=2, advice="or", folder=tmp_path)
    assert np.array(values["orders"]).shape == (5, 2)
    result = InventoryAgent().result(values, context)
    assert result["totals"]["reward"] == pytest.approx(played(context, values["orders"]))
    told = decisions(tmp_path)
    assert len(told) == 10
    sources = {line["source"] for line in told.values()}
    assert sources == ({"or"} if mode == "or_only" else {"policy:inventory.computed"})
    assert context.chat.ledger.totals.calls == (0 if mode == "or_only" else 10)
    assert json.loads(json.dumps(values)) == values


def test_orders_of_the_computed_model_are_those_of_the_adaptive_policy_playing_alone():
    values, context, _ = run(mode="llm_only", periods=6, limit=2)
    game = context.world.game
    alone = play(load_policy("adaptive")(), game).orders[:, :6]
    assert np.array(values["orders"]).T.tolist() == alone.tolist()
    result = InventoryAgent().result(values, context)
    assert result["score"] == result["advice_score"]


class Unreliable:
    """Computed answers, disturbed at random in every way a model can be."""

    name, model = "policy", "unreliable"
    WAYS = ("fine", "fine", "busy", "down", "words", "huge", "negative", "empty", "cut off", "wrong type")

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ways = []

    def reply(self, request, timeout):
        way = self.random.choice(self.WAYS)
        self.ways.append(way)
        if way in ("busy", "down"):
            raise BackendError(way, passing=way == "busy", worked=True)
        made = answer(request)
        if way == "huge":
            made = {**made, "order": 900_000}
        elif way == "negative":
            made = {**made, "order": -5}
        elif way == "wrong type":
            made = {**made, "order": "a lot"}
        text = {"words": "I would order some.", "empty": ""}.get(way, json.dumps(made))
        return Reply(text[:20], 9, 4, "length") if way == "cut off" else Reply(text, 9, 4)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_model_does_no_order_is_lost_and_totals_add_up(tmp_path, seed):
    backend = Unreliable(seed)
    chat = Chat(backend, ChatConfig(retries=1, repairs=1), sleep=lambda seconds: None)
    values, context, _ = run(chat, periods=12, limit=2, folder=tmp_path, advice="or")
    told = decisions(tmp_path)
    orders = [[told[period, name]["order"] for name in context.world.names] for period in range(12)]
    assert values["orders"] == orders
    assert played(context, orders) == pytest.approx(InventoryAgent().result(values, context)["totals"]["reward"])
    standing = [line for line in told.values() if line["source"] == "or"]
    failed = [line for line in standing if "gave no answer" in " ".join(line["notes"])]
    huge = [line for line in standing if "ordered 900000" in " ".join(line["notes"])]
    assert failed
    assert huge
    assert len(failed) + len(huge) == len(standing) < len(told)
    assert all(line["order"] == line["advice"] for line in standing)
    assert len(backend.ways) == chat.ledger.totals.calls


def test_a_budget_that_ends_lets_the_policy_order_on(tmp_path):
    backend = ScriptedBackend([Reply(json.dumps({"rationale": "", "order": 7}), 900, 100)] * 9)
    chat = Chat(backend, ChatConfig(token_budget=5000, answer_tokens=500))
    values, _, _ = run(chat, periods=8, limit=1, folder=tmp_path, advice="or")
    told = list(decisions(tmp_path).values())
    by_model = [line["source"] == "scripted:script" for line in told]
    answered = sum(by_model)
    assert 2 <= answered <= 4
    assert by_model == [True] * answered + [False] * (8 - answered)
    assert [line["order"] for line in told] == [row[0] for row in values["orders"]]
    assert "token budget" in told[-1]["notes"][0]
    assert chat.ledger.totals.tokens == 1000 * answered <= 5000


def test_a_script_that_runs_out_stops_the_run():
    chat = Chat(ScriptedBackend([{"rationale": "", "order": 3}]))
    with pytest.raises(ScriptError, match="question 2"):
        run(chat, periods=3, limit=1)


def test_insights_are_carried_over_and_bounded():
    texts = ["first note", "second note", "third note", "third note", ""]
    backend = ScriptedBackend([{"rationale": "r", "carry_over_insight": text, "order": 1} for text in texts])
    values, _, _ = run(Chat(backend), periods=5, limit=1, memory=2)
    backend.finish()
    assert list(values["memory"].values()) == [["second note", "third note"]]
    last = backend.asked[-1].messages[-1].content
    assert "third note" in last
    assert "first note" not in last
    assert "noted" not in backend.asked[0].messages[-1].content


def test_prompts_tell_what_may_be_seen_and_nothing_of_the_future():
    backend = ScriptedBackend([{"rationale": "r", "order": order} for order in (11, 22, 33)])
    _, context, _ = run(Chat(backend), periods=3, limit=1, advice="or", mode="or_to_llm")
    game = context.world.game
    text = backend.asked[2].messages[-1].content
    assert f"Demand from period 0 on: {', '.join(map(str, game.demand[0, :2]))}\n" in text
    assert "Operations research advises an order of" in text
    for hidden in ("lost", "lead_times", str(game.demand[0, 2:5].tolist())[1:-1]):
        assert hidden not in text.split("Decide in four steps")[0].replace("Lead times of", "")
    only = ScriptedBackend([{"rationale": "r", "order": 1}])
    run(Chat(only), periods=1, limit=1, mode="llm_only")
    assert "advises" not in only.asked[0].messages[-1].content


def test_limits_hold_in_every_period(tmp_path):
    values, context, _ = run(periods=6, limit=3, order_budget=150.0, capacity=220.0, folder=tmp_path)
    assert all(sum(row) <= 150 for row in values["orders"])
    facts = context.world.observe(values["orders"])
    assert sum(part["on_hand"] for part in facts) <= 220
    assert any("by the budget" in " ".join(line["notes"]) for line in decisions(tmp_path).values())


def test_a_person_explains_edits_and_accepts(tmp_path):
    settings = {"periods": 2, "limit": 2, "human": True, "order_budget": 500.0, "folder": tmp_path}
    values, context, graph = run(**settings)
    asked = values["__interrupt__"][0].value
    first, second = context.world.names
    assert [part["product"] for part in asked["products"]] == [first, second]

    def say(verdict):
        return run(given=Command(resume=verdict), graph=graph, **settings)[0]

    asked = say({"action": "explain", "products": [first]})["__interrupt__"][0].value
    assert list(asked["explained"]) == [first]
    assert "Capped base stock" in asked["explained"][first]
    for wrong, problem in (
        ({"action": "edit", "orders": {"nothing": 1}}, "no product"),
        ({"action": "edit", "orders": {first: -1}}, "-1"),
        ({"action": "edit", "orders": {first: 499, second: 2}}, "501 of the budget"),
        ("yes", "cannot be read"),
    ):
        assert problem in say(wrong)["__interrupt__"][0].value["problem"]
    values = say({"action": "edit", "orders": {first: 7}, "note": "a fair is on"})
    assert values["orders"][0][0] == 7
    assert values["__interrupt__"][0].value["period"] == 1
    values = say({"action": "accept"})
    assert "__interrupt__" not in values
    told = decisions(tmp_path)
    assert told[0, first]["source"] == "person"
    assert "a fair is on" in told[0, first]["notes"][-1]
    assert told[0, second]["source"] == "policy:inventory.computed"
    assert [told[1, name]["order"] for name in (first, second)] == values["orders"][1]


def test_checkpoints_hold_plain_values_alone(tmp_path):
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite import SqliteSaver

    with sqlite3.connect(tmp_path / "c.sqlite", check_same_thread=False) as connection:
        saver = SqliteSaver(connection)
        run(periods=2, limit=1, graph=InventoryAgent().build().compile(checkpointer=saver))
        rows = connection.execute("select type, checkpoint from checkpoints").fetchall()
    kept = [JsonPlusSerializer().loads_typed(row)["channel_values"] for row in rows]
    assert len(kept) > 8
    for values in kept:
        own = {name: value for name, value in values.items() if not name.startswith(("__", "branch:"))}
        assert json.loads(json.dumps(own)) == own


def test_the_studio_opens_every_graph_and_runs_it_from_json():
    import importlib.util

    listed = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
    folders = {path.parent.name for path in (ROOT / "agentrec/agents").glob("*/graph.py")}
    assert set(listed) == folders
    for name, target in listed.items():
        path, _, attribute = target.partition(":")
        spec = importlib.util.spec_from_file_location(f"studio_{name}", ROOT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        graph = getattr(module, attribute)
        assert graph.get_context_jsonschema()["type"] == "object"
        assert graph.get_input_jsonschema()["type"] == "object"
        assert graph.get_graph().draw_mermaid()
    values = graph.invoke({}, context={"data": "families", "limit": 1, "periods": 2, "chat_settings": {}})
    assert len(values["orders"]) == 2


def test_contexts_refuse_unknown_settings():
    with pytest.raises(ValueError, match="no setting 'speed'"):
        InventoryAgent().context({"speed": 3})
    assert isinstance(InventoryAgent().context({"limit": 2}), Context)
