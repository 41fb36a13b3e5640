"""``agentrec data`` from files to a folder that other verbs read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentrec.cli.data import app
from agentrec.core.errors import ConfigError, DataError
from agentrec.data.load import load_dataset
from agentrec.data.shop import Shop

ROWS = "who,what,step\nann,007,1\nann,[b]🍕[/b],2\nbob,007,3\nbob,[b]🍕[/b],1\nbob,rare,2\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    items = "what,label,colour\n007,Bond [x],black\n[b]🍕[/b],Pizza,red\nrare,Rare,blue\n"
    (tmp_path / "items.csv").write_text(items, encoding="utf-8")
    return tmp_path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def last(output: str) -> dict:
    return json.loads(output.splitlines()[-1])


def columns() -> list[str]:
    return ["--user-column", "who", "--item-column", "what", "--order-column", "step", "--title-column", "label"]


def test_prepare_writes_what_show_reads(files):
    out = files / "mine"
    found = last(run("prepare", "--interactions", files / "rows.csv", "--items", files / "items.csv", *columns(),
                     "--name", "tiny", "--out", out, "--json"))  # fmt: skip
    assert (found["name"], found["users"], found["items"], found["interactions"]) == ("tiny", 2, 3, 5)
    data = load_dataset(out)
    assert data.fingerprint == found["fingerprint"]
    assert data.provenance["source"] == str(files / "rows.csv")
    shown = last(run("show", out, "--users", 1, "--length", 1, "--json"))
    assert shown["examples"] == [{"user": "ann", "length": 2, "items": [{"id": "[b]🍕[/b]", "title": "Pizza"}]}]
    assert shown["summary"]["fingerprint"] == found["fingerprint"]
    table = run("show", out)
    assert "Bond [x]" in table
    assert "[b]🍕[/b]" in table


def test_prepare_filters(files):
    rows, core = files / "rows.csv", ["--min-user", 2, "--min-item", 2]
    found = last(run("prepare", rows, *columns()[:6], *core, "--out", files / "core", "--json"))
    assert (found["users"], found["items"], found["interactions"]) == (2, 2, 4)
    assert load_dataset(files / "core").provenance["min_item"] == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], ConfigError, "0 sources"),
        (["rows.csv", "--interactions", "rows.csv"], ConfigError, "2 sources"),
        (["rows.csv"], DataError, "no column for the user"),
        (["absent.csv"], DataError, "does not exist"),
        (["rows.csv", "--format", "excel"], ConfigError, "format is 'excel'"),
        (["rows.csv", *columns()[:6], "--duplicates", "keep"], ConfigError, "duplicates is 'keep'"),
        (["shop", "--user-column", "u"], ConfigError, "columns is given"),
    ],
)
def test_prepare_refuses(files, monkeypatch, arguments, error, message):
    monkeypatch.chdir(files)
    with pytest.raises(error, match=message):
        run("prepare", *arguments, "--out", "out")
    assert not (files / "out").exists()


def test_shop_writes_a_data_set_whose_truth_can_be_rebuilt(tmp_path):
    found = last(run("shop", "--users", 80, "--items", 60, "--seed", 3, "--out", tmp_path / "shop", "--json"))
    data = load_dataset(tmp_path / "shop")
    assert (found["users"], found["items"]) == (data.num_users, data.num_items) == (80, 60)
    assert 0 < found["best_ndcg@10"] < found["best_recall@10"] < 1
    assert Shop.from_dataset(data).config.seed == 3


def test_names_are_listed():
    assert {"movielens-100k", "amazon-beauty", "shop"} <= set(last(run("names", "--json")))
    assert "movielens-100k" in run("names")


@pytest.mark.parametrize("verb", ["prepare", "shop", "show", "names"])
def test_help_has_an_example(verb):
    assert f"agentrec data {verb}" in run(verb, "--help")
