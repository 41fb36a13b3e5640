import json

import pandas as pd
import pytest

from agentrec.core.errors import AgentrecError, ArtefactError
from agentrec.evaluation.result import Result
from agentrec.evaluation.run import evaluate
from agentrec.metrics.ranking import ranking_scores
from agentrec.models.popularity import Popularity
from agentrec.testing.worlds import tiny_world


@pytest.fixture(scope="module")
def result():
    world = tiny_world()
    models = {"popularity": Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}
    return evaluate(models, world, catalogue=world.catalogue)


@pytest.fixture
def folder(result, tmp_path):
    return result.save(tmp_path / "run")


def test_the_folder_holds_what_is_promised(folder):
    names = {"result.json", "per_user.parquet", "timings.json", "report.md", "report.html"}
    assert {file.name for file in folder.iterdir()} == names


def test_what_is_loaded_is_what_was_saved(result, folder):
    loaded = Result.load(folder)
    assert loaded.to_json() == result.to_json()
    assert loaded.samples == result.samples
    assert loaded.comparisons == result.comparisons
    assert loaded.timings == result.timings
    pd.testing.assert_frame_equal(loaded.per_user, result.per_user)


def test_the_contract_of_the_json(folder):
    content = json.loads((folder / "result.json").read_text())
    assert list(content["recommenders"]) == ["oracle", "popularity"]
    assert set(content["recommenders"]["oracle"]["recall@10"]) == {"mean", "low", "high"}
    assert content["recommenders"]["oracle"]["gini@20"]["low"] is None
    metrics = {f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (1, 5, 10, 20)}
    metrics |= {f"{name}@{k}" for name in ("coverage", "gini") for k in (10, 20)}
    assert set(content["recommenders"]["popularity"]) == metrics
    assert {"data", "split", "part", "num_users", "config", "seed", "versions"} <= set(content["provenance"])
    assert "seconds" not in json.dumps(content)


def test_metrics_can_be_derived_from_the_ranks_per_user(folder):
    loaded = Result.load(folder)
    for name in loaded.recommenders:
        scores = ranking_scores(loaded.ranks(name).to_numpy(), (1, 5, 10, 20))
        for metric, values in scores.items():
            assert loaded[name][metric] == pytest.approx(values.mean())


def test_more_provenance_changes_nothing_else(result):
    more = result.with_provenance(task="next_item")
    assert more.provenance["task"] == "next_item"
    assert "task" not in result.provenance
    assert more.to_json()["recommenders"] == result.to_json()["recommenders"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"{", "not valid JSON"),
        ("result.json", b"[]", "not a result of format 1"),
        ("result.json", b'{"format": 1}', "lacks or misspells a part"),
        ("per_user.parquet", b"PAR1", "per_user.parquet is missing or damaged"),
    ],
)
def test_damaged_files_are_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=message):
        Result.load(folder)


def test_missing_folders_and_columns_are_named(folder, tmp_path):
    with pytest.raises(ArtefactError, match="does not exist"):
        Result.load(tmp_path / "nothing")
    pd.DataFrame({"user": ["a"]}).to_parquet(folder / "per_user.parquet")
    with pytest.raises(ArtefactError, match="has columns user; expected recommender, user, target, rank"):
        Result.load(folder)
    (folder / "per_user.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"per_user\.parquet is missing"):
        Result.load(folder)


def test_a_place_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentrecError, match="could not be written"):
        result.save(tmp_path / "file" / "run")
