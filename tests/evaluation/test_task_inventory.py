"""The task of inventory: drawn series, benchmark folders and a shop's file, with the digest that scripts read."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentrec.cli.app import app
from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.result import Result
from agentrec.evaluation.run import Order, run_task


def run(folder: Path, **values) -> Result:
    return run_task(Order("inventory", values, store=folder / "store"), resampling=Resampling(100)).result


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return run(tmp_path_factory.mktemp("inventory"), policy="or,newsvendor,perfect_foresight", limit=45)


def test_scores_stand_in_the_digest_by_policy_and_family(drawn):
    policies = drawn.to_json()["policies"]
    assert set(policies) == {"or", "newsvendor", "perfect_foresight"}
    for name, found in policies.items():
        assert found["mean"] == pytest.approx(drawn[name]["score"], abs=1e-6)
        assert set(found["families"]) == {"lead_time_0", "lead_time_4", "lead_time_stochastic"}
    slices = {part.value: part.systems["or"]["score"].mean for part in drawn.slices if part.column == "family"}
    assert slices == pytest.approx(policies["or"]["families"], abs=1e-5)
    assert policies["perfect_foresight"]["families"]["lead_time_0"] == 1.0


def test_nobody_beats_foresight_and_pairs_are_compared(drawn):
    assert drawn["perfect_foresight"]["of_best"] == pytest.approx(1)
    assert max(drawn["or"]["of_best"], drawn["newsvendor"]["of_best"]) < 1
    winners = {frozenset((row.first, row.second)): row.winner for row in drawn.comparisons}
    assert winners[frozenset(("or", "perfect_foresight"))] == "perfect_foresight"
    assert drawn.samples[0].answers["or"][0].startswith("period 1: ordered ")


def test_the_digest_survives_the_disk(drawn, tmp_path):
    again = Result.load(drawn.save(tmp_path / "result"))
    assert again.digest == drawn.digest
    assert again.to_json() == drawn.to_json()
    for name in ("report.md", "report.html"):
        text = (tmp_path / "result" / name).read_text(encoding="utf-8").replace("\\_", "_")
        assert "lead_time_4" in text, name


def test_a_shop_plays_its_own_file_from_the_command_line(tmp_path):
    path = tmp_path / "tea.csv"
    path.write_text("\n".join(["date,demand", *(f"2026-01-{day:02d},{20 + day % 7}" for day in range(1, 31))]))
    words = ["eval", "run", "inventory", "--data", str(path), "--profit", "3", "--holding-cost", "0.5"]
    words += ["--lead-time", "1", "--policy", "or,adaptive", "--store", str(tmp_path / "store"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    policies = json.loads(done.output.splitlines()[-1])["policies"]
    assert list(policies["adaptive"]["families"]) == ["lead_time_1"]
    assert policies["adaptive"]["mean"] > 0.7


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"policy": "magic"}, UnknownNameError, "no method 'magic'"),
        ({"limit": 0}, ConfigError, "limit is 0"),
        ({"profit": 3.0}, ConfigError, "for CSV files"),
        ({"data": "nowhere"}, DataError, "nowhere is no folder"),
        ({"data": "nowhere.csv"}, DataError, r"nowhere\.csv is no file"),
    ],
)
def test_wrong_settings_are_named(tmp_path, values, error, says):
    with pytest.raises(error, match=says):
        run(tmp_path, **values)
