from importlib.util import find_spec

import pytest
import torch
from pydantic import BaseModel, Field

from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.chat.backends.hf import HFBackend
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.factory import open_chat
from agentrec.serving.chat.protocol import AnswerError, BackendError, ChatRequest, Message
from agentrec.testing.generators import random_codes, tiny_generator


class Choice(BaseModel):
    good: bool
    n: int = Field(ge=0, le=9)


REQUEST = ChatRequest("test/hf", (Message("user", "coffee?"),), max_tokens=40)


@pytest.fixture(scope="module")
def generator():
    codes = random_codes(20, (4, 4))
    return tiny_generator(SIDVocabulary(codes, (4, 4), [f"i{n}" for n in range(len(codes))]))


def test_a_saved_checkpoint_answers_and_leaves_the_random_state_alone(generator, tmp_path):
    model, tokenizer = generator
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    chat = open_chat(ChatConfig(backend="hf", model=str(tmp_path)))
    before = torch.random.get_rng_state()
    hot = ChatRequest("test/hf", REQUEST.messages, max_tokens=20, temperature=1.0, seed=3)
    first, second = chat.ask(hot), chat.ask(hot)
    assert first.text == second.text
    assert torch.equal(before, torch.random.get_rng_state())
    assert 0 < first.usage.completion_tokens <= 20
    assert first.usage.model == str(tmp_path)


@pytest.mark.skipif(find_spec("xgrammar") is None, reason="xgrammar is not installed")
def test_with_a_grammar_even_a_random_model_keeps_the_shape(generator):
    answer = Chat(HFBackend(*generator, "tiny")).ask_for(REQUEST, Choice)
    assert isinstance(answer.value, Choice)
    assert answer.usage.repairs == 0


def test_without_a_grammar_a_random_model_fails_after_its_repairs(generator, monkeypatch):
    monkeypatch.setattr("agentrec.serving.chat.backends.hf.find_spec", lambda name: None)
    with pytest.raises(AnswerError) as caught:
        Chat(HFBackend(*generator, "tiny"), ChatConfig(repairs=1)).ask_for(REQUEST, Choice)
    assert caught.value.usage.calls == 2


def test_prompts_that_are_too_long_and_time_that_is_too_short(generator):
    backend = HFBackend(*generator, "tiny")
    with pytest.raises(BackendError, match="takes"):
        backend.reply(ChatRequest("test/hf", (Message("user", "coffee " * 50_000),)), 5.0)
    with pytest.raises(BackendError, match="raise timeout"):
        backend.reply(ChatRequest("test/hf", REQUEST.messages, max_tokens=2000), 1e-3)
