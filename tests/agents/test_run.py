import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extra agents")

from filelock import FileLock
from langgraph.checkpoint.sqlite import SqliteSaver

from agentrec.agents.agent import AgentContext
from agentrec.agents.run import RUN, resume_run, start_run
from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError
from agentrec.core.files import read_json
from agentrec.core.lines import read_lines
from agentrec.serving.chat.backends.policy import PolicyBackend
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig

SETTINGS = {"periods": 8, "limit": 2}
KILLED = """
import os, signal, sys
import agentrec.agents.inventory.graph  # once, for both children
from agentrec.agents import events
from agentrec.agents.run import resume_run, start_run
from agentrec.serving.chat.config import ChatConfig

folder, write = sys.argv[1], events.EventLog._write

def die_after(lines):
    left = iter(range(lines - 1, -1, -1))
    def dying(self, event):
        write(self, event)
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)
    events.EventLog._write = dying

for lines in (20, 25):
    child = os.fork()
    if not child:
        die_after(lines)
        if lines == 20:
            start_run("inventory", {"periods": 8, "limit": 2}, ChatConfig(), folder)
        else:
            resume_run(folder)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_run_killed_twice_goes_on_to_the_same_end(tmp_path):
    whole = start_run("inventory", SETTINGS, ChatConfig(), tmp_path / "whole")
    folder = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["-9", "-9"], done.stderr
    assert len(read_lines(folder / "events.jsonl")) == 20 + 25
    said = []
    outcome = resume_run(folder, say=said.append)
    assert outcome.status == "done"
    assert outcome.result == whole.result
    assert 0 < len([event for event in said if event["kind"] == "progress"]) < 8
    decisions = [
        {(line["period"], line["product"]): line for line in read_lines(path / "decisions.jsonl")}
        for path in (folder, tmp_path / "whole")
    ]
    assert decisions[0] == decisions[1]
    marks = [event["what"] for event in read_lines(folder / "events.jsonl") if event["kind"] == "run"]
    assert marks == ["started", "resumed", "resumed", "done"]
    calls = [len(read_lines(path / "ledger.jsonl")) for path in (folder, tmp_path / "whole")]
    assert calls[1] == 16 <= calls[0] <= 16 + 2 * 2  # at most one moment's questions are asked again per kill
    assert resume_run(folder).result == whole.result
    assert read_json(folder / "result.json")["spent"]["calls"] == calls[0]


def test_a_run_goes_on_from_every_state_that_ever_was_on_disk(tmp_path, monkeypatch):
    """A kill leaves what was written last; here every write of a run is one such moment."""
    kept = []

    class Copying(SqliteSaver):
        def put(self, *values):
            done = super().put(*values)
            self.copy()
            return done

        def put_writes(self, *values):
            super().put_writes(*values)
            self.copy()

        def copy(self):
            with self.lock:
                target = tmp_path / f"moment-{len(kept)}"
                shutil.copytree(tmp_path / "whole", target, ignore=shutil.ignore_patterns("checkpoints*", "result*"))
                with contextlib.closing(sqlite3.connect(target / "checkpoints.sqlite")) as connection:
                    self.conn.backup(connection)
                kept.append(target)

    settings = {"periods": 2, "limit": 2, "advice": "or"}
    with monkeypatch.context() as patch:
        patch.setattr("agentrec.agents.run.SqliteSaver", Copying)
        whole = start_run("inventory", settings, ChatConfig(), tmp_path / "whole")
    assert len(kept) > 20
    for folder in kept[1::3] + kept[-3:]:
        assert resume_run(folder).result == whole.result, folder


def test_a_run_names_all_that_made_it(tmp_path):
    start_run("inventory", {"periods": 1, "limit": 1}, ChatConfig(), tmp_path / "run")
    record = read_json(tmp_path / "run" / RUN)
    assert record["backend"] == "policy:inventory.computed"
    assert record["settings"] == {"periods": 1, "limit": 1}
    assert set(record) >= {"data", "prompts", "code", "versions", "chat"}
    assert record["prompts"]["inventory/or_to_llm"]
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["spent"]["backend"], result["spent"]["model"]) == ("policy", "inventory.computed")


def test_a_waiting_run_waits_until_it_is_answered(tmp_path):
    settings = {"periods": 1, "limit": 1, "human": True}
    outcome = start_run("inventory", settings, ChatConfig(), tmp_path / "run")
    assert outcome.status == "waiting"
    before = (tmp_path / "run" / "events.jsonl").read_bytes()
    assert resume_run(tmp_path / "run").question == outcome.question
    assert (tmp_path / "run" / "events.jsonl").read_bytes() == before
    done = resume_run(tmp_path / "run", {"action": "accept"})
    assert (done.status, done.question) == ("done", None)
    with pytest.raises(ConfigError, match="asks nothing"):
        resume_run(tmp_path / "run", {"action": "accept"})


def test_folders_that_are_taken_or_hold_no_run(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    with pytest.raises(AgentrecError, match="not empty"):
        start_run("inventory", {}, ChatConfig(), tmp_path / "full")
    with pytest.raises(ArtefactError, match=r"holds no run\.json"):
        resume_run(tmp_path)
    (tmp_path / RUN).write_text(json.dumps({"format": 99}))
    with pytest.raises(ArtefactError, match="another format"):
        resume_run(tmp_path)


def test_nothing_is_left_by_a_run_that_cannot_start(tmp_path):
    with pytest.raises(ConfigError, match="no setting"):
        start_run("inventory", {"speed": 1}, ChatConfig(), tmp_path / "run")
    with pytest.raises(ConfigError, match="expected an address"):
        start_run("inventory", {"limit": 1}, ChatConfig(backend="openai"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_process_at_a_time_and_always_on_the_same_data(tmp_path):
    shop = tmp_path / "shop.csv"
    shop.write_text("week,demand,profit,holding_cost,on_hand\n1,5,2,1,3\n2,6,2,1,4\n")
    settings = {"data": str(shop), "human": True}
    start_run("inventory", settings, ChatConfig(), tmp_path / "run")
    with FileLock(tmp_path / "run" / "lock"), pytest.raises(AgentrecError, match="another process"):
        resume_run(tmp_path / "run", {"action": "accept"})
    shop.write_text(shop.read_text() + "3,9,2,1,0\n")
    with pytest.raises(ArtefactError, match="expected the same data"):
        resume_run(tmp_path / "run", {"action": "accept"})


def test_a_run_closes_the_connections_that_it_opened_and_no_others(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(PolicyBackend, "close", lambda backend: closed.append(backend), raising=False)
    start_run("inventory", {"periods": 2, "limit": 1}, ChatConfig(), tmp_path / "run")
    assert len(closed) == 1
    resume_run(tmp_path / "run")
    assert len(closed) == 2
    AgentContext(live=Chat(closed[0])).close()
    AgentContext().close()  # nothing was opened
    assert len(closed) == 2
