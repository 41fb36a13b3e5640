"""What answers without a model: the window that forecast best, figures as reasons, orders that beat the baseline."""

import numpy as np
import pytest

from agentrec.agents.inventory.answers import OrderAnswer, ParametersAnswer
from agentrec.agents.inventory.computed import PARAMETERS, WINDOWS, answer, best_window
from agentrec.agents.inventory.facts import coming, facts_of, figures, overdue
from agentrec.agents.inventory.game import play
from agentrec.agents.inventory.generate import Sizes, Supply, generate
from agentrec.agents.inventory.instances import LOST
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies import load_policy
from agentrec.serving.chat.protocol import ChatRequest, Message


def asked(step, facts):
    return answer(ChatRequest(step, (Message("user", ""),), facts))


class Answering:
    """The answers to one kind of question as a policy, instance by instance."""

    def __init__(self, step, shape):
        self.step, self.shape = step, shape

    def order(self, observation):
        rows = [facts_of("x", observation.take(np.array([row]))) for row in range(len(observation))]
        return np.array([self.shape.model_validate(asked(self.step, facts)).ordered(facts)[0] for facts in rows])


def seen(demand, *, orders, arrived, on_hand=0, promised=1):
    columns = [np.array([row]) for row in (demand[:2], demand[2:], orders, arrived)]
    ends = (np.array([on_hand]), np.array([promised]), np.array([4.0]), np.array([1.0]))
    return facts_of("tea", Observation(*columns, *ends))


def test_the_window_is_short_after_a_change_and_stays_long_without_one():
    rng = np.random.default_rng(0)
    steady = np.rint(rng.normal(100, 15, (40, 30))).astype(int)
    jumped = np.concatenate([steady[:, :18], 3 * steady[:, 18:]], axis=1)
    windows = [[best_window(row.tolist()) for row in rows] for rows in (steady, jumped)]
    assert {*windows[0], *windows[1]} <= {0, *WINDOWS}
    assert np.mean([0 < window <= 5 for window in windows[1]]) > 0.9
    assert np.mean([0 < window <= 5 for window in windows[0]]) < 0.3
    assert best_window([7]) == 0


def test_orders_that_are_out_too_long_are_not_counted_on():
    late = seen([20, 22, 25, 21, 24], orders=[30, 20, 25], arrived=[-1, 2, -1], on_hand=4)
    assert (overdue(late), coming(late), late["in_transit"]) == (30, 25, 55)
    told = asked(PARAMETERS, late)
    assert (told["lost_units"], told["lead_time"]) == (30, {"method": "calculate"})
    assert "30 of them overdue and not counted on" in told["rationale"]
    assert "30 units overdue" in told["carry_over_insight"]
    young = seen([20, 22, 25, 21, 24], orders=[0, 0, 25], arrived=[-1, -1, -1], on_hand=4)
    assert (overdue(young), asked(PARAMETERS, young)["lead_time"]) == (0, {"method": "default"})


def test_reasons_are_the_figures_of_the_order():
    facts = seen([10, 10, 10, 10], orders=[0, 6], arrived=[-1, -1], on_hand=9)
    told = figures(facts, 5)
    assert (told["recent"], told["deviation"], told["ratio"]) == (10, 0, 0.8)
    assert told["cover"] == pytest.approx((9 + 6 + 5) / 10)
    text = asked("inventory/llm_only", facts)["rationale"]
    assert "Demand was 10.0 a period over the last 4 periods" in text
    assert "in 80 of 100 periods" in text


@pytest.mark.parametrize(
    ("family", "supply"),
    [("mean_increase", Supply(0, (0,))), ("mean_decrease", Supply(2, (2,))), ("stationary", Supply(1, (1, 1, LOST)))],
)
def test_recent_demand_and_written_off_orders_beat_the_baseline(family, supply):
    """Parameters alone, in the formula of the baseline: what changed, and what got lost, makes the difference."""
    known = generate([family], Sizes(series=6, periods=40), supply=supply, seed=5)
    with_parameters = play(Answering(PARAMETERS, ParametersAnswer), known).score.mean()
    assert with_parameters > play(load_policy("or")(), known).score.mean() + 0.02


def test_whole_orders_are_those_of_the_adaptive_policy():
    known = generate(["seasonal"], Sizes(series=2, periods=6), supply=Supply(1, (1, 2, LOST)), seed=5)
    orders = play(Answering("inventory/or_to_llm", OrderAnswer), known).orders
    assert (orders == play(load_policy("adaptive")(), known).orders).all()
