import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.agents.inventory.advice import advise
from agentrec.agents.inventory.answers import OrderAnswer, ParametersAnswer
from agentrec.agents.inventory.computed import answer
from agentrec.agents.inventory.facts import facts_of, observation_of, overdue
from agentrec.agents.inventory.game import InventoryGame
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.policies import load_policy
from agentrec.core.errors import ConfigError
from agentrec.serving.chat.protocol import ChatRequest, Message
from agentrec.serving.chat.structured import schema_of


def facts_at(seed, periods, supply="lead_time_stochastic"):
    """Facts of a game in which a policy ordered for some periods."""
    instances = generate(["stationary"], Sizes(series=1, periods=20), supply=SUPPLIES[supply], seed=seed)
    game, policy = InventoryGame(instances), load_policy("or")()
    for _ in range(periods):
        game.step(policy.order(game.observe()))
    return facts_of("p", game.observe()), game.observe()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 50), periods=st.integers(0, 19), supply=st.sampled_from(sorted(SUPPLIES)))
def test_facts_hold_the_observation_and_nothing_more_and_the_defaults_are_the_published_policy(seed, periods, supply):
    facts, observation = facts_at(seed, periods, supply)
    again = observation_of(json.loads(json.dumps(facts)))
    for name in ("history", "demand", "orders", "arrived", "on_hand", "promised", "profit", "holding"):
        assert np.array_equal(getattr(again, name), getattr(observation, name)), name
    published = int(load_policy("or")().order(observation)[0])
    advice = advise(facts, "or")
    assert advice["order"] == advice["base_order"] == published
    defaults = {"method": "default"}
    made = ParametersAnswer(rationale="", mean=defaults, deviation=defaults, lead_time=defaults)
    assert made.ordered(facts)[0] == published
    assert facts["in_transit"] == sum(order["units"] for order in facts["waiting"])
    assert 0 <= overdue(facts) <= facts["in_transit"]


def test_parameters_change_the_order_as_the_formula_says():
    facts = facts_at(1, 12)[0]
    default = {"method": "default"}

    def ordered(**change):
        base = {"rationale": "", "mean": default, "deviation": default, "lead_time": default}
        return ParametersAnswer.model_validate({**base, **change}).ordered(facts)

    known = facts["history"] + facts["demand"]
    recent = ordered(mean={"method": "recent", "periods": 3}, deviation={"method": "recent", "periods": 4})[1]
    assert recent["mean"] == pytest.approx(np.mean(known[-3:]))
    assert recent["deviation"] == pytest.approx(np.std(known[-4:], ddof=1))
    explicit = ordered(mean={"method": "explicit", "value": 50.0}, deviation={"method": "explicit", "value": 0.0})
    level = 50.0 * (1 + facts["promised"])
    position = facts["on_hand"] + facts["in_transit"]
    assert explicit[0] == int(np.ceil(min(max(level - position, 0), 50.0)))
    took = ordered(lead_time={"method": "calculate"})[1]["lead_time"]
    assert took == int(np.ceil(np.mean(facts["lead_times"])))
    written_off = ordered(lost_units=10**6)[1]["position"]
    assert written_off == facts["on_hand"]


def test_the_computed_answers_have_the_shapes_and_advice_cannot_know_the_future():
    facts = facts_at(2, 9)[0]
    for step, shape in (("inventory/or_to_llm", OrderAnswer), ("inventory/llm_to_or", ParametersAnswer)):
        made = answer(ChatRequest(step, (Message("user", "?"),), facts))
        order, _ = shape.model_validate(made).ordered(facts)
        assert order >= 0
        assert str(facts["on_hand"]) in made["rationale"]
    with pytest.raises(ConfigError, match="knows the future"):
        advise(facts, "perfect_foresight")


def test_long_texts_are_cut_and_the_schema_says_how_long():
    made = OrderAnswer.model_validate({"rationale": "x" * 5000, "carry_over_insight": "y" * 5000, "order": 1})
    assert (len(made.rationale), len(made.carry_over_insight)) == (600, 300)
    schema = schema_of(OrderAnswer)
    assert schema["properties"]["rationale"]["maxLength"] == 600
    assert schema["properties"]["order"]["minimum"] == 0
    assert json.dumps(schema_of(ParametersAnswer))
