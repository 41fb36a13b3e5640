"""The simulated shop: the truth is what it says, each effect is there and can be switched off."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.protocols import Recommender, Scorer
from agentrec.core.types import HeldOut, Histories
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import global_time, leave_one_out

NOTHING = ShopConfig(taste=0, transition=0, successor=0, popularity=0, price=0, num_users=1500, num_items=240)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.generate()


@pytest.fixture(scope="module")
def held(shop: Shop) -> HeldOut:
    return leave_one_out(shop.dataset).reveal("test")


def gains(scores: np.ndarray, held: HeldOut, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Recall and NDCG per user of a score matrix; the last item is never next."""
    rows = np.arange(len(held))
    scores = scores.astype(float)
    scores[rows, held.histories.padded(1)[:, 0]] = -np.inf
    rank = (scores > scores[rows, held.targets][:, None]).sum(axis=1)
    return (rank < k).astype(float), np.where(rank < k, 1 / np.log2(rank + 2), 0.0)


def popularity_scores(train: Histories, users: int, num_items: int) -> np.ndarray:
    return np.tile(np.bincount(train.items, minlength=num_items), (users, 1)).astype(float)


def transition_scores(train: Histories, held: HeldOut, num_items: int) -> np.ndarray:
    """Counts of item -> next item, with popularity to break ties."""
    counts = np.zeros((num_items, num_items))
    for row in train:
        np.add.at(counts, (row[:-1], row[1:]), 1.0)
    popularity = popularity_scores(train, 1, num_items)
    return (counts + popularity / (1 + popularity.sum()))[held.histories.padded(1)[:, 0]]


def test_shop_is_deterministic_fast_and_readable(shop):
    start = time.perf_counter()
    again = Shop.generate(ShopConfig())
    assert time.perf_counter() - start < 6  # about one second alone; the bound leaves room for a busy machine
    assert again.dataset.fingerprint == shop.dataset.fingerprint
    assert Shop.generate(ShopConfig(seed=1)).dataset.fingerprint != shop.dataset.fingerprint
    assert load_dataset("shop").fingerprint == shop.dataset.fingerprint
    summary = shop.dataset.summary()
    assert (summary["users"], summary["items"], summary["items_without_text"]) == (2000, 600, 0)
    assert abs(summary["interactions"] / 2000 - 12) < 0.5
    catalogue = shop.dataset.catalogue
    assert len(set(catalogue.titles)) == 600
    for row in range(0, 600, 37):
        brand, category = (catalogue.columns[name][row] for name in ("brand", "category"))
        assert brand in catalogue.titles[row]
        assert brand in catalogue.columns["description"][row]
        assert category in catalogue.texts()[row]


def test_no_item_follows_itself(shop):
    assert all((row[1:] != row[:-1]).all() for row in shop.dataset.histories())


def test_oracle_meets_its_own_expectation(shop, held):
    best = shop.best_scores(held, (5, 10))
    for k in (5, 10):
        recall, ndcg = gains(shop.oracle().score(held.histories), held, k)
        for name, found in ((f"recall@{k}", recall), (f"ndcg@{k}", ndcg)):
            error = found.std(ddof=1) / np.sqrt(len(found))
            assert abs(found.mean() - best[name]) < 3 * error
    assert 0.25 < best["ndcg@10"] < 0.45


def test_oracle_meets_its_expectation_on_windows_of_time(shop):
    for part in ("validation", "test"):
        held = global_time(shop.dataset).reveal(part)
        found = gains(shop.oracle().score(held.histories), held)[1]
        assert abs(found.mean() - shop.best_scores(held)["ndcg@10"]) < 3 * found.std() / np.sqrt(len(found))


def test_methods_are_ordered_as_planted(shop, held):
    train, n = leave_one_out(shop.dataset).train, shop.config.num_items
    ndcg = {
        "oracle": gains(shop.oracle().score(held.histories), held)[1].mean(),
        "transitions": gains(transition_scores(train, held, n), held)[1].mean(),
        "popularity": gains(popularity_scores(train, len(held), n), held)[1].mean(),
    }
    assert ndcg["oracle"] > ndcg["transitions"] + 0.05
    assert ndcg["transitions"] > 3 * ndcg["popularity"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_no_ranking_has_a_higher_expectation_than_the_oracle(seed):
    shop = Shop.generate(ShopConfig(num_users=30, num_items=40, num_categories=4))
    held = leave_one_out(shop.dataset).reveal("test")
    truth = shop.oracle().probabilities(held.histories)
    rng = np.random.default_rng(seed)
    noisy = np.argsort(-truth * np.exp(rng.normal(scale=rng.random() * 3, size=truth.shape)), axis=1)[:, :10]
    discount = 1 / np.log2(np.arange(10) + 2)
    found = (np.take_along_axis(truth, noisy, axis=1) * discount).sum(axis=1).mean()
    assert found <= shop.best_scores(held)["ndcg@10"] + 1e-12


def test_oracle_probabilities_match_frequencies():
    """Many purchases of one kind of user follow the distribution that the oracle claims."""
    shop = Shop.generate(dataclasses.replace(NOTHING, successor=2.0, popularity=1.0, num_items=24, num_categories=4))
    rows = [row for row in shop.dataset.histories() if len(row) > 1]
    last, following = np.concatenate([row[:-1] for row in rows]), np.concatenate([row[1:] for row in rows])
    item = int(np.bincount(last).argmax())
    found = np.bincount(following[last == item], minlength=24)
    claimed = shop.oracle().probabilities(Histories.from_lists([[item]]))[0]
    error = np.sqrt(claimed * (1 - claimed) / found.sum())
    assert found.sum() > 500
    assert (np.abs(found / found.sum() - claimed) <= 4 * error + 1e-12).all()


def statistics(config: ShopConfig) -> dict[str, float]:
    """How strongly each planted effect shows in the data, near 0 where it is off."""
    shop = Shop.generate(config)
    world, data = shop.world, shop.dataset
    rows = list(data.histories())
    last, following = np.concatenate([row[:-1] for row in rows]), np.concatenate([row[1:] for row in rows])
    step = (world.categories[following] - world.categories[last]) % config.num_categories
    counts = np.bincount(data.interactions.items, minlength=config.num_items)
    top, bottom = counts[world.ranks <= 3].mean(), counts[world.ranks > 3].mean()
    users = data.interactions.users
    levels = np.bincount(users, world.levels[data.interactions.items]) / np.bincount(users)
    table = np.zeros((config.num_users, config.num_categories))
    np.add.at(table, (users, world.categories[data.interactions.items]), 1)
    shares = table / table.sum(axis=1, keepdims=True)
    goes_with = (world.successors[last] == following[:, None]).any(axis=1).mean()
    return {
        "taste": float(np.corrcoef(shares.ravel(), world.tastes.ravel())[0, 1]),
        "transition": float((step == 1).mean() - (step == config.num_categories - 1).mean()),
        "successor": float(goes_with - world.successors.shape[1] / config.num_items),
        "popularity": float(top / bottom - 1),
        "price": float(np.corrcoef(levels, world.thrift)[0, 1]),
    }


@pytest.mark.parametrize("effect", ["taste", "transition", "successor", "popularity", "price"])
def test_each_effect_exists_alone_and_disappears_when_off(effect):
    off = statistics(NOTHING)
    strength = getattr(ShopConfig(), effect)
    on = statistics(dataclasses.replace(NOTHING, **{effect: strength}))
    assert abs(off[effect]) < 0.1  # four standard errors of a correlation over 1,500 users
    assert on[effect] > 0.35
    habits = {"transition", "successor"}  # what goes with an item lies in the following category: one brings the other
    apart = set(on) - (habits if effect in habits else {effect})
    assert all(abs(on[name]) < 0.1 for name in apart), on


@pytest.mark.parametrize("habits", [True, False])
def test_direction_helps_only_with_habits(habits):
    """Taste alone makes items co-occur, in either direction alike; habits make the forward direction better."""
    shop = Shop.generate(ShopConfig() if habits else ShopConfig(transition=0, successor=0))
    split = leave_one_out(shop.dataset)
    held, n = split.reveal("test"), shop.config.num_items
    backward = Histories.from_lists([row[::-1] for row in split.train])
    gain = (
        gains(transition_scores(split.train, held, n), held)[1] - gains(transition_scores(backward, held, n), held)[1]
    )
    error = gain.std() / np.sqrt(len(held))
    assert gain.mean() > 20 * error if habits else abs(gain.mean()) < 3 * error


def test_successors_lie_in_the_following_category(shop):
    world = shop.world
    follows = (world.categories + 1) % shop.config.num_categories
    assert (world.categories[world.successors] == follows[:, None]).all()
    same_brand = (world.brands[world.successors] == world.brands[:, None]).mean()
    assert same_brand > 0.3  # one in 24 by chance


def test_anonymous_users_get_the_prior_mean(shop):
    histories = Histories.from_lists([[3], []])
    found = shop.oracle().probabilities(histories)
    config, world = shop.config, shop.world
    base = -config.popularity * np.log(world.ranks)
    np.testing.assert_allclose(found[1], np.exp(base) / np.exp(base).sum())
    assert found[0, 3] == 0
    assert found[0, world.successors[3]].sum() > 10 * found[1, world.successors[3]].sum()


def test_oracle_is_a_recommender(shop, held):
    oracle = shop.oracle()
    assert isinstance(oracle, Recommender)
    assert isinstance(oracle, Scorer)
    some = held.histories.take(slice(0, 50))
    items, scores = oracle.recommend(some, 10)
    full = oracle.score(some)
    assert items.shape == (50, 10)
    assert items.dtype == np.int64
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(np.take_along_axis(full, items, axis=1), scores)
    assert (np.diff(scores, axis=1) <= 0).all()
    unseen = oracle.recommend(some, 10, exclude_seen=True).items
    assert not any(set(row.tolist()) & set(seen.tolist()) for row, seen in zip(unseen, some, strict=True))
    everything = oracle.recommend(some.take(slice(0, 1)), 700)
    assert everything.items.shape == (1, 700)
    assert (everything.items[0, 599:] == -1).all()  # 599 items can be next, the last one cannot
    assert sorted([*everything.items[0, :599].tolist(), int(some[0][-1])]) == list(range(600))
    assert np.isneginf(everything.scores[0, 599:]).all()
    assert oracle.recommend(some.take(slice(0, 0)), 5).items.shape == (0, 5)


def test_oracle_refuses_foreign_histories(shop):
    with pytest.raises(DataError, match="item indexes"):
        shop.oracle().score(Histories.from_lists([[600]]))
    with pytest.raises(DataError, match="user indexes"):
        shop.oracle().score(Histories.from_lists([[1]], users=[2000]))
    empty = HeldOut("test", Histories.from_lists([]), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="at least one history"):
        shop.best_scores(empty)


def test_truth_is_rebuilt_from_a_saved_data_set(shop, held, tmp_path):
    shop.dataset.save_pretrained(tmp_path / "shop")
    loaded = load_dataset(tmp_path / "shop")
    rebuilt = Shop.from_dataset(loaded)
    assert rebuilt.config == shop.config
    assert rebuilt.best_scores(held) == shop.best_scores(held)
    with pytest.raises(DataError, match="has no shop in its provenance"):
        Shop.from_dataset(Dataset("else", loaded.user_ids, loaded.catalogue, loaded.interactions))
    fewer = Dataset("fewer", (*loaded.user_ids, "new"), loaded.catalogue, loaded.interactions).stamp(loaded.provenance)
    with pytest.raises(DataError, match="other users or items"):
        Shop.from_dataset(fewer)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("num_users", 0), ("num_items", 5), ("num_categories", 2), ("num_categories", 25), ("num_brands", 99),
     ("mean_length", 2.0), ("taste", -1.0), ("price", float("nan")), ("seed", -1)],
)  # fmt: skip
def test_impossible_shops_are_refused(setting, value):
    with pytest.raises(ConfigError, match=f"{setting} is"):
        ShopConfig(**{setting: value})


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(3, 24),
    st.integers(0, 30),
    st.integers(4, 48),
    st.integers(1, 6),
)
def test_any_possible_shop_opens(num_users, num_categories, more_items, num_brands, num_successors):
    config = ShopConfig(
        num_users=num_users, num_items=2 * num_categories + more_items, num_categories=num_categories,
        num_brands=num_brands, num_successors=num_successors,
    )  # fmt: skip
    data = Shop.generate(config).dataset
    assert data.num_users == num_users
    assert data.histories().lengths.min() >= config.min_length
    assert len(set(data.catalogue.titles)) == data.num_items
