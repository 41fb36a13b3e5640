"""Levels of the textbook policies against stockpyl, and the OR baseline against its published scores."""

import time

import numpy as np
import pytest

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.agents.inventory.game import InventoryGame, play
from agentrec.agents.inventory.generate import Sizes, generate
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.capped_base_stock import CappedBaseStock, Config, base_stock
from agentrec.agents.inventory.policies.newsvendor import Newsvendor, newsvendor_quantity
from agentrec.agents.inventory.policies.reorder_point import Config as OrderCost
from agentrec.agents.inventory.policies.reorder_point import ReorderPoint, reorder_levels
from agentrec.core.errors import ConfigError

PUBLISHED = {"lead_time_0": 0.8179, "lead_time_4": 0.5359, "lead_time_stochastic": 0.1068}


def array(*values: float) -> np.ndarray:
    return np.array(values)


def observation(seen: list[int], on_hand: int = 0, promised: int = 0, profit: float = 4.0) -> Observation:
    none = np.zeros((1, 0), np.int64)
    levels = array(on_hand), array(promised), array(profit), array(1.0)
    return Observation(np.array([seen]), none, none, none, *levels)


@pytest.mark.parametrize("lead_time", [0, 1, 4])
@pytest.mark.parametrize(("holding", "short"), [(1.0, 1.0), (1.0, 19.0), (0.18, 0.7)])
def test_base_stock_levels_are_those_of_stockpyl(holding, short, lead_time):
    newsvendor = pytest.importorskip("stockpyl.newsvendor")
    expected, _ = newsvendor.newsvendor_normal(holding, short, 50.0, 8.0, lead_time)
    ratio = array(short / (short + holding))
    assert base_stock(array(50.0), array(8.0), array(lead_time), ratio)[0] == pytest.approx(expected)


def test_newsvendor_quantities_are_those_of_stockpyl():
    newsvendor = pytest.importorskip("stockpyl.newsvendor")
    demand = np.random.default_rng(0).poisson(12, (1, 40))
    mean, deviation = float(demand.mean()), float(demand.std(ddof=1))
    for holding, short in ((1.0, 1.0), (1.0, 4.0), (1.0, 19.0)):
        ratio = array(short / (short + holding))
        expected, _ = newsvendor.newsvendor_normal(holding, short, mean, deviation)
        assert newsvendor_quantity(demand, ratio)[0] == pytest.approx(expected)
        values, counts = np.unique(demand, return_counts=True)
        shares = dict(zip(values.tolist(), (counts / counts.sum()).tolist(), strict=True))
        exact, _ = newsvendor.newsvendor_discrete(holding, short, demand_pmf=shares)
        assert newsvendor_quantity(demand, ratio, "empirical")[0] == exact


@pytest.mark.parametrize(("holding", "short", "cost"), [(0.18, 0.7, 20.0), (1.0, 4.0, 128.0), (1.0, 19.0, 500.0)])
def test_reorder_levels_are_those_of_stockpyl(holding, short, cost):
    ss = pytest.importorskip("stockpyl.ss")
    expected = ss.s_s_power_approximation(holding, short, cost, 50.0, 8.0)
    ratio = array(short / (short + holding))
    found = reorder_levels(array(50.0), array(8.0), array(0), ratio, array(cost / holding))
    assert found[:, 0].tolist() == pytest.approx(list(expected))


def test_reorder_levels_are_near_the_exact_ones():
    ss = pytest.importorskip("stockpyl.ss")
    low, high, exact = ss.s_s_discrete_exact(1.0, 4.0, 64.0, True, 20)
    found = reorder_levels(array(20.0), array(20**0.5), array(0), array(0.8), array(64.0))
    levels = [round(float(level)) for level in found[:, 0]]
    cost = ss.s_s_cost_discrete(levels[0], levels[1], 1.0, 4.0, 64.0, True, 20)
    assert exact <= cost <= 1.02 * exact, (levels, low, high)


def test_the_baseline_caps_what_it_orders_at_once():
    seen = observation([90, 100, 110], promised=4)
    capped = int(CappedBaseStock().order(seen)[0])
    assert capped == int(np.ceil(100 + 1.6448536 * 10))
    assert int(CappedBaseStock(Config(cap=1.0)).order(seen)[0]) == int(np.ceil(500 + 0.8416212 * 5**0.5 * 10))


def test_newsvendor_orders_less_where_something_will_be_left():
    assert int(Newsvendor().order(observation([90, 100, 110]))[0]) == 109
    assert int(Newsvendor().order(observation([90, 100, 110], on_hand=60))[0]) == 49
    assert int(Newsvendor().order(observation([90, 100, 110], on_hand=160, promised=1))[0]) == 49


def test_reorder_point_waits_until_stock_is_low():
    known = generate(["stationary"], Sizes(series=6))
    game, policy, ordered = InventoryGame(known), ReorderPoint(OrderCost(400.0)), []
    while not game.done:
        seen = game.observe()
        ordered.append(policy.order(seen))
        full = seen.on_hand > 400
        assert not ordered[-1][full].any()
        game.step(ordered[-1])
    assert 5 < (np.array(ordered) > 0).sum(axis=0).mean() < 35  # several periods in one order
    with pytest.raises(ConfigError, match="order_cost is 0"):
        OrderCost(0)


@pytest.mark.data
def test_the_baseline_scores_what_was_published(data_folder):
    began = time.perf_counter()
    (known,) = load_benchmark(data_folder / "inventorybench_synthetic")
    scores, family = play(load_policy("or")(), known).score, np.array(known.labels["family"])
    assert time.perf_counter() - began < 10
    assert len(known) == 720
    for name, published in PUBLISHED.items():
        assert float(scores[family == name].mean()) == pytest.approx(published, abs=0.0002), name
