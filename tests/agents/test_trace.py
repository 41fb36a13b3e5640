import json
import re

import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extra agents")

from agentrec.agents.events import cut, read_steps
from agentrec.agents.run import start_run
from agentrec.agents.trace import trace_of, write_trace
from agentrec.core.errors import ArtefactError
from agentrec.core.lines import append_line
from agentrec.serving.chat.config import ChatConfig

NAME = "<script>alert(1)</script> jane@example.org"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run for a shop whose product has a name that must not act, nor stay as it is."""
    where = tmp_path_factory.mktemp("trace")
    (where / "shop.csv").write_text(
        f"week,sku,demand,profit,holding_cost,on_hand\n1,{NAME},5,2,1,3\n2,{NAME},6,2,1,4\n1,tea,3,2,1,3\n2,tea,2,2,1,1\n"
    )
    start_run("inventory", {"data": str(where / "shop.csv")}, ChatConfig(), where / "run")
    return where / "run"


def test_every_step_is_there_with_what_went_in_and_out(folder):
    trace = trace_of(folder)
    nodes = [step["node"] for step in trace["steps"]]
    assert nodes == ["observe", "advise", "consult", "consult", "check", "order"]
    assert all(step["status"] == "done" and step["seconds"] >= 0 for step in trace["steps"])
    consulted = trace["steps"][2]
    assert consulted["input"]["facts"]["demand"] == [5, 6]
    assert consulted["output"]["answers"]["by_product"]
    assert [call["step"] for call in consulted["calls"]] == ["inventory/or_to_llm"]
    assert trace["totals"]["calls"] == 2
    assert [row[0] for row in trace["outcome"]["rows"]] == ["<script>alert(1)</script> [personal]", "tea"]
    assert [mark["what"] for mark in trace["marks"]] == ["started", "done"]
    assert json.loads(json.dumps(trace)) == trace


def test_the_page_stands_alone_and_nothing_in_it_acts(folder):
    page = write_trace(folder).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert page.count("<details") == 6 + 2
    assert "computed, no model" in page
    assert "jane@example.org" not in page
    assert "jane@example.org" not in (folder / "events.jsonl").read_text()


def test_steps_that_were_killed_or_failed_are_told(tmp_path):
    path = tmp_path / "events.jsonl"
    start = {"kind": "start", "node": "a", "content": {}}
    append_line(path, {**start, "id": "1", "at": 1.0})
    append_line(path, {"kind": "call", "id": "1", "at": 1.5, "prompt_tokens": 5, "completion_tokens": 2, "calls": 1})
    append_line(path, {**start, "id": "2", "at": 2.0})
    end = {"kind": "end", "id": "2", "node": "a", "content": None, "error": "boom", "questions": []}
    append_line(path, {**end, "at": 2.25})
    append_line(path, {"kind": "call", "id": "unknown", "at": 3.0})
    steps, marks = read_steps(path)
    assert [(step.seconds, step.error, step.tokens) for step in steps] == [(None, "", 7), (0.25, "boom", 0)]
    assert marks == []


def test_long_content_is_cut_and_says_so():
    found = cut({"a": "x" * 2000, "b": list(range(100)), "c": {"d": 1.5}})
    assert found["a"].endswith("500 signs more")
    assert (len(found["b"]), found["b"][-1]) == (81, "... 20 more")
    assert found["c"] == {"d": 1.5}


def test_folders_without_a_trace(tmp_path):
    with pytest.raises(ArtefactError, match=r"no run\.json"):
        trace_of(tmp_path)
