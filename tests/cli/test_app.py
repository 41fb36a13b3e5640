"""The command line as a person meets it: help, one-line errors with exit code 2, JSON on the last line."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentrec import __version__
from agentrec.cli.app import app, main
from agentrec.cli.recommend import find_title
from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue

RUN = CliRunner()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = RUN.invoke(app, ["data", "shop", "--users", "120", "--items", "60", "--out", str(folder / "data")])
    assert done.exit_code == 0, done.output
    done = RUN.invoke(
        app, ["train", "cf", "--data", str(folder / "data"), "--model", "transitions", "--out", str(folder / "model")]
    )
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("verb", [[], ["data"], ["sids"], ["train"], ["train", "cf"], ["train", "sft"], ["recommend"],
                                  ["eval"], ["eval", "run"], ["run"], ["list"]])  # fmt: skip
def test_every_verb_helps(verb: list[str]) -> None:
    done = RUN.invoke(app, [*verb, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output
    if len(verb) == 2 or verb in (["recommend"], ["run"], ["list"]):
        assert "Example" in done.output


def test_list_and_version() -> None:
    found = json.loads(RUN.invoke(app, ["list", "--json"]).stdout.splitlines()[-1])
    assert {"popularity", "transitions", "sasrec"} <= set(found["recommenders"])
    assert "quickstart" in found["recipes"]
    assert "next_item" in found["evaluation tasks"]
    assert RUN.invoke(app, ["--version"]).stdout.strip() == __version__


def test_recommend_by_user_and_by_titles(shop: Path) -> None:
    base = ["recommend", "--model", str(shop / "model"), "--data", str(shop / "data"), "-n", "4"]
    users = json.loads(RUN.invoke(app, ["data", "show", str(shop / "data"), "--json"]).stdout.splitlines()[-1])
    assert users["summary"]["users"] == 120
    first = json.loads(RUN.invoke(app, [*base, "--title", "e", "--json"]).stdout.splitlines()[-1])
    assert len(first["recommendations"]) == 4
    assert all(set(row) == {"item", "title", "score"} for row in first["recommendations"])
    again = RUN.invoke(app, [*base, "--title", first["history"][0], "--exclude-seen"])
    assert again.exit_code == 0
    assert "recommended" in again.stdout


def test_errors_are_one_line_and_exit_code_two(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("user,item,order\nu,a,first\nu,b,2\n")
    (tmp_path / "model").mkdir()
    cases = [
        (["recommend", "--model", str(shop / "model"), "--data", str(shop / "data"), "--user", "nobody"], "'nobody'"),
        (
            ["recommend", "--model", str(tmp_path / "model"), "--data", str(shop / "data"), "--title", "e"],
            "agentrec.json",
        ),
        (["run", "no-such-recipe"], "no recipe 'no-such-recipe'"),
        (["run", "quickstart", "--items", "x.csv"], "without --interactions"),
        (["data", "prepare", str(tmp_path / "bad.csv"), "--out", str(tmp_path / "out")], "first"),
    ]
    for arguments, message in cases:
        monkeypatch.setattr(sys, "argv", ["agentrec", *arguments])
        with pytest.raises(SystemExit) as left, warnings.catch_warnings():
            main()
        assert left.value.code == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert message in last
    assert not (tmp_path / "out").exists()


def test_a_process_ends_with_code_two_and_no_traceback() -> None:
    command = [sys.executable, "-m", "agentrec", "run", "no-such-recipe"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no recipe 'no-such-recipe'")
    assert "Traceback" not in done.stderr


def test_a_typed_title_finds_the_nearest_thing() -> None:
    catalogue = Catalogue(("1", "2", "3"), {"title": ("Blue Tent", "Tent", "Boots ✨")})
    assert find_title(catalogue, "tent") == 1
    assert find_title(catalogue, "blue") == 0
    assert find_title(catalogue, "✨") == 2
    with pytest.raises(DataError, match="'Boots ✨'"):
        find_title(catalogue, "bots")
