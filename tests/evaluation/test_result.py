import json
import math

import pandas as pd
import pytest

from agentrec.core.errors import AgentrecError, ArtefactError, UnknownNameError
from agentrec.evaluation.ranking import evaluate
from agentrec.evaluation.result import FILES, Estimate, Result
from agentrec.metrics.ranking import ranking_scores
from agentrec.models.popularity import Popularity
from agentrec.testing.worlds import tiny_world


@pytest.fixture(scope="module")
def result():
    world = tiny_world()
    models = {"popularity": Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}
    return evaluate(models, world, bootstrap=100)


@pytest.fixture
def folder(result, tmp_path):
    return result.save(tmp_path / "run")


def test_the_folder_holds_what_is_promised(folder):
    assert {file.name for file in folder.iterdir()} == set(FILES)


def test_what_is_loaded_is_what_was_saved(result, folder):
    loaded = Result.load(folder)
    assert loaded.to_json() == result.to_json()
    assert loaded.samples == result.samples
    assert loaded.comparisons == result.comparisons
    assert loaded.metrics == result.metrics
    assert loaded.costs == result.costs
    assert loaded.headline == ["ndcg@10", "recall@10"]
    pd.testing.assert_frame_equal(loaded.per_unit, result.per_unit)
    pd.testing.assert_frame_equal(loaded.units, result.units)


def test_saving_again_replaces_and_changes_nothing(folder, tmp_path):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    loaded = Result.load(folder)
    loaded.save(folder)
    loaded.save(tmp_path / "elsewhere")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert {file.name: file.read_bytes() for file in (tmp_path / "elsewhere").iterdir()} == before


def test_the_contract_of_the_json(folder):
    content = json.loads((folder / "result.json").read_text())
    assert content["format"] == 2
    assert content["task"] == "next_item"
    assert list(content["systems"]) == ["oracle", "popularity"]
    assert set(content["systems"]["oracle"]["recall@10"]) == {"mean", "low", "high", "deviation"}
    assert content["systems"]["oracle"]["gini@20"]["low"] is None
    metrics = {f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (1, 5, 10, 20)}
    metrics |= {f"{name}@{k}" for name in ("coverage", "gini") for k in (10, 20)}
    metrics |= {"novelty@10", "popularity_lift@10", "diversity@10"}
    assert set(content["systems"]["popularity"]) == {metric["name"] for metric in content["metrics"]} == metrics
    known = {"data", "settings", "num_units", "nested", "seeds", "systems", "versions", "split", "num_items"}
    assert known <= set(content["provenance"])
    assert {part["column"] for part in content["slices"]} == {"target_popularity", "history_length"}
    assert "seconds" not in json.dumps(content)
    assert set(json.loads((folder / "costs.json").read_text())) == {"systems", "machine"}


def test_metrics_can_be_derived_from_the_ranks_per_unit(folder):
    loaded = Result.load(folder)
    for name in loaded.systems:
        ranks = loaded.values(name, "rank")[0]
        assert ranks.index.tolist() == loaded.units["unit"].tolist()
        for metric, values in ranking_scores(ranks.to_numpy(), (1, 5, 10, 20)).items():
            assert loaded[name][metric] == pytest.approx(values.mean())
            assert loaded.values(name, metric)[0].to_numpy() == pytest.approx(values)


def test_reading_by_name(result):
    assert result.table().loc["oracle", "recall@1"] == 1.0
    assert result.metric("gini@10").better == "lower"
    with pytest.raises(UnknownNameError, match="no system 'mine'; those that exist are popularity, oracle"):
        result["mine"]
    assert result._repr_markdown_().startswith("#")


def test_what_is_undefined_is_null_in_json_and_nan_in_numbers(result, tmp_path):
    systems = {**result.systems, "oracle": {"ndcg@10": Estimate(None)}}
    changed = Result(**{**vars(result), "systems": systems, "comparisons": (), "slices": ()})
    loaded = Result.load(changed.save(tmp_path / "run"))
    assert loaded.systems["oracle"]["ndcg@10"] == Estimate(None)
    assert math.isnan(loaded["oracle"]["ndcg@10"])
    assert "NaN" not in (tmp_path / "run" / "result.json").read_text()


def test_more_provenance_changes_nothing_else(result):
    more = result.with_provenance(recipe={"a": 1})
    assert more.provenance["recipe"] == {"a": 1}
    assert "recipe" not in result.provenance
    assert more.to_json()["systems"] == result.to_json()["systems"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"{", "not valid JSON"),
        ("result.json", b"[]", "not a result of format 2"),
        ("result.json", b'{"format": 1}', "not a result of format 2; evaluate again"),
        ("result.json", b'{"format": 2}', "lacks or misspells a part"),
        ("per_unit.parquet", b"PAR1", r"per_unit\.parquet is missing or damaged"),
        ("units.parquet", b"", r"units\.parquet is missing or damaged"),
        ("costs.json", b"{}", "lacks or misspells a part"),
        ("samples.json", b"nonsense", "not valid JSON"),
    ],
)
def test_damaged_files_are_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=message):
        Result.load(folder)


def test_missing_folders_and_columns_are_named(folder, tmp_path):
    with pytest.raises(ArtefactError, match="does not exist"):
        Result.load(tmp_path / "nothing")
    pd.DataFrame({"user": ["a"]}).to_parquet(folder / "per_unit.parquet")
    with pytest.raises(ArtefactError, match="has columns user; expected 'system' among them"):
        Result.load(folder)
    (folder / "per_unit.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"per_unit\.parquet is missing"):
        Result.load(folder)


def test_a_place_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentrecError, match="could not be written"):
        result.save(tmp_path / "file" / "run")
