import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.serving.chat.private import redact, redact_all

SECRETS = [
    "sk-proj-abcdefghijklmnop1234",
    "hf_abcdefghijklmnopqrstuvwx",
    "ghp_abcdefghijklmnopqrstuvwx",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2",
    "Bearer abc.def-ghi_jkl",
    "https://me:hunter2x@example.org/v1",
    "https://example.org/v1?api_key=abc123def456&x=1",
    '{"api_key": "abc123def456"}',
    "OPENAI_API_KEY=abc123def456",
]
PERSONAL = ["jane.doe+x@mail.example.org", "+49 170 1234567", "4111 1111 1111 1111", "5500005555555559"]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_go_and_the_rest_stays(text):
    found = redact(f"before {text} after")
    assert "[secret]" in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    assert not any(part in found for part in ("abc", "hunter2x", "AKIAA", "eyJ"))


@pytest.mark.parametrize("text", [*PERSONAL, "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"])
def test_personal_data_goes(text):
    assert redact(f"before {text} after") == "before [personal] after"


def test_values_of_the_environment_and_given_words_go(monkeypatch):
    monkeypatch.setenv("SHOP_API_KEY", "correct horse battery")
    assert redact("it is correct horse battery!") == "it is [secret]!"
    assert redact("Ada LOVELACE ordered 5", ["Ada Lovelace"]) == "[personal] ordered 5"


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.integers(0, 99999), max_size=30),
    words=st.text(st.sampled_from("abc ,.:+-()\n"), max_size=40),
)
def test_sales_figures_and_plain_words_stay(numbers, words):
    text = f"demand so far: {', '.join(map(str, numbers))}; {words}"
    assert redact(text) == text
    content = {"order": 12, "max_tokens": 400000, "demand": numbers, "rationale": words}
    assert json.loads(redact(json.dumps(content))) == content
    assert redact_all(content) == content


def test_json_stays_json():
    text = json.dumps({"token": "abcdef123456", "n": 1, "mail": ["a@b.example"]})
    assert json.loads(redact(text)) == {"token": "[secret]", "n": 1, "mail": ["[personal]"]}
