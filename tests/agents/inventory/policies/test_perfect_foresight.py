"""The closed form is the best there is: against all orders of small games, against HiGHS, and against every policy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.agents.inventory.demand import FAMILIES, FURTHER
from agentrec.agents.inventory.game import play
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, Supply, generate
from agentrec.agents.inventory.instances import LOST, Instances
from agentrec.agents.inventory.policies import REGISTRY, load_policy
from agentrec.agents.inventory.policies.perfect_foresight import PerfectForesight


class Written:
    """Orders what was written down."""

    def __init__(self, orders: np.ndarray) -> None:
        self.orders = orders

    def plan(self, instances: Instances) -> np.ndarray:
        return self.orders


def one(demand: list[int], leads: list[int], profit: float, holding: float) -> Instances:
    costs = np.array([profit]), np.array([holding])
    return Instances(("x",), np.ones((1, 1), int), np.array([demand]), np.array([leads]), np.array([1]), *costs)


def repeated(known: Instances, times: int) -> Instances:
    return Instances(
        tuple(map(str, range(times))),
        *(np.repeat(array, times, axis=0) for array in (known.history, known.demand, known.lead_times)),
        *(np.repeat(array, times) for array in (known.promised, known.profit, known.holding)),
    )


@st.composite
def small(draw, periods: int, most: int):
    demand = draw(st.lists(st.integers(0, most), min_size=periods, max_size=periods))
    leads = draw(st.lists(st.sampled_from([LOST, 0, 1, 2, 3]), min_size=periods, max_size=periods))
    return one(demand, leads, draw(st.sampled_from([0.5, 1.0, 2.0, 4.0])), draw(st.sampled_from([0.6, 1.0, 2.5])))


@given(small(4, 2))
@settings(max_examples=60, deadline=None)
def test_no_orders_at_all_earn_more(known):
    orders = np.array(list(itertools.product(range(6), repeat=4)))
    rewards = play(Written(orders), repeated(known, len(orders))).reward.sum(axis=1)
    assert play(PerfectForesight(), known).reward.sum() == pytest.approx(rewards.max())


@given(small(12, 30))
@settings(max_examples=60, deadline=None)
def test_it_earns_what_a_linear_program_finds(known):
    assert play(PerfectForesight(), known).reward.sum() == pytest.approx(by_linear_program(known), abs=1e-6)


def by_linear_program(known: Instances) -> float:
    """Variables: orders q, sales s, stock I; stock balances, sales are at most demand."""
    periods = known.periods
    balance = np.zeros((periods, 3 * periods))
    for period in range(periods):
        balance[period, periods + period] = balance[period, 2 * periods + period] = 1
        if period:
            balance[period, 2 * periods + period - 1] = -1
    for placed, lead in enumerate(known.lead_times[0].tolist()):
        if lead != LOST and placed + lead < periods:
            balance[placed + lead, placed] = -1
    cost = np.concatenate([np.zeros(periods), np.full(periods, -known.profit[0]), np.full(periods, known.holding[0])])
    limits = [(0, 1e6)] * periods + [(0, int(most)) for most in known.demand[0]] + [(0, None)] * periods
    return -linprog(cost, A_eq=balance, b_eq=np.zeros(periods), bounds=limits, method="highs").fun


@pytest.mark.parametrize("supply", [*SUPPLIES.values(), Supply(1, (1, 4, 0, LOST))])
def test_it_bounds_every_policy(supply):
    known = generate([*FAMILIES, *FURTHER], Sizes(series=3, periods=20), supply=supply, seed=2)
    best = play(PerfectForesight(), known)
    for name in REGISTRY.names():
        assert (play(load_policy(name)(), known).reward.sum(axis=1) <= best.reward.sum(axis=1) + 1e-9).all(), name


def test_without_lead_time_it_scores_one():
    known = generate(sizes=Sizes(series=2))
    assert play(PerfectForesight(), known).score.tolist() == [1.0] * 20


@pytest.mark.data
def test_it_bounds_the_policies_on_all_of_the_benchmark(data_folder):
    (known,) = load_benchmark(data_folder / "inventorybench_synthetic")
    best = play(PerfectForesight(), known).reward.sum(axis=1)
    for name in ("or", "newsvendor", "reorder_point", "rolling_forecast"):
        assert (play(load_policy(name)(), known).reward.sum(axis=1) <= best + 1e-9).all(), name
