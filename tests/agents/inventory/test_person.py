import pytest

from agentrec.agents.inventory.person import PersonError, heard, verdict_of, words_of

PART = {"order": 5, "source": "policy:x", "advice": 4, "reasons": "because", "notes": []}
QUESTION = {
    "products": [{"product": name, **PART} for name in ("tea", "green tea")],
    "problem": "",
    "explained": {},
    "answers": "accept",
}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("accept", {"action": "accept"}),
        (" Y ", {"action": "accept"}),
        ("explain", {"action": "explain", "products": ["tea", "green tea"]}),
        ("explain green tea", {"action": "explain", "products": ["green tea"]}),
        ("tea=3", {"action": "edit", "orders": {"tea": 3}, "note": ""}),
        (
            "green tea = 3, tea=0 because a fair",
            {"action": "edit", "orders": {"green tea": 3, "tea": 0}, "note": "a fair"},
        ),
    ],
)
def test_words_become_answers(words, answer):
    assert heard(QUESTION, words) == answer


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("", "edits nothing"),
        ("more", "cannot be read"),
        ("12", "cannot be read"),
        ("tea=x", "cannot be read"),
        ("coffee=1", "no product 'coffee'"),
        ("tea=-4", "the order of 'tea' is -4"),
        ("tea=1.5", "cannot be read"),
    ],
)
def test_words_that_are_no_answer(words, match):
    with pytest.raises(PersonError, match=match):
        heard(QUESTION, words)


def test_a_bare_number_is_an_order_where_there_is_one_product():
    assert heard({**QUESTION, "products": QUESTION["products"][:1]}, "12")["orders"] == {"tea": 12}


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ("yes", "cannot be read"),
        ({"action": "buy"}, "action"),
        ({"action": "edit", "orders": {"tea": "many"}}, "tea"),
        ({"action": "edit", "orders": {"tea": 2**40}}, "0 to 1000000"),
        ({"action": "accept", "more": 1}, "more"),
        ({"action": "explain", "products": ["milk"]}, "'milk'"),
    ],
)
def test_answers_in_json_that_cannot_be_taken(answer, match):
    with pytest.raises(PersonError, match=match):
        verdict_of(answer, ["tea"])


def test_questions_show_advice_reasons_and_problems():
    lines = words_of({**QUESTION, "problem": "too much", "explained": {"tea": "in figures"}})
    assert lines[0] == "problem: too much"
    assert any("from computed, no model" in line for line in lines)
    assert any("OR advises 4" in line for line in lines)
    assert "tea: in figures" in lines
