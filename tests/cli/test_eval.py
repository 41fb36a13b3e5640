import json

import pytest
from typer.testing import CliRunner

from agentrec.cli.eval import app
from agentrec.core.errors import AgentrecError
from agentrec.evaluation.result import Result

runner = CliRunner()


def run_arguments(table, recommenders):
    return ["run", "next_item", "--data", str(table), "--recommenders", recommenders]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve users who walk through eight items."""
    rows = [f"u{user},i{(user + step) % 8},{step}" for user in range(12) for step in range(5)]
    path = tmp_path_factory.mktemp("data") / "clicks.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    arguments = [
        "run",
        "next_item",
        "--data",
        str(table),
        "--recommenders",
        "popularity,transitions",
        "--out",
        str(out),
    ]
    done = runner.invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "transitions" in done.stdout
    assert "report.html" in done.stdout
    return out


def test_json_is_the_last_line_and_equals_the_file(table, tmp_path):
    arguments = [
        "run",
        "next_item",
        "--data",
        str(table),
        "--recommenders",
        "popularity",
        "--out",
        str(tmp_path),
        "--json",
    ]
    done = runner.invoke(app, arguments, catch_exceptions=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == json.loads((tmp_path / "result.json").read_text())
    assert "it/s" not in done.stdout
    assert "user/s" not in done.stdout


def test_options_reach_the_task(table):
    arguments = [*run_arguments(table, "x=popularity"), "--json"]
    options = ["--part", "validation", "--exclude-seen", "--seed", "3", "--limit", "5", "--bootstrap", "50"]
    done = runner.invoke(app, [*arguments, *options], catch_exceptions=False)
    found = json.loads(done.stdout.splitlines()[-1])
    expected = {"part": "validation", "exclude_seen": True, "seed": 3, "limit": 5, "bootstrap": 50}
    assert {key: found["provenance"]["config"][key] for key in expected} == expected
    assert list(found["recommenders"]) == ["x"]


def test_tasks_are_listed():
    assert "next_item" in runner.invoke(app, ["list"], catch_exceptions=False).stdout
    assert "next_item" in json.loads(runner.invoke(app, ["list", "--json"], catch_exceptions=False).stdout)


def test_results_are_compared(folder):
    done = runner.invoke(app, ["compare", str(folder), str(folder), "--json"], catch_exceptions=False)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["num_users"] == 12
    assert [row["difference"] for row in found["comparisons"]] == [0.0] * 4
    shown = runner.invoke(app, ["compare", str(folder), str(folder)], catch_exceptions=False).stdout
    assert "12 shared users" in shown


def test_the_report_is_written_again(folder):
    before = (folder / "result.json").read_bytes()
    (folder / "report.html").unlink()
    done = runner.invoke(app, ["report", str(folder)], catch_exceptions=False)
    assert done.stdout.strip() == (folder / "report.md").read_text().strip()
    assert (folder / "report.html").is_file()
    assert (folder / "result.json").read_bytes() == before
    assert set(Result.load(folder).recommenders) == {"popularity", "transitions"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nothing", "--data", "shop", "--recommenders", "popularity"],
        ["run", "next_item", "--data", "nowhere.csv", "--recommenders", "popularity"],
        ["run", "next_item", "--data", "shop", "--recommenders", "popularity", "--part", "train"],
        ["compare", "nowhere", "nowhere"],
        ["report", "nowhere"],
    ],
)
def test_errors_are_one_sentence_a_user_can_act_on(arguments):
    error = runner.invoke(app, arguments).exception
    assert isinstance(error, AgentrecError)
    assert "expected" in str(error) or "exist" in str(error)
    assert "\n" not in str(error)


def test_help_shows_examples():
    shown = runner.invoke(app, ["run", "--help"], catch_exceptions=False).stdout
    assert "agentrec eval run next_item" in shown
