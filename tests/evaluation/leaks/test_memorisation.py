"""The two tests of a finished model: clean models pass at the promised rate, models trained on everything do not."""

import itertools

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Recommendations
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import PARTS, Split, leave_one_out
from agentrec.evaluation.leaks.memorisation import (
    ALPHA,
    CLEAN_ALPHA,
    against_clean_fits,
    cold_items,
    cold_targets,
    renaming_p_value,
)
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.training import cf

SMALL = {"embedding_dim": 32, "num_heads": 1, "num_layers": 1, "max_length": 12, "dropout": 0.0}


def sparse_shop(seed=0):
    """Many items, few users: about 25 items occur as test targets only."""
    return Shop.generate(ShopConfig(num_users=200, num_items=600, mean_length=7, seed=seed)).dataset


def on_everything(dataset, split):
    return Split(dataset, "leaky", dataset.histories(), {part: split.reveal(part) for part in PARTS}, {})


def train_sasrec(split, seed):
    config = cf.Config(
        epochs=20, patience=20, batch_size=32, learning_rate=5e-3, weight_decay=0.01, warmup_steps=10, seed=seed
    )
    return cf.train_cf("sasrec", split, model=SMALL, config=config)


@pytest.fixture(scope="module")
def world():
    dataset = sparse_shop()
    split = leave_one_out(dataset)
    return split, on_everything(dataset, split)


@pytest.fixture(scope="module")
def networks(world):
    split, leaky = world
    return [train_sasrec(split, seed) for seed in range(4)], train_sasrec(leaky, seed=9)


def test_cold_items_occur_as_test_targets_alone(world):
    split, _ = world
    cold, histories = cold_items(split), split.reveal("test").histories
    assert len(cold) > 10
    assert set(cold) <= set(split.reveal("test").targets)
    assert not set(cold) & {*split.train.items, *histories.items}


def test_cold_targets_of_clean_models_pass(world, networks):
    split, _ = world
    for model in (Popularity.fit(split.train, split.num_items), Transitions.fit(split.train, split.num_items)):
        assert cold_targets(model, split).facts["p_value"] == 1.0  # all cold items tie
    for model in networks[0]:
        finding = cold_targets(model, split)
        assert finding.facts["p_value"] > ALPHA
        assert (finding.violations, finding.is_leak) == (0, False)
        assert finding.checked >= len(cold_items(split))


def test_models_trained_on_everything_know_the_cold_targets(world, networks):
    split, leaky = world
    for model in (Transitions.fit(leaky.train, leaky.num_items), networks[1]):
        finding = cold_targets(model, split)
        assert finding.is_leak
        assert finding.facts["p_value"] < ALPHA
        assert finding.facts["percentile"] > 0.65
        assert finding.violations > finding.checked / 2
    warned = cold_targets(networks[1], split, by_index=False)
    assert (warned.severity, warned.is_leak, warned.violations > 0) == ("warning", False, True)


def test_without_cold_targets_nothing_is_checked():
    split = leave_one_out(Shop.generate(ShopConfig(num_users=200, num_items=40)).dataset)
    finding = cold_targets(Popularity.fit(split.train, split.num_items), split)
    assert (finding.checked, finding.violations, finding.facts["p_value"]) == (0, 0, None)


def test_renaming_agrees_with_all_permutations():
    rng = np.random.default_rng(1)
    table, own = rng.random((6, 5)), rng.integers(0, 5, 6)
    observed = table[np.arange(6), own].sum()
    renamed = [table[np.arange(6), np.array(names)[own]].sum() for names in itertools.permutations(range(5))]
    exact = np.mean(np.array(renamed) >= observed - 1e-9)
    assert renaming_p_value(table, own) == pytest.approx(exact, abs=0.02)


def test_the_rate_of_false_alarms_of_renaming_is_the_promised_one():
    """Users who all prefer the same cold items do not upset it."""
    rng, below = np.random.default_rng(2), []
    for trial in range(300):
        table = rng.random((1, 12)) + 0.1 * rng.random((30, 12))  # nearly one order for all users
        below.append(renaming_p_value(table, rng.integers(0, 12, 30), renamings=99, seed=trial) <= 0.1)
    assert 0.05 < np.mean(below) < 0.16  # 0.1, give or take three standard errors


def test_clean_fits_with_other_seeds_pass(world, networks):
    split, _ = world
    clean = networks[0]
    for row, model in enumerate(clean):
        finding = against_clean_fits(model, clean[:row] + clean[row + 1 :], split.reveal("test"))
        assert finding.facts["p_value"] > CLEAN_ALPHA
        assert not finding.violations


def test_a_network_trained_on_everything_stands_out(world, networks):
    split, _ = world
    clean, leaky = networks
    finding = against_clean_fits(leaky, clean, split.reveal("test"))
    assert finding.is_leak
    assert finding.violations > 10
    assert "clean fits" in finding.examples[0]


@pytest.mark.parametrize("method", [Popularity, Transitions])
def test_counted_models_are_compared_exactly(world, method):
    split, leaky = world
    fit = [method.fit(part.train, part.num_items) for part in (split, split, split, leaky)]
    held = split.reveal("test")
    same = against_clean_fits(fit[0], fit[1:3], held)
    assert (same.violations, same.facts["p_value"]) == (0, 1.0)
    other = against_clean_fits(fit[3], fit[1:3], held)
    assert other.violations > 0
    assert other.facts["p_value"] == 0.0


def test_another_and_worse_model_is_a_warning_not_a_leak(world):
    split, _ = world
    clean = [Transitions.fit(split.train, split.num_items) for _ in range(2)]
    finding = against_clean_fits(Popularity.fit(split.train, split.num_items), clean, split.reveal("test"))
    assert finding.violations
    assert finding.severity == "warning"


def test_two_clean_fits_are_needed(world):
    split, _ = world
    model = Popularity.fit(split.train, split.num_items)
    with pytest.raises(ConfigError, match="there are 1 clean fits"):
        against_clean_fits(model, [model], split.reveal("test"))


class Padded:
    """Lists one item and ends."""

    num_items = 600

    def recommend(self, histories, n, *, exclude_seen=False):
        items = np.full((len(histories), n), -1, np.int64)
        items[:, 0] = 0
        return Recommendations(items, np.where(items >= 0, 0, -np.inf).astype(np.float32))


def test_items_that_are_not_listed_tie_at_the_end(world):
    assert cold_targets(Padded(), world[0]).facts["p_value"] == 1.0
