"""Plans scale in whole groups and never below the list; the load policy has inertia."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError
from agentrec.decoding.search.plan import BeamPlan, LoadPolicy, LoadStep


def test_widths_grow_by_level_and_stop_at_the_number_of_sequences() -> None:
    plan = BeamPlan((128, 256, 512))
    assert [plan.at(level, (64, 64, 64, 64)) for level in range(4)] == [64, 256, 512, 512]
    assert BeamPlan((8,)).at(0, (3, 2)) == 3


@given(st.floats(0.05, 4), st.integers(1, 40), st.sampled_from([1, 2, 4]))
@settings(max_examples=50, deadline=None)
def test_scaled_widths_hold_the_list_in_whole_groups(factor: float, least: int, groups: int) -> None:
    plan = BeamPlan((16, 64), groups=groups).scaled(factor, least=least)
    assert min(plan.widths) >= least
    assert all(width % groups == 0 for width in plan.widths)


@pytest.mark.parametrize(
    "settings_", [{"widths": ()}, {"widths": (0,)}, {"precut": 0}, {"groups": 3}, {"groups": 2, "precut": 4}]
)
def test_plans_that_make_no_sense_are_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        BeamPlan(**settings_)


def test_the_policy_falls_at_once_and_rises_late() -> None:
    policy = LoadPolicy([LoadStep(0.5, 0.5), LoadStep(0.9, 0.25)], hysteresis=0.2, idle=1.5)
    assert [policy(load) for load in (0.1, 0.6, 1.0, 0.8, 0.6, 0.4, 0.2)] == [1.5, 0.5, 0.25, 0.25, 0.5, 0.5, 1.5]


def test_without_inertia_the_policy_is_its_table() -> None:
    policy = LoadPolicy([LoadStep(0.5, 0.5)])
    assert [policy(load) for load in (0.49, 0.5, 0.49)] == [1.0, 0.5, 1.0]


@pytest.mark.parametrize("steps", [[LoadStep(2, 0.5), LoadStep(1, 0.2)], [LoadStep(1, 0)]])
def test_policies_that_make_no_sense_are_refused(steps: list[LoadStep]) -> None:
    with pytest.raises(ConfigError, match="rising loads"):
        LoadPolicy(steps)
