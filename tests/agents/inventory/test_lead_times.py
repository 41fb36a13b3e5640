"""Lead times and losses learned from arrivals find the truth, and censor rightly what is still out."""

import numpy as np
import pytest

from agentrec.agents.inventory.lead_times import BEYOND, learn_lead_times
from agentrec.agents.inventory.observation import Observation


def observation(arrived: list[int], orders: list[int] | None = None, promised: int = 2) -> Observation:
    """One instance whose order of period s arrived in ``arrived[s]``."""
    periods = len(arrived)
    made = np.array([[10] * periods if orders is None else orders])
    none = np.zeros((1, periods), np.int64)
    levels = np.zeros(1, np.int64), np.array([promised]), np.ones(1), np.ones(1)
    return Observation(np.ones((1, 1), np.int64), none, made, np.array([arrived]), *levels)


def test_the_promise_is_believed_at_first():
    shares = learn_lead_times(observation([]), 0.9, 3.0)[0]
    assert shares[2] == pytest.approx(0.9)
    assert len(shares) == 2 + BEYOND + 2
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()


def test_the_truth_is_found_in_the_long_run():
    rng = np.random.default_rng(0)
    leads = rng.choice([1, 2, 3, 999], 400)  # 999 is lost
    due = np.arange(400) + leads
    shares = learn_lead_times(observation(np.where(due < 400, due, -1).tolist()), 0.9, 3.0)[0]
    assert shares[[1, 2, 3, -1]] == pytest.approx([0.25] * 4, abs=0.05)


def test_orders_that_are_out_say_only_that_they_are_not_early():
    fresh = learn_lead_times(observation([-1, -1], promised=4), 0.9, 3.0)[0]
    assert fresh[4] == pytest.approx(0.9, abs=0.05)  # nothing is late yet
    stale = learn_lead_times(observation([-1] * 12, promised=1), 0.9, 3.0)[0]
    assert stale[-1] > 0.5  # nothing ever came
    assert stale[1] < 0.4


def test_longer_lead_times_than_thought_possible_are_learned():
    shares = learn_lead_times(observation([9, 10, 11, *[-1] * 9], promised=0), 0.9, 3.0)[0]
    assert len(shares) == 9 + BEYOND + 2
    assert shares[9] > 0.3


def test_orders_of_nothing_teach_nothing():
    none = learn_lead_times(observation([-1] * 6, orders=[0] * 6), 0.9, 3.0)
    assert none == pytest.approx(learn_lead_times(observation([]), 0.9, 3.0))


def test_em_has_reached_a_maximum_of_the_likelihood():
    """Moving mass from any lead time to any other does not raise the posterior."""
    seen = observation([1, -1, 4, 4, -1, 6, -1, -1, 9, -1], promised=2)
    shares = learn_lead_times(seen, 0.7, 3.0)[0]
    prior = learn_lead_times(observation([]), 0.7, 3.0)[0] * 3.0

    def posterior(p: np.ndarray) -> float:
        total = float(prior @ np.log(p))
        for placed, came in enumerate(seen.arrived[0].tolist()):
            total += np.log(p[came - placed] if came >= 0 else p[min(10 - placed, len(p) - 1) :].sum())
        return total

    best = posterior(shares)
    for source in range(len(shares)):
        for target in range(len(shares)):
            moved = shares.copy()
            moved[target] += 0.05 * shares[source]
            moved[source] -= 0.05 * shares[source]
            assert posterior(moved) < best + 2e-3
