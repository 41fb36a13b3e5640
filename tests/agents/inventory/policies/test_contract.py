"""What every policy keeps: whole orders, the same for the same observation, and nothing of what it may not see."""

import dataclasses

import numpy as np
import pytest

from agentrec.agents.inventory.demand import FAMILIES, FURTHER
from agentrec.agents.inventory.game import InventoryGame, Planner, Policy, play
from agentrec.agents.inventory.generate import Sizes, Supply, generate
from agentrec.agents.inventory.instances import LOST
from agentrec.agents.inventory.policies import REGISTRY, SHORT, load_policy
from agentrec.core.errors import UnknownNameError

WORLD = Sizes(series=1, periods=16)
SUPPLY = Supply(2, (0, 1, 2, 3, 6, LOST))
PLAYERS = [name for name in REGISTRY.names() if not isinstance(load_policy(name)(), Planner)]


def world(seed: int = 0):
    return generate([*FAMILIES, *FURTHER], WORLD, supply=SUPPLY, seed=seed)


def test_the_folder_lists_all_of_them():
    assert {"adaptive", "capped_base_stock", "newsvendor", "reorder_point", "rolling_forecast"} == set(PLAYERS)
    assert set(SHORT.values()) <= set(REGISTRY.names())
    assert all(REGISTRY.summaries().values())
    assert all(isinstance(load_policy(name)(), Policy) for name in PLAYERS)
    with pytest.raises(UnknownNameError, match="no method 'magic'; those that exist are adaptive, "):
        load_policy("magic")


@pytest.mark.parametrize("name", PLAYERS)
def test_orders_know_nothing_of_what_may_not_be_seen(name):
    """After period t, other demand, other lead times, and losses in place of orders still out: the same orders up to t.

    An order that has not arrived before t may be late or lost; nobody can tell, so the hidden future may be swapped.
    """
    known, policy = world(), load_policy(name)()
    played = play(policy, known)
    rng = np.random.default_rng(1)
    for period in (1, 4, 9, 15):
        demand, leads = known.demand.copy(), known.lead_times.copy()
        demand[:, period:] = rng.integers(0, 500, demand[:, period:].shape)
        leads[:, period:] = rng.choice([LOST, 0, 5], leads[:, period:].shape)
        out = (leads == LOST) | (np.arange(16) + leads >= period)
        swapped = rng.choice([LOST, 20, 30], leads.shape)
        leads = np.where(out, swapped, leads)
        other = play(policy, dataclasses.replace(known, demand=demand, lead_times=leads))
        assert (other.orders[:, : period + 1] == played.orders[:, : period + 1]).all(), period
        assert period == 15 or (other.orders[:, period + 1 :] != played.orders[:, period + 1 :]).any(), period


@pytest.mark.parametrize("name", PLAYERS)
def test_an_instance_is_played_the_same_alone_and_among_others(name):
    known = world(3)
    together = play(load_policy(name)(), known).orders
    for row in (0, 6, 12):
        assert (play(load_policy(name)(), known.take(np.array([row]))).orders[0] == together[row]).all()


@pytest.mark.parametrize("name", PLAYERS)
def test_a_policy_made_anew_goes_on_as_the_old_one(name):
    known, game = world(4), InventoryGame(world(4))
    old = load_policy(name)()
    for _ in range(8):
        game.step(old.order(game.observe()))
    assert (load_policy(name)().order(game.observe()) == old.order(game.observe())).all()
    assert game.observe().demand.shape == (len(known), 8)


@pytest.mark.parametrize("name", PLAYERS)
def test_little_and_no_demand_are_borne(name):
    known = generate(["stationary"], Sizes(series=2, periods=12, history=1), supply=SUPPLY)
    for demand in (np.zeros_like(known.demand), np.full_like(known.demand, 1), known.demand * 10_000):
        played = play(load_policy(name)(), dataclasses.replace(known, demand=demand, history=demand[:, :1]))
        assert (played.orders >= 0).all()
        if not demand.any():
            assert played.orders.sum() <= 24  # at most a unit of doubt in each period
