import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from agentrec.serving.chat.protocol import Reply
from agentrec.serving.chat.structured import ShapeError, read_answer, schema_of


class Inner(BaseModel):
    words: list[str] = []


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = Field(ge=0)
    why: str
    inner: Inner = Inner()


NOISE = st.text(st.characters(blacklist_characters='"{}<>', blacklist_categories=["Cs"]), max_size=20)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(0, 10**6), why=st.text(max_size=30), before=NOISE, after=NOISE, fence=st.booleans())
def test_json_is_found_between_words_and_fences(n, why, before, after, fence):
    text = json.dumps({"n": n, "why": why}, ensure_ascii=False)
    text = f"```json\n{text}\n```" if fence else text
    assert read_answer(Reply(f"{before}{text}{after}"), Shape) == Shape(n=n, why=why)


def test_the_last_object_that_fits_counts_and_thoughts_do_not():
    drafts = '{"n": 1, "why": "draft"} no: {"n": 2, "why": "better"} as in {"other": 3}'
    assert read_answer(Reply(drafts), Shape).n == 2
    with pytest.raises(ShapeError, match="no JSON object"):
        read_answer(Reply('<think>{"n": 1, "why": "x"}</think> I do not know'), Shape)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"n": 1', "no JSON object"),
        ('{"n": NaN, "why": ""}', "no JSON object"),
        ('{"n": 1}', "why"),
        ('{"n": -1, "why": ""}', "n is '-1'"),
        ('{"n": 1.5, "why": ""}', "n is '1.5'"),
        ('{"n": 1, "why": "", "more": 2}', "more"),
    ],
)
def test_what_is_wrong_is_told(text, problem):
    with pytest.raises(ShapeError, match=problem):
        read_answer(Reply(text), Shape)


def test_control_signs_inside_texts_are_taken():
    assert read_answer(Reply('{"n": 1, "why": "two\nlines\x00\t"}'), Shape).why == "two\nlines\x00\t"


def test_an_answer_that_was_cut_off_says_so():
    with pytest.raises(ShapeError) as caught:
        read_answer(Reply('{"n": 1, "wh', finish="length"), Shape)
    assert "too long" in caught.value.problems[0]


def test_schemas_are_closed_and_require_every_field():
    schema = schema_of(Shape)
    assert schema["required"] == ["n", "why", "inner"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Inner"]["additionalProperties"] is False
