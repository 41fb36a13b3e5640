from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import pytest

from agentrec.core.errors import ConfigError
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task


@dataclass(frozen=True)
class Config:
    size: int = 3


def built(size=3):
    units = pd.DataFrame({"unit": [f"u{row}" for row in range(size)], "kind": "x"})
    return Task(
        question="How large?",
        data={"name": "none", "fingerprint": None},
        units=units,
        metrics=(Metric("score", headline=True),),
        systems={"one": System(lambda seed: seed, {})},
        measure=lambda system, progress=False: Measured(units.assign(score=1.0)),
        slices=("kind",),
    )


def test_a_function_becomes_a_task_file():
    @task
    def sized(config: Config) -> Task:
        return built(config.size)

    assert (sized.name, sized.config) == ("sized", Config)
    assert len(sized(Config(size=5)).units) == 5
    assert sized.path.name == "test_task.py"


def nothing() -> Task: ...
def untyped(config) -> Task: ...
def plain(config: int) -> Task: ...
def two(config: Config, other: Config) -> Task: ...


@pytest.mark.parametrize("function", [nothing, untyped, plain, two])
def test_another_signature_is_refused_by_name(function):
    with pytest.raises(ConfigError, match="expected one parameter whose type is a dataclass") as caught:
        task(function)
    assert repr(function.__name__) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": {}}, "no system to measure"),
        ({"units": pd.DataFrame({"unit": []})}, "0 units with columns unit; expected at least one"),
        ({"units": pd.DataFrame({"user": ["a"]})}, "1 units with columns user; .* a column 'unit'"),
        ({"units": pd.DataFrame({"unit": ["a", "b", "a"], "kind": ""})}, "two units called 'a'"),
        ({"slices": ("country",)}, "slices by 'country'; expected a column"),
        ({"metrics": ()}, "metrics of the task are none"),
        ({"metrics": (Metric("a"), Metric("a", "lower"))}, "metrics of the task are a, a; expected some, each once"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(built(), **changes)
