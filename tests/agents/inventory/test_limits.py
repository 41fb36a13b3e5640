from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.agents.inventory.limits import Shared, excess, within, worth


def fact(demand, on_hand=0, unit_cost=1.0, volume=1.0, profit=3.0):
    return {
        "product": "p",
        "history": [],
        "demand": demand,
        "on_hand": on_hand,
        "in_transit": 0,
        "waiting": [],
        "lead_times": [],
        "promised": 0,
        "profit": profit,
        "holding": 1.0,
        "unit_cost": unit_cost,
        "volume": volume,
    }


FACTS = st.builds(
    fact,
    st.lists(st.integers(0, 9), min_size=2, max_size=6),
    on_hand=st.integers(0, 5),
    unit_cost=st.sampled_from([0.5, 1.0, 2.5]),
    volume=st.sampled_from([1.0, 2.0]),
    profit=st.sampled_from([1.0, 4.0]),
)


def total_worth(orders, facts):
    return sum(worth(part, unit) for part, order in zip(facts, orders, strict=True) for unit in range(1, order + 1))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_allocation_of_the_same_weight_is_worth_more(data):
    facts = [{**part, "unit_cost": 1.0} for part in data.draw(st.lists(FACTS, min_size=2, max_size=3))]
    orders = [data.draw(st.integers(0, 5)) for _ in facts]
    budget = data.draw(st.integers(0, sum(orders)))
    kept, notes = within(orders, facts, Shared(budget=float(budget)))
    assert sum(kept) == min(budget, sum(orders))
    assert [bool(note) for note in notes] == [after < before for before, after in zip(orders, kept, strict=True)]
    choices = [row for row in product(*(range(order + 1) for order in orders)) if sum(row) == sum(kept)]
    best = max(total_worth(row, facts) for row in choices)
    assert total_worth(kept, facts) == pytest.approx(best, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(facts=st.lists(FACTS, min_size=1, max_size=4), scale=st.sampled_from([1, 1000]), data=st.data())
def test_limits_are_kept_and_no_order_grows(facts, scale, data):
    orders = [data.draw(st.integers(0, 20)) * scale for _ in facts]
    shared = Shared(data.draw(st.none() | st.floats(0, 30 * scale)), data.draw(st.none() | st.floats(0, 60 * scale)))
    kept, _ = within(orders, facts, shared)
    assert excess(kept, facts, shared) == ""
    assert all(0 <= after <= before for before, after in zip(orders, kept, strict=True))
    if not excess(orders, facts, shared):
        assert kept == orders


def test_stock_takes_room_and_overdue_orders_do_not():
    late = {**fact([5, 5, 5], on_hand=4), "in_transit": 10, "waiting": [{"period": 0, "units": 10, "age": 3}]}
    assert within([9], [late], Shared(capacity=10.0))[0] == [6]
    due = {**late, "waiting": [{"period": 2, "units": 10, "age": 0}]}
    assert within([9], [due], Shared(capacity=10.0))[0] == [0]


def test_the_worth_of_a_unit_falls_and_ends_at_the_cost_of_keeping_it():
    values = [worth(fact([8, 10, 12], profit=4.0), unit) for unit in range(1, 60)]
    assert np.all(np.diff(values) <= 1e-12)
    assert values[0] == pytest.approx(4.0, abs=1e-3)
    assert values[-1] == pytest.approx(-1.0, abs=1e-6)
