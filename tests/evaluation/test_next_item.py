import numpy as np
import pandas as pd
import pytest

from agentrec.core.config import from_mapping
from agentrec.core.errors import AgentrecError, ConfigError, UnknownNameError
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.tasks import load_task
from agentrec.models.transitions import Transitions
from agentrec.testing.worlds import tiny_world

task = load_task("next_item")


@pytest.fixture(scope="module")
def dataset():
    world = tiny_world()
    lengths = world.sequences.lengths
    users = np.repeat(world.sequences.users, lengths)
    order = np.concatenate([np.arange(length) for length in lengths])
    rows = Interactions.sort(users, world.sequences.items, order)
    return Dataset("tiny", [f"u{user}" for user in range(len(lengths))], world.catalogue, rows)


@pytest.fixture(scope="module")
def saved(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    dataset.save_pretrained(folder / "tiny")
    split = leave_one_out(dataset)
    Transitions.fit(split.train, split.num_items).save_pretrained(folder / "model")
    held = split.reveal("test")
    targets = [dataset.catalogue.ids[item] for item in held.targets]
    users = [dataset.user_ids[user] for user in held.histories.users]
    pd.DataFrame({"user": users, "item": targets, "rank": 1}).to_csv(folder / "perfect.csv", index=False)
    return folder


def run(saved, **values):
    return task.run(from_mapping(task.Config, {"data": str(saved / "tiny"), **values}))


def test_methods_folders_and_files_are_evaluated_on_the_same_users(saved, dataset):
    names = f"popularity, transitions,again={saved / 'model'},{saved / 'perfect.csv'}"
    result = run(saved, recommenders=names)
    assert list(result.recommenders) == ["popularity", "transitions", "again", "perfect"]
    assert result["perfect"]["recall@1"] == 1.0
    assert result["again"] == result["transitions"]
    assert result["popularity"]["ndcg@10"] < result["transitions"]["ndcg@10"]
    assert result.provenance["task"] == "next_item"
    assert result.provenance["task_config"]["recommenders"] == names
    assert result.provenance["data"] == {"name": "tiny", "fingerprint": dataset.fingerprint}
    assert result.ranks("perfect").index[0] == "u0"


def test_methods_are_fitted_on_training_rows_alone(saved, dataset):
    fitted = run(saved, recommenders="transitions", part="validation")
    split = leave_one_out(dataset)
    expected = Transitions.fit(split.train, split.num_items).recommend(split.reveal("validation").histories, 20)
    ranks = [
        row.index(target) if target in row else 20
        for row, target in zip(expected.items.tolist(), split.reveal("validation").targets.tolist(), strict=True)
    ]
    assert fitted.ranks("transitions").tolist() == ranks


def test_settings_reach_the_evaluation(saved):
    result = run(saved, recommenders="transitions", limit=9, exclude_seen=True, seed=5, bootstrap=20)
    config = result.provenance["config"]
    assert (config["limit"], config["exclude_seen"], config["seed"], config["bootstrap"]) == (9, True, 5, 20)
    assert result.provenance["num_users"] == 9


def test_a_predictions_file_need_only_hold_the_users_drawn(saved, tmp_path):
    drawn = run(saved, recommenders="transitions", limit=5).ranks("transitions").index
    table = pd.read_csv(saved / "perfect.csv")
    table[table["user"].isin(drawn)].to_csv(tmp_path / "few.csv", index=False)
    assert run(saved, recommenders=str(tmp_path / "few.csv"), limit=5)["few"]["recall@1"] == 1.0
    with pytest.raises(AgentrecError, match="no predictions for 55 of 60 users"):
        run(saved, recommenders=str(tmp_path / "few.csv"))
    missed = run(saved, recommenders=str(tmp_path / "few.csv"), missing="miss")
    assert missed["few"]["recall@1"] == pytest.approx(5 / 60)


@pytest.mark.parametrize(
    ("recommenders", "error", "message"),
    [
        ("", ConfigError, "expected at least one"),
        ("popularity,popularity", ConfigError, "two recommenders are called 'popularity'"),
        ("=popularity", ConfigError, "is incomplete"),
        ("a=", ConfigError, "is incomplete"),
        ("nothing", UnknownNameError, "neither a saved recommender's folder nor a known method; .*transitions"),
        ("nothing/there", UnknownNameError, "so check the path or the name"),
        ("oracle", AgentrecError, "shop"),
    ],
)
def test_names_that_mean_nothing_are_refused(saved, recommenders, error, message):
    with pytest.raises(error, match=message):
        run(saved, recommenders=recommenders)


def test_the_oracle_of_the_simulated_shop_is_ahead():
    result = task.run(task.Config(data="shop", recommenders="popularity,oracle", limit=200))
    assert result["oracle"]["ndcg@10"] > result["popularity"]["ndcg@10"]
    assert any(row.metric == "ndcg@10" and row.holm < 0.01 for row in result.comparisons)


@pytest.mark.data
def test_real_data_are_evaluated(data_folder):
    config = task.Config(data=str(data_folder / "movielens_small"), recommenders="popularity,transitions", limit=300)
    result = task.run(config)
    assert 0.0 < result["popularity"]["recall@20"] < 0.5
    assert len(result.samples) == 5
