import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import agentrec
from agentrec.cli.eval import app
from agentrec.core.errors import AgentrecError
from agentrec.evaluation.result import Result
from agentrec.evaluation.tasks import load_task, task_files

runner = CliRunner()
ROOT = Path(agentrec.__file__).parents[1]

TASK = '''"""Has problems."""
from dataclasses import dataclass
import pandas as pd
from agentrec.core.config import setting
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task

@dataclass(frozen=True)
class Config:
    problem: str = setting("", "what goes wrong")
    {extra}

@task
def mine(config: Config) -> Task:
    units = pd.DataFrame({{"unit": ["a", "b", "c"]}})
    problems = (config.problem,) if config.problem else ()
    measure = lambda made, progress=False: Measured(units.assign(x=[0.0, 1.0, made]), problems=problems)
    systems = {{name: System(lambda seed: float(seed), {{"n": name}}, seeded=True) for name in ("one", "[bold]two")}}
    settings = {{"problem": config.problem}}
    return Task("What is x?", {{"name": "d"}}, units, (Metric("x", headline=True),), systems, measure, settings)
'''


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve users who walk through eight items."""
    rows = [f"u{user},i{(user + step) % 8},{step}" for user in range(12) for step in range(5)]
    path = tmp_path_factory.mktemp("data") / "clicks.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def own_task(tmp_path):
    (tmp_path / "mine.py").write_text(TASK.format(extra=""))
    return tmp_path / "mine.py"


def evaluate(table, store, *more):
    arguments = ["run", "next_item", "--data", table, "--store", store, "--bootstrap", 50, *more]
    return runner.invoke(app, [str(word) for word in arguments], catch_exceptions=False)


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(table, store):
    done = evaluate(table, store, "--recommender", "popularity,transitions", "--out", store / "first")
    assert done.exit_code == 0
    assert "transitions" in done.stdout
    assert "pairwise, same units" in done.stdout
    assert f"report: {store / 'first' / 'report.html'}" in done.stdout
    return store / "first"


def test_json_is_the_last_line_and_equals_the_file(table, store, tmp_path):
    done = evaluate(table, store, "--recommender", "popularity", "--out", tmp_path / "out", "--json")
    found = last_line(done)
    assert found.pop("folder") == str(tmp_path / "out")
    assert found == json.loads((tmp_path / "out" / "result.json").read_text())
    assert len(done.stdout.splitlines()) == 1
    assert "user/s" not in done.stderr
    assert "popularity, seed 0: " in done.stderr


def test_options_of_the_task_and_of_the_run_may_stand_in_any_order(table, store):
    words = ["--recommender", "x=popularity", "--json", "--part", "validation", "--seeds", 2, "--exclude-seen"]
    found = last_line(evaluate(table, store, *words, "--limit", 5, "--metrics", "ndcg@10"))
    expected = {"part": "validation", "exclude_seen": True, "limit": 5, "metrics": ["ndcg@10"]}
    assert {key: found["provenance"]["settings"][key] for key in expected} == expected
    assert found["provenance"]["resampling"] == {"resamples": 50, "seed": 0}
    assert found["provenance"]["seeds"] == {"x": [0]}
    assert list(found["systems"]) == ["x"]


def test_by_default_the_result_lies_in_the_store_and_is_kept(table, store):
    words = ["--recommender", "transitions", "--limit", 7]
    first, second = evaluate(table, store, *words, "--json"), evaluate(table, store, *words, "--json")
    assert last_line(first)["folder"] == last_line(second)["folder"]
    assert last_line(first)["folder"].startswith(str(store / "next_item-"))
    assert "measuring" in first.stderr
    assert "kept from before" in second.stderr
    assert "measuring" not in second.stderr


def test_a_task_of_ones_own_runs_with_seeds_and_processes(own_task, tmp_path):
    arguments = ["run", "mine.py", "--seeds", "4,6", "--bootstrap", "20", "--json", "--store", "store"]
    found = last_line(runner.invoke(app, arguments, catch_exceptions=False))
    assert found["provenance"]["seeds"] == {"one": [4, 6], "[bold]two": [4, 6]}
    assert found["systems"]["one"]["x"]["mean"] == pytest.approx(2.0)
    shown = runner.invoke(app, ["run", "mine.py", "--store", "store"], catch_exceptions=False)
    assert "[bold]two" in shown.stdout  # names are no markup


def test_problems_are_told_and_the_exit_code_is_one(own_task):
    arguments = ["run", str(own_task), "--store", "store", "--problem", "the test set leaked"]
    shown, as_json = runner.invoke(app, arguments), runner.invoke(app, [*arguments, "--json"])
    assert (shown.exit_code, as_json.exit_code) == (1, 1)
    assert "problem: one: the test set leaked" in shown.stderr
    assert last_line(as_json)["problems"] == ["one: the test set leaked", "[bold]two: the test set leaked"]
    assert runner.invoke(app, arguments[:-2]).exit_code == 0


def test_tasks_are_listed(own_task):
    shown = runner.invoke(app, ["list"], catch_exceptions=False).stdout
    found = last_line(runner.invoke(app, ["list", "--json"], catch_exceptions=False))
    for name in task_files():
        assert name in shown
        assert found[name]


def test_results_are_compared(folder, store, table):
    found = last_line(runner.invoke(app, ["compare", str(folder), str(folder), "--json"], catch_exceptions=False))
    assert found["num_units"] == 12
    assert [row["difference"] for row in found["comparisons"]] == [0.0] * 4
    shown = runner.invoke(app, ["compare", str(folder), str(folder)], catch_exceptions=False).stdout
    assert "12 shared units" in shown
    assert "transitions" in shown


@pytest.mark.parametrize(
    ("format", "file", "start"),
    [
        ("markdown", "report.md", "#"),
        ("latex", "report.tex", "\\begin{table}"),
        ("html", "report.html", "<!doctype html>"),
    ],
)
def test_reports_are_written_again_and_one_is_printed(folder, format, file, start):
    before = {name.name: name.read_bytes() for name in folder.iterdir()}
    (folder / file).unlink()
    done = runner.invoke(app, ["report", str(folder), "--format", format], catch_exceptions=False)
    assert done.stdout.strip() == (folder / file).read_text().strip()
    assert done.stdout.startswith(start)
    assert {name.name: name.read_bytes() for name in folder.iterdir()} == before


def test_the_report_as_json_is_the_result(folder):
    for flags in (["--json"], ["--format", "json"]):
        found = last_line(runner.invoke(app, ["report", str(folder), *flags], catch_exceptions=False))
        assert found == json.loads((folder / "result.json").read_text())
    assert set(Result.load(folder).systems) == {"popularity", "transitions"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nothing", "--data", "shop"],
        ["run", "nothing.py"],
        ["run", "next_item", "--data", "nowhere.csv"],
        ["run", "next_item", "--data", "shop", "--part", "train"],
        ["run", "next_item", "--data", "shop", "--recommenders", "popularity"],
        ["run", "next_item", "--data", "shop", "--metrics", "ndcg"],
        ["run", "next_item", "--data", "shop", "--limit", "few"],
        ["run", "next_item", "--data", "shop", "--limit", "0"],
        ["run", "next_item", "--data", "shop", "--seeds", "none"],
        ["run", "next_item", "--data", "shop", "--seeds", "0"],
        ["run", "next_item", "--data", "shop", "--jobs", "0"],
        ["run", "next_item", "--data", "shop", "--bootstrap", "0"],
        ["run", "next_item", "--recommender", "popularity", "--recommender", "transitions"],
        ["run", "next_item", "shop"],
        ["run", "--data", "shop", "next_item"],
        ["compare", "nowhere", "nowhere"],
        ["report", "nowhere"],
    ],
)
def test_errors_are_one_sentence_a_user_can_act_on(arguments):
    error = runner.invoke(app, arguments).exception
    assert isinstance(error, AgentrecError), repr(error)
    assert any(word in str(error) for word in ("expected", "exist", "--help"))
    assert "\n" not in str(error)


def test_a_task_may_not_shadow_options_of_the_run(tmp_path):
    (tmp_path / "mine.py").write_text(TASK.format(extra="seeds: int = 3"))
    error = runner.invoke(app, ["run", "mine.py"]).exception
    assert "Config has a setting 'seeds', which is an option of `agentrec eval run mine.py` itself" in str(error)


def test_no_shipped_task_shadows_options_of_the_run():
    for name in task_files():
        assert runner.invoke(app, ["run", name, "--help"], catch_exceptions=False).exit_code == 0


def test_help_shows_examples_and_after_a_task_its_options():
    for arguments in (["run"], ["run", "--help"]):
        done = runner.invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        assert "agentrec eval run next_item" in done.stdout
        assert "--exclude-seen" not in done.stdout
    for arguments in (["run", "next_item", "--help"], ["run", "--help", "next_item"]):
        shown = runner.invoke(app, arguments, catch_exceptions=False).stdout
        assert "Options of next_item:" in shown
        for name in load_task("next_item").config.__dataclass_fields__:
            assert f"--{name.replace('_', '-')} " in shown or f"--{name.replace('_', '-')}," in shown
        assert "--jobs" in shown


def test_a_process_ends_with_code_two_and_one_line():
    command = [sys.executable, "-m", "agentrec", "eval", "run", "next_item", "--data", "shop", "--limit", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == ["error: limit is 0; expected at least 1 user, or no limit"]
