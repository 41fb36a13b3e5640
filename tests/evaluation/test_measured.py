import json

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ArtefactError, RecommenderError
from agentrec.evaluation.measured import Measured, read_parquet


def example():
    units = pd.DataFrame({"unit": ["a", "b", "c"], "rank": [0, 3, 1], "score": [0.1, np.nan, 1 / 3]})
    return Measured(
        units,
        totals={"coverage": 0.25},
        costs={"seconds": 1.5},
        facts={"kind": "Thing", "layers": [1, 2]},
        samples={"a": {"about": {"title": "Zelt ⛺"}, "answer": ["x"]}},
        problems=("it hung once",),
    )


def test_what_is_loaded_is_what_was_saved(tmp_path):
    example().save(tmp_path / "one")
    loaded = Measured.load(tmp_path / "one")
    pd.testing.assert_frame_equal(loaded.units, example().units)
    for name in ("totals", "costs", "facts", "samples", "problems"):
        assert getattr(loaded, name) == getattr(example(), name)


def test_it_takes_the_place_of_an_older_one(tmp_path):
    example().save(tmp_path / "one")
    Measured(example().units.head(1)).save(tmp_path / "one")
    assert len(Measured.load(tmp_path / "one").units) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["one"]


def test_whatever_a_system_says_of_itself_can_be_kept(tmp_path):
    facts = {"dim": np.int64(3), "path": tmp_path, "shape": (2, 3), "weights": np.zeros(2, np.float32), 7: None}
    Measured(example().units, totals={"t": np.float32(0.5)}, facts=facts, samples={"a": {"n": np.int64(1)}}).save(
        tmp_path / "one"
    )
    loaded = Measured.load(tmp_path / "one")
    assert loaded.facts == {"dim": 3, "path": str(tmp_path), "shape": [2, 3], "weights": [0.0, 0.0], "7": None}
    assert (loaded.totals, loaded.samples) == ({"t": 0.5}, {"a": {"n": 1}})


def test_rows_must_be_the_units_of_the_task():
    units = pd.Series(["a", "b", "c"])
    assert example().checked(units, "mine") is not None
    for other in (["a", "c", "b"], ["a", "b"], ["a", "b", "c", "d"], ["a", "b", "x"]):
        with pytest.raises(RecommenderError, match=r"'mine' was measured on 3 units, and the task has .* same order"):
            example().checked(pd.Series(other), "mine")
    with pytest.raises(RecommenderError, match="measured with columns score; expected 'unit' among them"):
        Measured(pd.DataFrame({"score": [1.0]})).checked(units, "mine")


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b'"text"', b'{"format": 1}', b'{"format": 9}', b"\xff\xfe"])
def test_a_damaged_description_is_named(tmp_path, content):
    example().save(tmp_path / "one")
    (tmp_path / "one" / "agentrec.json").write_bytes(content)
    with pytest.raises(ArtefactError, match=str(tmp_path / "one")):
        Measured.load(tmp_path / "one")


def test_damaged_tables_are_named(tmp_path):
    example().save(tmp_path / "one")
    table = tmp_path / "one" / "units.parquet"
    whole = table.read_bytes()
    for content in (b"", b"PAR1", whole[: len(whole) // 2], whole[100:]):
        table.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"units\.parquet is missing or damaged"):
            Measured.load(tmp_path / "one")
    table.unlink()
    with pytest.raises(ArtefactError, match=r"units\.parquet is missing or damaged"):
        read_parquet(table)


def test_the_manifest_is_readable_json(tmp_path):
    example().save(tmp_path / "one")
    content = json.loads((tmp_path / "one" / "agentrec.json").read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert content["samples"]["a"]["about"]["title"] == "Zelt ⛺"
