import threading

import pytest
from pydantic import BaseModel, Field

from agentrec.core.errors import ConfigError
from agentrec.serving.chat.backends.policy import PolicyBackend
from agentrec.serving.chat.backends.scripted import ScriptedBackend, ScriptError
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.ledger import Ledger
from agentrec.serving.chat.protocol import (
    AnswerError,
    BackendError,
    BudgetError,
    ChatRequest,
    Message,
    Reply,
)


class Order(BaseModel):
    order: int = Field(ge=0)


def request(text="How many?", **more):
    return ChatRequest("test/order", (Message("user", text),), **more)


def chat(script, config=None, **more):
    waits = []
    made = Chat(ScriptedBackend(script), config, sleep=waits.append, **more)
    return made, waits


def busy(**more):
    return BackendError("busy", passing=True, **more)


def test_a_wrong_answer_is_sent_back_with_what_is_wrong_and_repairs_are_counted():
    asked, _ = chat(["no idea", '{"order": -3}', 'I mean {"order": 4}'])
    answer = asked.ask_for(request(), Order)
    assert answer.value == Order(order=4)
    assert (answer.usage.repairs, answer.usage.calls, answer.usage.backend) == (2, 3, "scripted")
    first, second, third = asked.backend.asked
    assert first.schema["additionalProperties"] is False
    assert [message.role for message in third.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert "no JSON object" in second.messages[-1].content
    assert "-3" in third.messages[-1].content
    assert "order" in third.messages[-1].content


def test_after_all_repairs_the_answer_is_an_error_that_knows_what_was_spent():
    asked, _ = chat([Reply("no", 10, 5)] * 3)
    with pytest.raises(AnswerError, match="in 3 tries") as caught:
        asked.ask_for(request(), Order)
    assert (caught.value.usage.calls, caught.value.usage.prompt_tokens) == (3, 30)
    asked.backend.finish()


def test_passing_failures_are_retried_with_growing_waits_and_others_are_not():
    asked, waits = chat([busy(), busy(), busy(), "fine"])
    answer = asked.ask(request())
    assert (answer.value, answer.usage.retries, answer.usage.calls) == ("fine", 3, 4)
    assert [0.5 * 2**n <= 2 * wait <= 2 * 0.5 * 2**n for n, wait in enumerate(waits)] == [True] * 3
    asked, waits = chat([BackendError("no such model"), "fine"])
    with pytest.raises(BackendError, match="no such model"):
        asked.ask(request())
    assert waits == []


def test_waits_follow_the_server_unless_it_asks_for_too_long():
    asked, waits = chat([busy(wait=7.0), "fine"])
    asked.ask(request())
    assert waits == [7.0]
    asked, waits = chat([busy(wait=3600.0), "fine"])
    with pytest.raises(BackendError):
        asked.ask(request())
    assert waits == []


def test_retries_end():
    asked, waits = chat([busy()] * 3, ChatConfig(retries=2))
    with pytest.raises(BackendError, match="busy") as caught:
        asked.ask(request())
    assert (len(waits), caught.value.usage.calls) == (2, 3)


def test_no_question_is_sent_that_might_pass_the_token_budget():
    size = request().size + 50
    asked, _ = chat([Reply("a", 10, 20)] * 5, ChatConfig(token_budget=2 * 30 + size, answer_tokens=50))
    for _ in range(3):
        asked.ask(request(max_tokens=50))
    with pytest.raises(BudgetError, match="90 are spent"):
        asked.ask(request(max_tokens=50))
    assert len(asked.backend.asked) == 3


def test_the_money_budget_stops_too_and_needs_prices():
    config = ChatConfig(money_budget=0.001, price_prompt=1.0, price_answer=10.0)
    asked, _ = chat([Reply("a", 100, 50)] * 5, config)
    answer = asked.ask(request(max_tokens=60))
    assert answer.usage.cost == pytest.approx((100 + 500) / 1e6)
    with pytest.raises(BudgetError, match="money budget"):
        asked.ask(request(max_tokens=60))
    with pytest.raises(ConfigError, match="price_prompt"):
        ChatConfig(money_budget=1.0)


def test_calls_at_the_same_time_cannot_pass_the_budget_together():
    ready, go = threading.Barrier(2), threading.Event()

    def slow(asked):
        go.wait(5)
        return "fine"

    made = Chat(PolicyBackend(slow), ChatConfig(token_budget=request().size + 40))
    outcomes = []

    def ask():
        ready.wait()
        try:
            outcomes.append(made.ask(request(max_tokens=40)).value)
        except BudgetError:
            outcomes.append("stopped")
            go.set()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fine", "stopped"]
    assert made.ask(request(max_tokens=40)).value == "fine"


def test_answers_that_never_came_are_booked_at_what_they_might_have_cost():
    asked, _ = chat([busy(worked=True), busy(), Reply("fine")])
    answer = asked.ask(request(max_tokens=100))
    size = request().size
    assert answer.usage.prompt_tokens == 2 * size
    assert answer.usage.completion_tokens == 100 + 2


def test_the_ledger_goes_on_after_a_kill(tmp_path):
    path = tmp_path / "ledger.jsonl"
    config = ChatConfig(token_budget=200)
    asked, _ = chat([Reply("a", 30, 20), "b"], config, ledger=Ledger(config, path))
    asked.ask(request(max_tokens=20))
    path.write_bytes(path.read_bytes() + b'{"step": "test/ord')
    again, _ = chat(["a"] * 5, config, ledger=Ledger(config, path))
    assert (again.ledger.totals.calls, again.ledger.totals.tokens) == (1, 50)
    with pytest.raises(BudgetError, match="50 are spent"):
        again.ask(request(max_tokens=150))
    again.ask(request(max_tokens=20))
    assert Ledger(config, path).totals.calls == 2


def test_a_script_that_runs_out_is_no_failure_of_the_model_and_costs_nothing():
    asked, _ = chat([])
    with pytest.raises(ScriptError, match="question 1"):
        asked.ask(request())
    assert asked.ledger.totals.calls == 0
    asked, _ = chat(["a", "b"])
    asked.ask(request())
    with pytest.raises(ScriptError, match="1 of 2"):
        asked.backend.finish()


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"timeout": 0}, "timeout is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"answer_tokens": 0}, "answer_tokens is 0"),
        ({"token_budget": 0}, "token_budget is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_settings_out_of_range(setting, match):
    with pytest.raises(ConfigError, match=match):
        ChatConfig(**setting)
