"""The game against a slow reference that keeps a list of orders, and what may be seen of it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.agents.inventory.game import InventoryGame, PolicyError, play, score
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.instances import LOST, Instances
from agentrec.agents.inventory.observation import Observation


def instances(demand: list[list[int]], leads: list[list[int]], profit: float = 4.0) -> Instances:
    size = len(demand)
    return Instances(
        tuple(map(str, range(size))),
        np.full((size, 2), 5),
        np.array(demand),
        np.array(leads),
        np.full(size, 2),
        np.full(size, profit),
        np.ones(size),
    )


class Fixed:
    """Orders what was written down."""

    def __init__(self, orders: np.ndarray) -> None:
        self.orders = orders

    def order(self, observation: Observation) -> np.ndarray:
        return self.orders[:, observation.period]


def slowly(known: Instances, row: int, orders: list[int]) -> dict[str, Any]:
    """One instance by the letter of the rules."""
    on_hand, total, sold_in, seen, out = 0, 0.0, [], [], []
    for period, quantity in enumerate(orders):
        seen.append((on_hand, sum(amount for amount, _, _ in out)))
        lead = int(known.lead_times[row, period])
        if quantity:
            out.append((quantity, period, None if lead == LOST else period + lead))
        on_hand += sum(amount for amount, _, due in out if due == period)
        out = [order for order in out if order[2] != period]
        sold = min(on_hand, int(known.demand[row, period]))
        on_hand -= sold
        sold_in.append(sold)
        total += float(known.profit[row]) * sold - float(known.holding[row]) * on_hand
    return {"total": total, "sold": sold_in, "seen": seen}


@st.composite
def games(draw):
    size, periods = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    table = lambda values: draw(  # noqa: E731
        st.lists(st.lists(values, min_size=periods, max_size=periods), min_size=size, max_size=size)
    )
    known = instances(table(st.integers(0, 9)), table(st.sampled_from([LOST, 0, 1, 2, 5])), draw(st.floats(0.5, 20)))
    return known, np.array(table(st.integers(0, 12)))


@given(games())
@settings(max_examples=150, deadline=None)
def test_all_instances_at_once_go_as_each_one_slowly(drawn):
    known, orders = drawn
    played = play(Fixed(orders), known)
    game = InventoryGame(known)
    for row in range(len(known)):
        truth = slowly(known, row, orders[row].tolist())
        assert played.sold[row].tolist() == truth["sold"]
        assert played.reward[row].sum() == pytest.approx(truth["total"])
    for period in range(known.periods):
        seen = game.observe()
        for row in range(len(known)):
            expected = slowly(known, row, orders[row].tolist())["seen"][period]
            assert (int(seen.on_hand[row]), int(seen.in_transit[row])) == expected
        game.step(orders[:, period])
    assert game.done


@given(games())
@settings(max_examples=60, deadline=None)
def test_no_unit_appears_or_vanishes(drawn):
    known, orders = drawn
    game = InventoryGame(known)
    steps = [game.step(orders[:, period]) for period in range(known.periods)]
    seen = game.observe()
    sold, arrived = (sum(getattr(step, name) for step in steps) for name in ("sold", "arrivals"))
    assert (arrived == sold + seen.on_hand).all()
    assert (orders.sum(axis=1) == arrived + seen.in_transit).all()


def test_a_lost_order_stays_in_transit_and_looks_like_one_that_is_late():
    lost = InventoryGame(instances([[3] * 6], [[LOST] + [0] * 5]))
    late = InventoryGame(instances([[3] * 6], [[5] + [0] * 5]))
    for _ in range(5):
        for game in (lost, late):
            game.step(np.array([7 if game.period == 0 else 0]))
        for field in dataclasses.fields(Observation):
            assert (getattr(lost.observe(), field.name) == getattr(late.observe(), field.name)).all(), field.name
    assert lost.observe().in_transit.tolist() == [7]


def test_an_observation_holds_what_may_be_seen_and_nothing_else():
    names = {field.name for field in dataclasses.fields(Observation)}
    assert names == {"history", "demand", "orders", "arrived", "on_hand", "promised", "profit", "holding"}
    game = InventoryGame(generate(["stationary"], Sizes(series=2), supply=SUPPLIES["lead_time_stochastic"]))
    game.step(np.array([5, 5]))
    seen = game.observe()
    assert seen.demand.shape == seen.orders.shape == seen.arrived.shape == (2, 1)
    assert seen.demand.base is None or seen.demand.base.shape == (2, 1)  # no view of what is to come


def test_an_order_of_nothing_does_not_tell_its_lead_time():
    game = InventoryGame(instances([[1, 1, 1]], [[1, 1, 1]]))
    for _ in range(3):
        game.step(np.array([0]))
    assert (game.observe().arrived == -1).all()


def test_changing_an_observation_changes_no_game():
    game = InventoryGame(instances([[3, 3]], [[0, 0]]))
    game.step(np.array([5]))
    seen = game.observe()
    seen.on_hand[:] = 1000
    seen.orders[:] = 0
    assert game.observe().on_hand.tolist() == [2]
    assert game.observe().orders.tolist() == [[5]]


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        (np.array([-1, 2]), "an order is -1; expected 0 or more"),
        (np.array([1.5, 2.0]), "type float64"),
        (np.array([1]), r"shape \(1,\)"),
    ],
)
def test_wrong_orders_are_refused(orders, says):
    with pytest.raises(PolicyError, match=says):
        InventoryGame(instances([[1], [1]], [[0], [0]])).step(orders)


def test_a_finished_game_takes_no_order():
    game = InventoryGame(instances([[1]], [[0]]))
    game.step(np.array([1]))
    with pytest.raises(PolicyError, match="all 1 periods"):
        game.step(np.array([1]))


def test_scores_are_shares_of_the_profit_of_all_demand():
    known = instances([[2, 2], [2, 2], [0, 0], [0, 0]], [[0, 0]] * 4)
    reward = np.array([[8.0, 4.0], [-9.0, 1.0], [0.0, 0.0], [0.0, -1.0]])
    assert score(known, reward).tolist() == [12 / 16, 0.0, 1.0, 0.0]
