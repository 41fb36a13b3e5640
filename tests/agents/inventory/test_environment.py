"""The Gymnasium face keeps Gymnasium's contract and plays the same game."""

import numpy as np
import pytest

pytest.importorskip("gymnasium")
from gymnasium.utils.env_checker import check_env

from agentrec.agents.inventory.environment import InventoryEnv
from agentrec.agents.inventory.game import PolicyError, play
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.policies import load_policy
from agentrec.core.errors import DataError


@pytest.fixture
def known():
    return generate(["seasonal"], Sizes(series=1, periods=20), supply=SUPPLIES["lead_time_stochastic"])


# Advice, not errors: orders are whole units, and money has no upper limit.
@pytest.mark.filterwarnings("ignore:.*(symmetric and normalized|maximum value is infinity)")
def test_it_keeps_the_contract(known):
    check_env(InventoryEnv(known), skip_render_check=True)


def test_it_plays_the_same_game(known):
    played = play(load_policy("or")(), known)
    env = InventoryEnv(known)
    seen, _ = env.reset(seed=1)
    done, rewards, info = False, [], {}
    for period in range(20):
        assert not done
        seen, reward, done, cut, info = env.step(played.orders[0, period : period + 1])
        rewards.append(reward)
        assert env.observation_space.contains(seen)
        assert (info["sold"], info["arrivals"]) == (played.sold[0, period], played.arrivals[0, period])
        assert not cut
    assert done
    assert rewards == pytest.approx(played.reward[0].tolist())
    assert info["score"] == pytest.approx(float(played.score[0]))
    assert seen["demand"].tolist() == known.demand[0].tolist()


def test_what_has_not_happened_is_minus_one(known):
    env = InventoryEnv(known)
    seen, _ = env.reset()
    assert (seen["demand"] == -1).all()
    seen, *_ = env.step(3)
    assert seen["demand"].tolist() == [int(known.demand[0, 0]), *[-1] * 19]
    assert seen["orders"].tolist() == [3, *[-1] * 19]
    again, _ = env.reset()
    assert (again["orders"] == -1).all()


def test_it_takes_one_instance_and_whole_orders(known):
    with pytest.raises(DataError, match="given 2 instances; expected 1"):
        InventoryEnv(generate(["seasonal"], Sizes(series=2)))
    env = InventoryEnv(known)
    env.reset()
    with pytest.raises(PolicyError, match="type float64"):
        env.step(np.array([2.5]))
