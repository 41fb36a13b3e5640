import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import AgentrecError, ConfigError, DataError, DataWarning, UnknownNameError
from agentrec.data.split import leave_one_out
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.run import Order, run_task
from agentrec.models.transitions import Transitions
from agentrec.testing.worlds import tiny_dataset

FUNCTION = """
import numpy as np

from agentrec.core.types import Recommendations

class Mine:
    num_items = 24
    def recommend(self, histories, n, *, exclude_seen=False):
        items = np.tile(np.arange(n), (len(histories), 1))
        return Recommendations(items, np.zeros(items.shape, np.float32))

mine = Mine()
"""


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def saved(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    dataset.save_pretrained(folder / "tiny")
    split = leave_one_out(dataset)
    Transitions.fit(split.train, split.num_items).stamp({"split": split.fingerprint}).save_pretrained(folder / "model")
    held = split.reveal("test")
    targets = [dataset.catalogue.ids[item] for item in held.targets]
    users = [dataset.user_ids[user] for user in held.histories.users]
    pd.DataFrame({"user": users, "item": targets, "rank": 1}).to_csv(folder / "perfect.csv", index=False)
    return folder


def run(saved, *, seeds=(0,), say=lambda line: None, **values):
    order = Order("next_item", {"data": str(saved / "tiny"), **values}, seeds, saved / "store")
    return run_task(order, resampling=Resampling(50), say=say).result


def ranks(result, name):
    return result.values(name, "rank")[0]


def test_methods_folders_and_files_are_evaluated_on_the_same_users(saved, dataset):
    names = f"popularity, transitions,again={saved / 'model'},{saved / 'perfect.csv'}"
    result = run(saved, recommender=names)
    assert list(result.systems) == ["popularity", "transitions", "again", "perfect"]
    assert result["perfect"]["recall@1"] == 1.0
    assert result["again"] == result["transitions"]
    assert result["popularity"]["ndcg@10"] < result["transitions"]["ndcg@10"]
    assert result.task == result.provenance["task"]["name"] == "next_item"
    assert result.provenance["task"]["config"]["recommender"] == names
    assert result.provenance["data"] == {"name": "tiny", "fingerprint": dataset.fingerprint}
    assert result.units["unit"][0] == "u0"
    assert {part.column for part in result.slices} == {"target_popularity", "history_length"}


def test_methods_are_fitted_on_training_rows_alone(saved, dataset):
    fitted = run(saved, recommender="transitions", part="validation")
    split = leave_one_out(dataset)
    expected = Transitions.fit(split.train, split.num_items).recommend(split.reveal("validation").histories, 20)
    found = [
        row.index(target) if target in row else 20
        for row, target in zip(expected.items.tolist(), split.reveal("validation").targets.tolist(), strict=True)
    ]
    assert ranks(fitted, "transitions").tolist() == found


def test_settings_reach_the_evaluation(saved):
    result = run(saved, recommender="transitions", limit=9, exclude_seen=True, metrics="ndcg@5, coverage@5")
    settings = result.provenance["settings"]
    assert (settings["limit"], settings["exclude_seen"], settings["metrics"]) == (9, True, ["ndcg@5", "coverage@5"])
    assert result.provenance["num_units"] == len(result.units) == 9
    assert list(result["transitions"]) == ["ndcg@5", "coverage@5"]


def test_a_changed_predictions_file_is_measured_again_and_nothing_else_is(saved, tmp_path):
    table = pd.read_csv(saved / "perfect.csv")
    table.to_csv(tmp_path / "mine.csv", index=False)
    names = f"popularity,{tmp_path / 'mine.csv'}"
    assert run(saved, recommender=names)["mine"]["recall@1"] == 1.0
    table.assign(item=np.roll(table["item"], 1)).to_csv(tmp_path / "mine.csv", index=False)
    said = []
    assert run(saved, recommender=names, say=said.append)["mine"]["recall@1"] < 0.5
    assert said == ["popularity, seed 0: kept from before", "mine, seed 0: measuring"]


def test_a_predictions_file_need_only_hold_the_users_drawn(saved, tmp_path):
    drawn = run(saved, recommender="transitions", limit=5).units["unit"]
    table = pd.read_csv(saved / "perfect.csv")
    table[table["user"].isin(drawn)].to_csv(tmp_path / "few.csv", index=False)
    assert run(saved, recommender=str(tmp_path / "few.csv"), limit=5)["few"]["recall@1"] == 1.0
    with pytest.raises(AgentrecError, match="55 of 60 users"):
        run(saved, recommender=str(tmp_path / "few.csv"))
    with pytest.warns(DataWarning, match=r"55 of 60 users, .* they count as missed"):
        missed = run(saved, recommender=str(tmp_path / "few.csv"), missing="miss")
    assert missed["few"]["recall@1"] == pytest.approx(5 / 60)


def test_a_python_recommender_takes_part(saved, tmp_path):
    (tmp_path / "own.py").write_text(FUNCTION)
    result = run(saved, recommender=f"popularity,own=python:{tmp_path / 'own.py'}:mine")
    assert result["own"]["coverage@10"] == pytest.approx(10 / 24)


def test_groups_become_slices(saved, tmp_path):
    groups = tmp_path / "groups.csv"
    groups.write_text("user,country\n" + "".join(f"u{user},{'fr' if user % 3 else 'de'}\n" for user in range(60)))
    result = run(saved, recommender="popularity", groups=str(groups))
    found = {part.value: part.num_units for part in result.slices if part.column == "country"}
    assert found == {"de": 20, "fr": 40}
    groups.write_text("user,country\nu0,fr\n")
    with pytest.raises(DataError, match="lacks 59 of 60 users"):
        run(saved, recommender="popularity", groups=str(groups))


@pytest.mark.parametrize(
    "text", [None, "", "user,country\nu0,fr\nu0,de\n", "user\nu0\n", "place,country\nu0,fr\n", "\x00\xff"]
)
def test_a_groups_file_that_is_none_is_refused(saved, tmp_path, text):
    if text is not None:
        (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=r"groups\.csv.*expected") as caught:
        run(saved, recommender="popularity", groups=str(tmp_path / "groups.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("recommender", "error", "message"),
    [
        ("", ConfigError, "expected at least one"),
        ("popularity,popularity", ConfigError, "two recommenders are called 'popularity'"),
        ("=popularity", ConfigError, "is incomplete"),
        ("a=", ConfigError, "is incomplete"),
        ("nothing", UnknownNameError, "transitions"),
        ("nothing/there", UnknownNameError, "nothing/there"),
        ("oracle", AgentrecError, "shop"),
    ],
)
def test_names_that_mean_nothing_are_refused(saved, recommender, error, message):
    with pytest.raises(error, match=message):
        run(saved, recommender=recommender)


def test_the_oracle_of_the_simulated_shop_is_ahead(tmp_path):
    values = {"data": "shop", "recommender": "popularity,oracle", "limit": 200}
    result = run_task(Order("next_item", values, store=tmp_path / "store"), resampling=Resampling(200)).result
    (ndcg, _) = result.comparisons
    assert (ndcg.metric, ndcg.winner) == ("ndcg@10", "oracle")


@pytest.mark.data
def test_real_data_are_evaluated(data_folder, tmp_path):
    values = {"data": str(data_folder / "movielens_small"), "recommender": "popularity,transitions", "limit": 300}
    result = run_task(Order("next_item", values, store=tmp_path / "store"), resampling=Resampling(100)).result
    assert 0.0 < result["popularity"]["recall@20"] < 0.5
    assert len(result.samples) == 100
    assert "calibration_error@10" in result["popularity"]
