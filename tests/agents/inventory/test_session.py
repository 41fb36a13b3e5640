import numpy as np
import pytest

from agentrec.agents.inventory.game import PolicyError, play
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.session import Session, study_of
from agentrec.core.errors import DataError
from agentrec.core.lines import append_line, read_lines

GAME = generate(["stationary"], Sizes(series=1, periods=6), supply=SUPPLIES["lead_time_stochastic"])


def test_following_the_advice_scores_what_the_policy_scores(tmp_path):
    session = Session(GAME, advice="or", log=tmp_path / "log.jsonl", player="p1")
    while not session.done:
        assert str(session.advised) in session.reasons()
        session.order(session.advised)
    expected = float(play(load_policy("or")(), GAME).score[0])
    summary = session.summary()
    assert summary["score"] == pytest.approx(expected) == summary["advice_alone"]
    assert summary["score"] <= summary["best"]
    lines = read_lines(tmp_path / "log.jsonl")
    assert [line["period"] for line in lines] == list(range(6))
    assert sum(line["reward"] for line in lines) == pytest.approx(summary["reward"])
    assert (lines[-1]["score"], lines[0]["score"]) == (pytest.approx(expected), None)


def test_a_game_goes_on_where_it_was_left_and_others_do_not_mix(tmp_path):
    log = tmp_path / "log.jsonl"
    first = Session(GAME, advice=None, log=log, player="p1")
    for units in (100, 50):
        first.order(units)
    again = Session(GAME, advice=None, log=log, player="p1")
    assert again.facts == first.facts
    assert again.facts["orders"] == [100, 50]
    for other in ({"advice": "or", "player": "p1"}, {"advice": None, "player": "p2"}):
        assert Session(GAME, log=log, **other).facts["period"] == 0


def test_orders_that_are_none_change_nothing():
    session = Session(GAME, advice=None)
    for units in (-1, 10**7):
        with pytest.raises(PolicyError, match="expected 0 to"):
            session.order(units)
    assert session.facts["period"] == 0
    assert session.advised is None
    assert session.reasons() == ""
    with pytest.raises(DataError, match="expected 1"):
        Session(generate(["stationary"], Sizes(series=2)), advice=None)


def test_a_study_counts_people_once_and_finds_a_planted_effect(tmp_path):
    log, rng = tmp_path / "log.jsonl", np.random.default_rng(0)
    for person in range(60):
        helped = person % 2 == 0
        for _ in range(3):
            score = float(rng.normal(0.8 if helped else 0.4, 0.02))
            append_line(log, {"player": f"p{person}", "advice": "or" if helped else None, "score": score})
        append_line(log, {"player": f"p{person}", "advice": None, "score": None})
    bound = study_of([log])
    assert bound.estimate == 1.0
    with pytest.raises(DataError, match="at least 2"):
        study_of([tmp_path / "none.jsonl"])
