import json
import math
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, DataError, RecommenderError
from agentrec.core.types import Catalogue, HeldOut, Histories, Recommendations
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.run import evaluate
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

    def reveal(self, part):
        return HeldOut(part, self.histories, self.targets)


SMALL = Held(Histories.from_lists([[0], [1], [2]], [0, 1, 2]), np.array([1, 2, 3]))
LISTS = [[1, 0], [0, 2], [0, 1, 2]]  # ranks 0, 1, missed


def test_an_example_computed_by_hand():
    result = evaluate({"mine": Fixed(LISTS)}, SMALL, ks=(1, 2))
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
    assert result.per_user["rank"].tolist() == [0, 1, 2]
    estimate = result.recommenders["mine"]["recall@2"]
    assert estimate.low == 0.0
    assert estimate.high == 1.0
    assert result.recommenders["mine"]["coverage@2"].low is None
    assert result.provenance["list_length"] == 2


def test_a_single_recommender_gets_its_own_name():
    world = tiny_world()
    assert list(evaluate(Popularity.fit(world.train, world.num_items), world).recommenders) == ["popularity"]


def test_the_planted_answer_is_found_and_the_comparison_says_so():
    world = tiny_world()
    popularity = Popularity.fit(world.train, world.num_items)
    result = evaluate({"popularity": popularity, "oracle": world.oracle()}, world, catalogue=world.catalogue)
    assert result["oracle"]["recall@1"] == 1.0
    assert result["popularity"]["recall@1"] < 0.2
    (ndcg, _recall) = result.comparisons
    assert (ndcg.metric, ndcg.first, ndcg.second) == ("ndcg@10", "popularity", "oracle")
    assert ndcg.high < 0
    assert ndcg.p_value < ndcg.holm < 1e-6
    assert [sample.target == sample.top["oracle"][0] for sample in result.samples] == [True] * 5


def test_validation_and_test_are_different_parts():
    world = tiny_world()
    for part in ("validation", "test"):
        found = evaluate(world.oracle(), world, part=part)
        assert found["CycleOracle"]["recall@1"] == 1.0
        assert found.provenance["part"] == part


def test_the_same_inputs_give_the_same_bytes_apart_from_the_date(tmp_path):
    world = tiny_world()
    texts = []
    for run in ("a", "b"):
        models = {"popularity": Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}
        folder = evaluate(models, world, catalogue=world.catalogue, limit=40).save(tmp_path / run)
        text = (folder / "result.json").read_text()
        texts.append(text.replace(json.loads(text)["created_at"], "then"))
    assert texts[0] == texts[1]


def test_batches_do_not_matter_and_everybody_is_asked_once():
    world = tiny_world()
    asked = Fixed([[0]] * 60, num_items=24)
    evaluate(asked, world, ks=(3,), batch_size=7)
    assert [size for size, _, _ in asked.asked] == [7] * 8 + [4]
    transitions = Transitions.fit(world.train, world.num_items)
    tables = [evaluate(transitions, world, batch_size=size).table() for size in (1, 60)]
    assert tables[0].equals(tables[1])


def test_limit_draws_the_same_users_for_all():
    world = tiny_world()
    result = evaluate({"a": world.oracle(), "b": world.oracle()}, world, limit=10, seed=3)
    assert result.provenance["num_users"] == 10
    assert result.ranks("a").index.tolist() == result.ranks("b").index.tolist()
    other = evaluate(world.oracle(), world, limit=10, seed=4)
    assert other.ranks("CycleOracle").index.tolist() != result.ranks("a").index.tolist()


def test_exclude_seen_reaches_the_recommender_and_is_checked():
    honest = Fixed([[1], [2], [3]])
    evaluate(honest, SMALL, ks=(1,), exclude_seen=True)
    assert honest.asked == [(3, 1, True)]
    with pytest.raises(RecommenderError, match=r"'mine' recommends item 0 in row 0, which that user has seen"):
        evaluate({"mine": Fixed([[1, 0], [2, 3], [3]])}, SMALL, ks=(2,), exclude_seen=True)
    world = tiny_world()
    hidden = evaluate(world.oracle(), world, exclude_seen=True)["CycleOracle"]["recall@1"]
    seen_before = np.mean([target in row for row, target in zip(*_parts(world), strict=True)])
    assert hidden == pytest.approx(1 - seen_before)


def _parts(world):
    held = world.reveal("test")
    return held.histories, held.targets


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
        evaluate({"mine": recommender}, SMALL, ks=(3,))
    assert "'mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "train"}, "part is 'train'"),
        ({"ks": ()}, "ks are"),
        ({"ks": (5, 1)}, "ascending"),
        ({"ks": (0, 1)}, "ks are"),
        ({"bootstrap": 0}, "bootstrap is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(Fixed(LISTS), SMALL, **options)


def test_nobody_to_ask_nobody_to_evaluate_and_a_foreign_catalogue():
    with pytest.raises(ConfigError, match="no recommender"):
        evaluate({}, SMALL)
    with pytest.raises(DataError, match="test part of the split has no users"):
        evaluate(Fixed(LISTS), Held(Histories.from_lists([]), np.zeros(0, np.int64)))
    with pytest.raises(DataError, match="catalogue has 1 items, the split 4"):
        evaluate(Fixed(LISTS), SMALL, catalogue=Catalogue(("a",)))


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
    result = evaluate(models, split, dataset=dataset)
    assert time.perf_counter() - start < 20  # about 1 s alone
    assert result.ranks("popularity").index[:3].tolist() == ["u0", "u1", "u2"]
    assert result.per_user["target"][0] == f"i{split.reveal('test').targets[0]}"
    assert result.provenance["data"] == {"name": "big", "fingerprint": dataset.fingerprint}
    assert result.provenance["split"] == {"fingerprint": split.fingerprint}
    # Chance alone: every interval must hold the true value of a random order of random targets.
    assert result.recommenders["popularity"]["recall@20"].low < 0.06
    assert result.recommenders["popularity"]["recall@20"].high > 0.03
