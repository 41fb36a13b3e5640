import pytest

from agentrec.core.errors import ArtefactError, ConfigError, UnknownNameError
from agentrec.serving.chat.backends import REGISTRY
from agentrec.serving.chat.backends.replay import ReplayBackend, ReplayMissError
from agentrec.serving.chat.backends.scripted import ScriptedBackend
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.factory import open_chat
from agentrec.serving.chat.protocol import BackendError, ChatRequest, Message, Reply
from agentrec.serving.chat.record import Recorder


def request(text, **more):
    return ChatRequest("test/ask", (Message("user", text),), **more)


def test_a_recorded_run_replays_without_its_model(tmp_path):
    path = tmp_path / "run.jsonl"
    script = [Reply("one", 5, 1), BackendError("busy", passing=True), Reply("two", 6, 2), Reply("one again", 5, 3)]
    live = Chat(ScriptedBackend(script), recorder=Recorder(path), sleep=lambda seconds: None)
    said = [live.ask(request(text)).value for text in ("a", "b", "a")]
    replayed = open_chat(ChatConfig(backend="replay", replay=str(path)))
    answers = [replayed.ask(request(text)) for text in ("a", "b", "a")]
    assert [answer.value for answer in answers] == said == ["one", "two", "one again"]
    assert answers[1].usage.prompt_tokens == 6
    assert (answers[0].usage.backend, answers[0].usage.model) == ("replay", "scripted:script")
    with pytest.raises(ReplayMissError, match="only 2 times"):
        replayed.ask(request("a"))


@pytest.mark.parametrize("change", [{"temperature": 0.5}, {"max_tokens": 5}, {"schema": {}}, {"seed": 1}])
def test_another_question_is_a_miss(tmp_path, change):
    path = tmp_path / "run.jsonl"
    Chat(ScriptedBackend(["x"]), recorder=Recorder(path)).ask(request("a"))
    with pytest.raises(ReplayMissError, match="never"):
        ReplayBackend(path).reply(request("a", **change), 1.0)


def test_facts_are_no_part_of_the_question():
    assert request("a", facts={"n": 1}).key == request("a").key


def test_keys_and_personal_data_never_enter_the_file(tmp_path, monkeypatch, server):
    monkeypatch.setenv("PLANTED_KEY", "planted-header-secret")
    server.plan = [{"text": "write to jane@example.org, sk-echoedechoedechoed, planted-header-secret, Ada Lovelace"}]
    path, ledger = tmp_path / "run.jsonl", tmp_path / "ledger.jsonl"
    config = ChatConfig(backend="openai", base_url=server.url, key_variable="PLANTED_KEY", record=str(path))
    live = open_chat(config, ledger=ledger)
    live.recorder = Recorder(path, words=["Ada Lovelace"])
    asked = request(
        "Customer +49 170 1234567 wrote from http://u:pw-in-url@h.example/?token=tok-in-url: sk-inpromptinprompt1"
    )
    live.ask(asked)
    sent = server.seen[-1]
    assert sent[1]["authorization"] == "Bearer planted-header-secret"
    assert "sk-inpromptinprompt1" in sent[2]["messages"][0]["content"]
    kept = path.read_text() + ledger.read_text()
    for secret in ("planted-header", "jane@", "echoed", "Lovelace", "1234567", "pw-in-url", "tok-in-url", "inprompt"):
        assert secret not in kept
    assert ReplayBackend(path).reply(asked, 1.0).text.startswith("write to [personal], [secret], [secret], [personal]")
    live.backend.close()


def test_two_prompts_that_differ_in_a_secret_alone_have_one_key():
    assert request("key sk-aaaaaaaaaaaaaaaaaaaa").key == request("key sk-bbbbbbbbbbbbbbbbbbbb").key


def test_settings_that_name_no_backend_or_lack_something():
    with pytest.raises(UnknownNameError, match="hf, openai, policy, replay"):
        open_chat(ChatConfig(backend="gpt"))
    with pytest.raises(ConfigError, match="set replay"):
        open_chat(ChatConfig(backend="replay"))
    with pytest.raises(ConfigError, match="has none"):
        open_chat(ChatConfig(backend="policy"))
    with pytest.raises(ConfigError, match="for tests alone"):
        open_chat(ChatConfig(backend="scripted"))
    with pytest.raises(ConfigError, match="no model is named"):
        open_chat(ChatConfig(backend="hf"))
    assert set(REGISTRY.names()) == {"hf", "openai", "policy", "replay", "scripted"}


def test_files_that_hold_no_answers(tmp_path):
    with pytest.raises(ArtefactError, match="no recorded answers"):
        ReplayBackend(tmp_path / "none.jsonl")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ArtefactError, match="without 'key'"):
        ReplayBackend(tmp_path / "other.jsonl")
