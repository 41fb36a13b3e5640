import pytest
from pydantic import BaseModel

from agentrec.core.errors import ConfigError
from agentrec.serving.chat.backends.openai import OpenAIBackend
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import BackendError, ChatRequest, Message


class Order(BaseModel):
    order: int


REQUEST = ChatRequest("inventory/test", (Message("system", "be brief"), Message("user", "How many?")))


@pytest.fixture
def opened(server):
    made = []

    def open_it(key="", **settings):
        made.append(OpenAIBackend(ChatConfig(backend="openai", base_url=server.url, **settings), key))
        return made[-1]

    yield open_it
    for backend in made:
        backend.close()


def chat(backend, **settings):
    waits = []
    made = Chat(backend, ChatConfig(timeout=120, **settings), sleep=waits.append)
    return made, waits


def test_a_question_with_a_shape(server, opened):
    asked, _ = chat(opened())
    answer = asked.ask_for(REQUEST, Order)
    assert answer.value.order == 7
    assert (answer.usage.backend, answer.usage.model, answer.usage.prompt_tokens) == ("openai", "tiny", 11)
    path, headers, body = server.seen[-1]
    assert path == "/v1/chat/completions"
    assert "authorization" not in {name.lower() for name in headers}
    assert body["model"] == "tiny"
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["order"]
    assert "facts" not in str(body)


@pytest.mark.parametrize(("structured", "form"), [("json_object", {"type": "json_object"}), ("none", None)])
def test_servers_that_know_no_schemas_are_told_in_words(server, opened, structured, form):
    asked, _ = chat(opened(structured=structured, model="tiny"))
    assert asked.ask_for(REQUEST, Order).value.order == 7
    body = server.seen[-1][2]
    assert body.get("response_format") == form
    assert '"order"' in body["messages"][-1]["content"]


def test_overload_is_waited_out_as_the_server_asks(server, opened):
    server.plan = [{"status": 429, "headers": {"retry-after": "3"}}, {"status": 503}, {"drop": True}, {}]
    asked, waits = chat(opened())
    assert asked.ask(REQUEST).usage.retries == 3
    assert waits[0] == 3.0
    assert len(waits) == 3


def test_refusals_are_not_asked_again_and_do_not_show_the_key(server, opened):
    server.plan = [{"status": 401, "body": {"error": "wrong key sk-verysecretverysecret"}}]
    asked, waits = chat(opened("sk-verysecretverysecret"))
    with pytest.raises(BackendError, match=r"answered 401 .*\[secret\].*check the key"):
        asked.ask(REQUEST)
    assert waits == []


@pytest.mark.parametrize("slow", [{"late": 3}, {"drip": 0.02}])  # each drop comes in time, the whole does not
def test_the_time_limit_counts_for_the_whole_answer(server, opened, slow):
    server.plan = [slow]
    backend = opened(model="tiny")
    with pytest.raises(BackendError, match=r"within 0\.3 seconds") as caught:
        backend.reply(REQUEST, 0.3)
    assert caught.value.passing
    assert caught.value.worked


@pytest.mark.parametrize(
    ("step", "match"),
    [
        ({"body": "<html>"}, "no JSON"),
        ({"body": "[]"}, "another kind"),
        ({"body": "{}"}, "no choices"),
        ({"body": {"choices": []}}, "no choices"),
        ({"body": {"choices": [{"message": {"content": None, "refusal": "I will not"}}]}}, "I will not"),
        ({"status": 404, "body": {"message": "no model x"}}, "404 .*no model x"),
    ],
)
def test_answers_that_are_none(server, opened, step, match):
    server.plan = [step]
    with pytest.raises(BackendError, match=match):
        opened(model="tiny").reply(REQUEST, 5)


def test_counts_that_the_server_leaves_out_are_estimated(server, opened):
    server.plan = [{"body": {"choices": [{"message": {"content": "abcdef"}}]}}]
    asked, _ = chat(opened(model="tiny"))
    usage = asked.ask(REQUEST).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (REQUEST.size, 2)


def test_a_server_with_several_models_wants_a_choice(server, opened):
    server.models = ["a", "b"]
    with pytest.raises(BackendError, match="offers 2 models"):
        opened().reply(REQUEST, 5)


def test_nobody_there(opened):
    backend = OpenAIBackend(ChatConfig(backend="openai", base_url="http://127.0.0.1:9/v1", model="x"))
    with pytest.raises(BackendError, match="cannot be reached") as caught:
        backend.reply(REQUEST, 2)
    assert caught.value.passing
    assert not caught.value.worked
    backend.close()


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("", "expected an address"),
        ("localhost:8000", "expected an address"),
        ("http://u:secretpw@127.0.0.1/v1", "password or a query"),
        ("http://127.0.0.1/v1?api_key=abcdef123", "password or a query"),
    ],
)
def test_addresses_that_are_none_or_hold_secrets(url, match):
    with pytest.raises(ConfigError, match=match) as caught:
        OpenAIBackend(ChatConfig(base_url=url))
    assert "secretpw" not in str(caught.value)
    assert "abcdef123" not in str(caught.value)
