import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extra agents")

from agentrec.cli.agent import app
from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.lines import read_lines

runner = CliRunner()

SHOP = """week,sku,demand,profit,holding_cost,on_hand,unit_cost
1,tea,20,4,1,30,2
2,tea,25,4,1,5,2
1,coffee,5,3,1,10,5
2,coffee,6,3,1,4,5
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text(SHOP)


def call(*words, given=None):
    return runner.invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])


def test_a_shopkeeper_gets_orders_with_reasons():
    done = call("run", "inventory", "--data", "my.csv", "--out", "run", "--json")
    found = last_line(done)
    assert (done.exit_code, found["status"], found["folder"]) == (0, "done", "run")
    assert [part["product"] for part in found["products"]] == ["coffee", "tea"]
    for part in found["products"]:
        assert part["order"] > 0
        assert str(part["order"]) in part["reasons"]
        assert part["source"] == "policy:inventory.computed"
        assert "(up to 2)" in part["reasons"]
        assert "in 80 of 100 periods" in part["reasons"] or part["product"] == "coffee"
    table = call("run", "inventory", "--data", "my.csv")
    assert "tea" in table.stdout
    assert "computed" in table.stdout
    assert "run: runs/agents/inventory-" in table.stdout
    assert "1/1: ordered" in table.stderr


def test_a_person_is_asked_on_the_terminal_until_the_answer_can_be_taken():
    words = "what\nexplain tea\ntea=9000\ntea=3 because a fair is off\n"
    options = ("--data", "my.csv", "--human", "--order-budget", 50, "--ask", "--out", "run")
    done = call("run", "inventory", *options, given=words)
    assert done.exit_code == 0
    assert "cannot be read" in done.stderr
    assert "Capped base stock" in done.stderr
    assert "problem: the orders take" in done.stderr
    told = {line["product"]: line for line in read_lines(Path("run/decisions.jsonl"))}
    assert (told["tea"]["order"], told["tea"]["source"]) == (3, "person")
    assert "a fair is off" in told["tea"]["notes"][-1]


def test_a_run_that_waits_is_answered_later():
    waiting = call("run", "inventory", "--data", "my.csv", "--human", "--out", "run", "--json")
    found = last_line(waiting)
    assert (found["status"], found["question"]["period"]) == ("waiting", 0)
    shown = call("resume", "run", "--no-ask")
    assert "agentrec agent resume run --answer" in shown.stdout
    again = last_line(call("resume", "run", "--answer", '{"action": "edit", "orders": {"tea": -1}}', "--json"))
    assert "-1" in again["question"]["problem"]
    with pytest.raises(AgentrecError, match="'milk'"):
        call("resume", "run", "--answer", "milk=2")
    done = last_line(call("resume", "run", "--answer", "tea=2, coffee=1", "--json"))
    assert done["status"] == "done"
    assert {part["product"]: part["order"] for part in done["products"]} == {"tea": 2, "coffee": 1}
    with pytest.raises(ConfigError, match="asks nothing"):
        call("resume", "run", "--answer", "accept")


def test_leaving_the_dialogue_leaves_the_run_waiting():
    done = call("run", "inventory", "--data", "my.csv", "--human", "--ask", "--out", "run", given="")
    assert done.exit_code == 0
    assert "the run waits for you" in done.stdout
    assert last_line(call("resume", "run", "--answer", "accept", "--json"))["status"] == "done"


def test_the_trace_is_a_page_and_json():
    call("run", "inventory", "--data", "my.csv", "--out", "run")
    done = call("trace", "run")
    assert "consult" in done.stdout
    assert Path("run/trace.html").read_text().startswith("<!doctype html>")
    assert last_line(call("trace", "run", "--json"))["totals"]["calls"] == 2


def test_agents_are_listed_and_their_options_explained():
    assert list(last_line(call("list", "--json"))) == ["inventory"]
    assert "inventory" in call("list").stdout
    shown = call("run", "inventory", "--help").stdout
    for option in ("--order-budget", "--token-budget", "--out", "--advice"):
        assert option in shown
    assert "agentrec agent run inventory --data my.csv" in call("run", "--help").stdout


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("run", "inventory", "--speed", "3"), "unrecognized arguments"),
        (("run", "--data", "my.csv"), "before the agent's name"),
        (("run", "sailing"), "no method 'sailing'"),
        (("run", "inventory", "--mode", "guess"), "invalid choice"),
        (("run", "inventory", "--data", "none.csv"), r"none\.csv is no file"),
        (("run", "inventory", "--data", "my.csv", "--backend", "scripted"), "for tests alone"),
        (("run", "inventory", "--data", "my.csv", "--advice", "guess"), "no method 'guess'"),
        (("play", "chess"), "no game 'chess'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(words, match):
    with pytest.raises(AgentrecError, match=match):
        call(*words)


def test_a_person_plays_with_and_without_advice():
    options = ("play", "inventory", "--periods", 3, "--log", "log.jsonl", "--json")
    alone = call(*options, given="100\nlots\n-3\n50\nq\n")
    assert last_line(alone)["periods"] == 2
    assert "'lots' is no order" in alone.stderr
    assert "expected 0 to" in alone.stderr
    assert "advises" not in alone.stdout
    rest = last_line(call(*options, given="20\n"))
    assert rest["periods"] == 3
    assert 0 <= rest["score"] <= rest["best"]
    helped = call(*options, "--advice", "adaptive", "--player", "p2", given="10\n10\n10\n")
    assert "adaptive advises" in helped.stdout
    assert last_line(helped)["advice_alone"] >= 0
    lines = read_lines(Path("log.jsonl"))
    assert [(line["player"], line["period"]) for line in lines] == [
        (player, period) for player in ("player", "p2") for period in range(3)
    ]


def test_a_study_reads_the_logs():
    for seed in (0, 1):
        for player in ("a", "b"):
            for advice in ("none", "or"):
                options = ("--periods", 2, "--seed", seed, "--player", player, "--advice", advice, "--log", "log.jsonl")
                call("play", "inventory", *options, given="100\n100\n")
    found = last_line(call("study", "log.jsonl", "--json"))
    assert (found["estimate"], found["low"]) == (0.0, 0.0)
    assert "did better with advice" in call("study", "log.jsonl").stdout
