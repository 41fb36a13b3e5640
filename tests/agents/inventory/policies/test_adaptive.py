"""The adaptive policy beats the baseline where there is something to learn, and is right where the truth is known."""

import dataclasses

import numpy as np
import pytest

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.agents.inventory.demand import FAMILIES, FURTHER
from agentrec.agents.inventory.game import play
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, Supply, generate
from agentrec.agents.inventory.instances import LOST, Instances
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.adaptive import Adaptive, Config
from agentrec.agents.inventory.policies.perfect_foresight import PerfectForesight

NAMES = [*FAMILIES, *FURTHER]
BAR = 0.615
STRONGEST_PUBLISHED = 0.5964


def steady(leads: tuple[int, ...], promised: int, periods: int = 110) -> Instances:
    """Normal demand of 100 and 20 in long games, at ratio .8."""
    rng = np.random.default_rng(0)
    size = 8
    return Instances(
        tuple(map(str, range(size))),
        np.rint(rng.normal(100, 20, (size, 5))).astype(int),
        np.rint(rng.normal(100, 20, (size, periods))).astype(int),
        rng.choice(np.array(leads), (size, periods)),
        np.full(size, promised),
        np.full(size, 4.0),
        np.ones(size),
    )


def test_with_steady_demand_and_no_lead_time_it_keeps_the_newsvendor_level():
    known = steady((0,), 0)
    played = play(Adaptive(), known)
    level = (played.on_hand[:, 59:-1] + played.orders[:, 60:]).mean()
    assert level == pytest.approx(100 + 0.8416 * 20, rel=0.03)


@pytest.fixture(scope="module")
def gains():
    """Mean score less that of the baseline: a row per supply, a column per family; all families are played at once."""

    def means(name: str, supply: Supply) -> np.ndarray:
        known = generate(NAMES, Sizes(series=6), supply=supply, seed=11)
        return play(load_policy(name)(), known).score.reshape(len(NAMES), 6).mean(axis=1)

    return np.stack([means("adaptive", supply) - means("or", supply) for supply in SUPPLIES.values()])


@pytest.mark.parametrize("family", NAMES)
def test_it_beats_the_baseline_in_every_family(gains, family):
    found = gains[:, NAMES.index(family)]
    assert found.mean() > 0.05, found
    assert found.min() > -0.03, found


def test_it_learns_a_longer_lead_time_than_promised():
    known = steady((5,), 2, periods=80)
    honest = dataclasses.replace(known, promised=np.full(8, 5))
    late, informed = (play(Adaptive(), one).reward[:, 30:].mean() for one in (known, honest))
    assert late == pytest.approx(informed, rel=0.02)


def test_it_orders_more_where_orders_get_lost():
    sure, losing = (play(Adaptive(), steady(leads, 1, 60)) for leads in ((1,), (1, 1, LOST)))
    assert losing.orders[:, 30:].mean() > 1.1 * sure.orders[:, 30:].mean()
    assert losing.sold[:, 30:].sum() > 0.75 * sure.sold[:, 30:].sum()


def test_a_higher_profit_never_lowers_an_order():
    known = generate(sizes=Sizes(series=2), supply=SUPPLIES["lead_time_4"]).take(np.arange(20))
    none = np.zeros((20, 0), np.int64)
    orders = []
    for profit in (0.5, 1.0, 4.0, 19.0, 80.0):
        levels = (np.zeros(20, np.int64), known.promised, np.full(20, profit), np.ones(20))
        orders.append(Adaptive().order(Observation(known.history, none, none, none, *levels)))
    assert (np.diff(np.stack(orders), axis=0) >= 0).all()
    assert (orders[-1] > orders[0]).all()


def test_more_scenarios_change_little():
    known = generate(sizes=Sizes(series=1), supply=SUPPLIES["lead_time_stochastic"])
    few, many = (play(Adaptive(Config(scenarios=count)), known).score.mean() for count in (96, 384))
    assert few == pytest.approx(many, abs=0.01)


@pytest.mark.data
@pytest.mark.slow
def test_it_passes_every_published_entry_of_the_benchmark(data_folder):
    (known,) = load_benchmark(data_folder / "inventorybench_synthetic")
    played, family = play(Adaptive(), known), np.array(known.labels["family"])
    means = [float(played.score[family == name].mean()) for name in SUPPLIES]
    assert np.mean(means) >= BAR > STRONGEST_PUBLISHED, means
    best = play(PerfectForesight(), known)
    assert (played.reward.sum(axis=1) <= best.reward.sum(axis=1) + 1e-9).all()
