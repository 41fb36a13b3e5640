import json
import math
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ConfigError, DataError, RecommenderError
from agentrec.core.types import Catalogue, HeldOut, Histories, Recommendations
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.merge import merge
from agentrec.evaluation.ranking import Settings, evaluate, ranking_task
from agentrec.evaluation.task import System
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.testing.worlds import tiny_world


@dataclass
class Fixed:
    """Gives the same rows to everybody, or row ``user``; whatever they are."""

    rows: list
    num_items: int = 4
    scores: list | None = None
    asked: list = field(default_factory=list)

    def recommend(self, histories, n, *, exclude_seen=False):
        self.asked.append((len(histories), n, exclude_seen))
        items = np.array([(self.rows[user] + [-1] * n)[:n] for user in histories.users])
        if self.scores is None:
            scores = np.where(items >= 0, -np.arange(n, dtype=np.float32), -np.inf)
        else:
            scores = np.array([(self.scores + [-np.inf] * n)[:n]] * len(items))
        return Recommendations(items, scores.astype(np.float32))


@dataclass
class Held:
    """A split with the held-out part given."""

    histories: Histories
    targets: np.ndarray
    num_items: int = 4
    fingerprint: str = "f"
    catalogue: Catalogue | None = None

    @property
    def train(self):
        return Histories.from_lists([[0, 0, 1, 2]])

    def reveal(self, part):
        return HeldOut(part, self.histories, self.targets)


SMALL = Held(Histories.from_lists([[0], [1], [2]], [0, 1, 2]), np.array([1, 2, 3]))
LISTS = [[1, 0], [0, 2], [0, 1, 2]]  # ranks 0, 1, missed


def ranks(result, name):
    return result.values(name, "rank")[0]


def popularity(world):
    return Popularity.fit(world.train, world.num_items)


def test_an_example_computed_by_hand():
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (1, 2)] + ["coverage@2", "gini@2"]
    result = evaluate({"mine": Fixed(LISTS)}, SMALL, names)
    expected = {
        "recall@1": 1 / 3,
        "recall@2": 2 / 3,
        "ndcg@1": 1 / 3,
        "ndcg@2": (1 + 1 / math.log2(3)) / 3,
        "mrr@1": 1 / 3,
        "mrr@2": 0.5,
        "coverage@2": 0.75,  # items 1, 0 | 0, 2 | 0, 1
        "gini@2": (2 * (1 * 0 + 2 * 1 + 3 * 2 + 4 * 3) - 5 * 6) / (4 * 6),
    }
    assert result["mine"] == pytest.approx(expected)
    assert list(result["mine"]) == [metric.name for metric in result.metrics]
    assert result.headline == ["ndcg@2", "recall@2"]
    assert ranks(result, "mine").tolist() == [0, 1, 2]
    assert result.per_unit["rank"].dtype == np.int64
    estimate = result.systems["mine"]["recall@2"]
    assert (estimate.low, estimate.high, estimate.deviation) == (0.0, 1.0, None)
    assert result.systems["mine"]["coverage@2"].low is None
    assert result.provenance["list_length"] == 2
    assert result.units["target"].tolist() == ["1", "2", "3"]
    assert result.units["target_popularity"].tolist() == ["torso", "torso", "cold"]


def test_a_single_recommender_gets_its_own_name():
    world = tiny_world()
    assert list(evaluate(popularity(world), world).systems) == ["popularity"]
    assert list(evaluate(world.oracle(), world, "ndcg@5").systems) == ["CycleOracle"]


def test_the_planted_answer_is_found_and_the_comparison_says_so():
    world = tiny_world()
    result = evaluate({"popularity": popularity(world), "oracle": world.oracle()}, world)
    assert result["oracle"]["recall@1"] == 1.0
    assert result["popularity"]["recall@1"] < 0.2
    (ndcg, _recall) = result.comparisons
    assert (ndcg.metric, ndcg.first, ndcg.second, ndcg.winner) == ("ndcg@10", "popularity", "oracle", "oracle")
    assert ndcg.high < 0
    assert ndcg.p_value <= ndcg.holm < 1e-6
    assert len(result.samples) == 60
    for sample in result.samples:
        assert sample.about["target"] == sample.answers["oracle"][0]
        assert sample.about["history"][-1].startswith("cycle")
        assert len(sample.answers["popularity"]) == 5


def test_the_five_lines_of_the_documentation(tmp_path):
    dataset = big_dataset(50)
    split = leave_one_out(dataset)
    popular = Popularity.fit(split.train, split.num_items)
    result = evaluate({"popularity": popular, "mine": Transitions.fit(split.train, split.num_items)}, split)
    folder = result.save(tmp_path / "first")
    assert json.loads((folder / "result.json").read_text())["systems"]["mine"]["ndcg@10"]["mean"] is not None


def test_a_data_set_is_split():
    dataset = big_dataset(50)
    model = Popularity.fit(leave_one_out(dataset).train, dataset.num_items)
    given, split = evaluate(model, dataset), evaluate(model, leave_one_out(dataset))
    assert {**given.to_json(), "created_at": ""} == {**split.to_json(), "created_at": ""}


def test_validation_and_test_are_different_parts():
    world = tiny_world()
    for part in ("validation", "test"):
        found = evaluate(world.oracle(), world, part=part)
        assert found["CycleOracle"]["recall@1"] == 1.0
        assert found.provenance["settings"]["part"] == part
        assert part in found.question


def test_the_same_inputs_give_the_same_bytes_apart_from_the_date(tmp_path):
    world = tiny_world()
    texts = []
    for run in ("a", "b"):
        models = {"popularity": popularity(world), "oracle": world.oracle()}
        folder = evaluate(models, world, limit=40).save(tmp_path / run)
        text = (folder / "result.json").read_text()
        texts.append(text.replace(json.loads(text)["created_at"], "then"))
    assert texts[0] == texts[1]
    for name in ("per_unit.parquet", "units.parquet", "samples.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_batches_do_not_matter_and_everybody_is_asked_once_besides_the_clock():
    world = tiny_world()
    asked = Fixed([[0]] * 60, num_items=24)
    evaluate(asked, world, ["ndcg@3"], batch_size=7)
    assert [size for size, _, _ in asked.asked] == [7] * 8 + [4] + [1] * 20
    transitions = Transitions.fit(world.train, world.num_items)
    tables = [evaluate(transitions, world, batch_size=size).table() for size in (1, 60)]
    assert tables[0].equals(tables[1])


def test_limit_draws_the_same_users_for_all():
    world = tiny_world()
    result = evaluate({"a": world.oracle(), "b": world.oracle()}, world, limit=10, seed=3)
    assert result.provenance["num_units"] == len(result.units) == 10
    assert result.per_unit.groupby("system")["unit"].apply(list).map(tuple).nunique() == 1
    other = evaluate(world.oracle(), world, limit=10, seed=4)
    assert other.units["unit"].tolist() != result.units["unit"].tolist()


def test_exclude_seen_reaches_the_recommender_and_is_checked():
    honest = Fixed([[1], [2], [3]])
    evaluate(honest, SMALL, ["ndcg@1"], exclude_seen=True)
    assert set(honest.asked) == {(3, 1, True), (1, 1, True)}
    with pytest.raises(RecommenderError, match=r"'mine'.* recommends item 0 in row 0, which that user has seen"):
        evaluate({"mine": Fixed([[1, 0], [2, 3], [3]])}, SMALL, ["ndcg@2"], exclude_seen=True)
    world = tiny_world()
    hidden = evaluate(world.oracle(), world, exclude_seen=True)["CycleOracle"]["recall@1"]
    held = world.reveal("test")
    seen_before = np.mean([target in row for row, target in zip(held.histories, held.targets, strict=True)])
    assert hidden == pytest.approx(1 - seen_before)


def test_costs_are_seconds_latency_tokens_and_energy():
    world = tiny_world()
    talker = Fixed([[0]] * 60, num_items=24)
    talker.usage = {"prompt_tokens": 600, "completion_tokens": 30}
    result = evaluate({"quiet": world.oracle(), "talker": talker}, world, watts=50.0)
    quiet = result.costs["quiet"]
    assert 0 < quiet["latency_ms_p50"] <= quiet["latency_ms_p95"]
    assert quiet["users_per_second"] == pytest.approx(60 / quiet["seconds"])
    assert quiet["watt_hours_estimate"] == pytest.approx(50 * quiet["seconds"] / 3600)
    assert result.costs["talker"]["prompt_tokens_per_user"] == 10
    assert result.costs["talker"]["completion_tokens_per_user"] == 0.5
    assert "seconds" not in json.dumps(result.to_json())


def test_latencies_that_a_system_recorded_are_taken():
    waiting = Fixed(LISTS)
    waiting.latencies = [0.2] * 99 + [5.0]
    costs = evaluate({"mine": waiting}, SMALL, ["ndcg@2"]).costs["mine"]
    assert costs["latency_ms_p50"] == pytest.approx(200)
    assert len(waiting.asked) == 1


def test_slices_add_up_to_the_whole():
    world = tiny_world()
    groups = pd.DataFrame({"country": ["fr" if user % 3 else "de" for user in range(60)]}, index=map(str, range(60)))
    systems = {"popularity": System(lambda seed: popularity(world), {})}
    task = ranking_task(systems, world, Settings(("recall@5",)), groups=groups)
    assert task.slices == ("target_popularity", "history_length", "country")
    result = merge("x", task, {"popularity": {0: task.measure(popularity(world))}})
    for column in task.slices:
        parts = [part for part in result.slices if part.column == column]
        assert sum(part.num_units for part in parts) == 60
        whole = sum(part.num_units * part.systems["popularity"]["recall@5"].mean for part in parts) / 60
        assert whole == pytest.approx(result["popularity"]["recall@5"])
    assert [(part.value, part.num_units) for part in result.slices if part.column == "country"] == [
        ("de", 20), ("fr", 40)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (pd.DataFrame({"country": ["fr"]}, index=["0"]), "lacks 59 of 60 users, for example '1'"),
        (pd.DataFrame({"unit": ["x"] * 60}, index=map(str, range(60))), "column 'unit'; that name is taken"),
        (pd.DataFrame({"history_length": ["x"] * 60}, index=map(str, range(60))), "column 'history_length'"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    world = tiny_world()
    with pytest.raises(DataError, match=message):
        ranking_task({"o": System(lambda seed: world.oracle(), {})}, world, Settings(), groups=groups)


def test_history_lengths_are_sliced_in_their_order():
    lists = [[0], [0] * 12, [0] * 60, [0] * 7, []]
    held = Held(Histories.from_lists(lists, range(5)), np.zeros(5, np.int64))
    result = evaluate({"x": Fixed([[0]] * 5)}, held, "ndcg@1")
    assert [part.value for part in result.slices if part.column == "history_length"] == [
        "0", "1-4", "5-9", "10-19", "50+"
    ]  # fmt: skip


class NoScores(Fixed):
    def recommend(self, histories, n, *, exclude_seen=False):
        return super().recommend(histories, n).items[0, 0]


class Short(Fixed):
    def recommend(self, histories, n, *, exclude_seen=False):
        return super().recommend(histories, n - 1)


class Real(Fixed):
    def recommend(self, histories, n, *, exclude_seen=False):
        items, scores = super().recommend(histories, n)
        return Recommendations(items.astype(float), scores)


@pytest.mark.parametrize(
    ("recommender", "message"),
    [
        (Fixed(LISTS, num_items=5), "ranks 5 items, the split has 4"),
        (object(), "is of type object; expected a recommender"),
        (NoScores(LISTS), "expected Recommendations"),
        (Short(LISTS), r"items of shape \(3, 2\).*expected \(3, 3\)"),
        (Real(LISTS), "items of type float64"),
        (Fixed([[1], [7], [0]]), "recommends item 7 in row 1; expected item indexes 0 to 3"),
        (Fixed([[1], [2], [-2, 1]]), "recommends item -2 in row 2"),
        (Fixed([[1], [2, 3, 2], [0]]), "recommends item 2 more than once in row 1"),
        (Fixed([[1], [2], [-1, 0]]), "item after padding in row 2"),
        (Fixed([[0, 1, 2]] * 3, scores=[1.0, np.nan, 0.0]), "NaN in row 0"),
        (Fixed([[0, 1, 2]] * 3, scores=[1.0, 2.0, 0.0]), "increase along row 0"),
        (Fixed([[0, 1]] * 3, scores=[1.0, 0.5, 0.0]), "score on padding in row 0"),
    ],
)
def test_a_broken_recommender_is_refused_by_name(recommender, message):
    with pytest.raises(RecommenderError, match=message) as caught:
        evaluate({"fine": Fixed(LISTS), "mine": recommender}, SMALL, ["ndcg@3"])
    assert "'mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "train"}, "part is 'train'"),
        ({"metrics": ["ndcg"]}, "no metric 'ndcg'"),
        ({"metrics": "ndgc@10"}, "no metric 'ndgc@10'"),
        ({"metrics": ["ndcg@1", "ndcg@1"]}, "each once"),
        ({"bootstrap": 0}, "bootstrap is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"watts": -1.0}, "watts is -1"),
    ],
)
def test_settings_out_of_range_are_refused_before_anybody_is_asked(options, message):
    asked = Fixed(LISTS)
    with pytest.raises(ConfigError, match=message):
        evaluate(asked, SMALL, **options)
    assert asked.asked == []


def test_nobody_to_ask_nobody_to_evaluate_and_a_foreign_catalogue():
    with pytest.raises(ConfigError, match="no recommender"):
        evaluate({}, SMALL)
    with pytest.raises(DataError, match="test part of the split has no users"):
        evaluate(Fixed(LISTS), Held(Histories.from_lists([]), np.zeros(0, np.int64)))
    with pytest.raises(DataError, match="catalogue has 1 items, the split 4"):
        evaluate(Fixed(LISTS), Held(SMALL.histories, SMALL.targets, catalogue=Catalogue(("a",))))
    with pytest.raises(DataError, match="diversity compares the texts of items"):
        evaluate(Fixed(LISTS), SMALL, "diversity@2")


def test_users_without_ids_are_told_apart():
    anonymous = Held(Histories.from_lists([[0], [1], [2]]), SMALL.targets)
    result = evaluate(Constant(), anonymous, "ndcg@1")
    assert result.units["unit"].tolist() == ["row 0", "row 1", "row 2"]


class Constant:
    """Knows no users, and tells odd things of itself."""

    num_items = 4
    provenance = None

    def recommend(self, histories, n, *, exclude_seen=False):
        shape = (len(histories), n)
        return Recommendations(np.broadcast_to(np.arange(n), shape), np.zeros(shape, np.float32))


def test_what_a_recommender_says_of_itself_may_be_anything(tmp_path):
    mine = Constant()
    mine.provenance = {"dim": np.int64(3), "weights": np.zeros(2)}
    folder = evaluate({"mine": mine}, SMALL, "ndcg@1").save(tmp_path / "run")
    found = json.loads((folder / "result.json").read_text())["provenance"]["systems"]["mine"]
    assert found == {"kind": "Constant", "dim": 3, "weights": [0.0, 0.0]}


def big_dataset(num_users, num_items=500):
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users), 8)
    items = rng.integers(num_items, size=len(users))
    order = np.tile(np.arange(8), num_users)
    names = [f"u{user}" for user in range(num_users)]
    catalogue = Catalogue(tuple(f"i{item}" for item in range(num_items)))
    return Dataset("big", names, catalogue, Interactions.sort(users, items, order))


def test_a_data_set_gives_ids_and_provenance_and_thousands_of_users_are_quick():
    dataset = big_dataset(5000)
    split = leave_one_out(dataset)
    models = {"popularity": Popularity.fit(split.train, 500), "transitions": Transitions.fit(split.train, 500)}
    start = time.perf_counter()
    result = evaluate(models, split)
    assert time.perf_counter() - start < 30  # about 2 s alone
    assert result.units["unit"][:3].tolist() == ["u0", "u1", "u2"]
    assert result.units["target"][0] == f"i{split.reveal('test').targets[0]}"
    assert result.provenance["data"] == {"name": "big", "fingerprint": dataset.fingerprint}
    assert result.provenance["split"] == {"fingerprint": split.fingerprint}
    # Chance alone: every interval must hold the true value of a random order of random targets.
    assert result.systems["popularity"]["recall@20"].low < 0.06
    assert result.systems["popularity"]["recall@20"].high > 0.03
