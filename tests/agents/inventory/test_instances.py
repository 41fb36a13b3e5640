"""Instances refuse what makes no game, and stand together by length."""

import dataclasses

import numpy as np
import pytest

from agentrec.agents.inventory.generate import Sizes, generate
from agentrec.agents.inventory.instances import stack
from agentrec.core.errors import DataError


@pytest.fixture
def good():
    return generate(["stationary", "seasonal"], Sizes(series=2, periods=6))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("demand", -3, "demand of instance 'stationary/1' is -3; expected demand of 0 or more"),
        ("lead_times", -2, "lead_times of instance 'stationary/1' is -2; expected 0 or more, or -1"),
        ("promised", -1, "promised of instance 'stationary/1' is -1"),
        ("profit", 0.0, "profit of instance 'stationary/1' is 0.0; expected a number above 0"),
        ("holding", np.nan, "holding of instance 'stationary/1' is nan; expected a number above 0"),
    ],
)
def test_impossible_values_are_named(good, name, value, says):
    array = getattr(good, name).copy()
    array[(1, 2) if array.ndim == 2 else 1] = value
    with pytest.raises(DataError, match=says):
        dataclasses.replace(good, **{name: array})


def test_shapes_must_fit(good):
    with pytest.raises(DataError, match=r"lead_times has shape \(4, 5\); expected \(4, 6\)"):
        dataclasses.replace(good, lead_times=good.lead_times[:, :5])
    with pytest.raises(DataError, match="3 names for 4 instances"):
        dataclasses.replace(good, names=good.names[:3])


def test_rows_are_taken_in_order(good):
    two = good.take(np.array([3, 0]))
    assert two.names == ("seasonal/1", "stationary/0")
    assert (two.demand == good.demand[[3, 0]]).all()
    assert two.labels["pattern"] == ("seasonal", "stationary")
    assert two.fingerprint != good.fingerprint == good.take(slice(None)).fingerprint


def test_instances_of_one_length_stand_together(good):
    other = generate(["stationary"], Sizes(series=1, periods=4))
    stacked = stack([good.take(slice(0, 1)), other, good.take(slice(1, 4))])
    assert [len(part) for part in stacked] == [4, 1]
    assert stacked[0].fingerprint == good.fingerprint
    with pytest.raises(DataError, match="different labels"):
        stack([good, dataclasses.replace(good, labels={})])
