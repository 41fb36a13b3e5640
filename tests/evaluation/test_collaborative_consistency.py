"""Collaborative consistency: the share of the teacher's items, which is 1 for the teacher itself."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentrec.cli.app import app
from agentrec.core.errors import AgentrecError
from agentrec.metrics.lists import shared_share

rows = st.lists(st.integers(0, 9), unique=True, max_size=5).map(lambda row: row + [-1] * (5 - len(row)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(rows, rows), min_size=1, max_size=6))
def test_shares_equal_sets(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    for found, one, two in zip(shared_share(first, second), first, second, strict=True):
        taught = set(one.tolist()) - {-1}
        if not taught:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(len(taught & set(two.tolist())) / len(taught))


def test_the_teacher_agrees_with_itself_and_others_less(tmp_path):
    options = ["--data", "shop", "--recommender", "transitions,popularity", "--limit", "200", "--json"]
    found = _run(["eval", "run", "collaborative_consistency", *options, "--store", str(tmp_path)])
    assert found["systems"]["transitions"]["overlap@10"]["mean"] == 1
    assert found["systems"]["popularity"]["overlap@10"]["mean"] < 0.5


def _run(command):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_two_teachers_are_refused(tmp_path):
    command = ["eval", "run", "collaborative_consistency", "--teacher", "transitions,popularity"]
    done = CliRunner().invoke(app, [*command, "--store", str(tmp_path)])
    assert done.exit_code != 0
    assert "expected one recommender" in str(done.exception) + done.output
    assert done.exception is None or isinstance(done.exception, AgentrecError | SystemExit)
