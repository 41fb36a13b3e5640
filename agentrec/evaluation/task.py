"""What an evaluation is made of: units, systems, metrics, and how one system is measured.

A task is one file of the top-level folder ``evals`` whose one function wears `task`::

    @dataclass(frozen=True)
    class Config:
        data: str = setting("shop", "data set: a folder or file, or the name of a preset")

    @task
    def next_item(config: Config) -> Task:
        ...

Units are what is averaged over: users, instances of a game, questions. The harness (`agentrec.evaluation.run`) measures
every system at every seed, keeps what was measured, and turns it into a `Result`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agentrec.core.errors import ConfigError

if TYPE_CHECKING:  # tasks are listed without loading pandas
    import pandas as pd

    from agentrec.core.types import JSON
    from agentrec.evaluation.measured import Measured
    from agentrec.evaluation.result import Result

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """A number that a task reports.

    Attributes:
        name: such as ``ndcg@10``.
        better: which direction is an improvement.
        headline: shown first, compared between systems, and taken per slice.
    """

    name: str
    better: Better = "higher"
    headline: bool = False


@dataclass(frozen=True)
class System:
    """One thing that is measured.

    Attributes:
        make: seed -> the system, ready for `Task.measure`; called only where nothing measured is kept.
        identity: what it is, as JSON: two systems of equal identity measure the same.
        seeded: the seed changes it; otherwise it is measured once.
        reusable: what was measured may be kept; False for what may answer differently tomorrow, such as a service.
        check: looks for what is wrong with it, and raises, before anything at all is measured.
    """

    make: Callable[[int], Any]
    identity: JSON
    seeded: bool = False
    reusable: bool = True
    check: Callable[[], None] | None = None


class Measure(Protocol):
    """Measures one system on all units: one row per unit of the task, in the task's order."""

    def __call__(self, system: Any, *, progress: bool = False) -> Measured: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Task:
    """A task with its settings filled in.

    Attributes:
        question: what is asked, in one or two sentences.
        data: what it is asked on: ``name`` and ``fingerprint`` at least.
        units: one row per unit: ``unit`` (str, distinct), labels such as ``target``, and the columns of ``slices``.
        metrics: what is reported, in the order of reports.
        systems: by label.
        measure: how one system is measured.
        settings: whatever else shapes what is measured.
        slices: columns of ``units`` by which headline metrics are also reported.
        nested: seeds are drawn anew for every unit (a simulation); otherwise one seed is shared by all units of a
            system (a trained model), and intervals cover the choice of seeds too.
        facts: what results record beside settings and data.
        digest: result -> further entries of ``result.json``, for a reader who expects them under names of their own.
    """

    question: str
    data: JSON
    units: pd.DataFrame
    metrics: tuple[Metric, ...]
    systems: Mapping[str, System]
    measure: Measure
    settings: JSON = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    nested: bool = False
    facts: JSON = field(default_factory=dict)
    digest: Callable[[Result], JSON] | None = None

    def __post_init__(self) -> None:
        if not self.systems:
            raise ConfigError("the task has no system to measure; expected at least one, so name one")
        if "unit" not in self.units or not len(self.units):
            raise ConfigError(
                f"the task has {len(self.units)} units with columns {', '.join(map(str, self.units)) or 'none'}; "
                "expected at least one unit, and a column 'unit' of their names"
            )
        repeated = self.units["unit"][self.units["unit"].duplicated()]
        if len(repeated):
            raise ConfigError(f"the task has two units called {repeated.iloc[0]!r}; expected distinct names")
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"the metrics of the task are {', '.join(names) or 'none'}; expected some, each once")
        absent = [name for name in self.slices if name not in self.units]
        if absent:
            raise ConfigError(f"the task slices by {absent[0]!r}; expected a column of its units")


@dataclass(frozen=True)
class TaskFile:
    """A task without its settings: what `task` makes of a function.

    Attributes:
        name: the function's, which is the file's too.
        config: the dataclass of settings.
        build: settings -> `Task`.
        path: of the file.
    """

    name: str
    config: type[Any]
    build: Callable[[Any], Task]
    path: Path

    def __call__(self, config: Any) -> Task:
        """The task with these settings."""
        return self.build(config)


def task(function: Callable[[Any], Task]) -> TaskFile:
    """Mark the one function of a file that builds its task; its parameter's type is the dataclass of settings.

    Raises:
        ConfigError: the function takes something else than one dataclass.
    """
    hints = typing.get_type_hints(function)
    kinds = [hints.get(name) for name in inspect.signature(function).parameters]
    if len(kinds) != 1 or not hasattr(kinds[0], "__dataclass_fields__"):
        raise ConfigError(
            f"the task {function.__name__!r} takes {len(kinds)} parameters of types {kinds}; expected one parameter "
            "whose type is a dataclass of settings"
        )
    return TaskFile(function.__name__, typing.cast(type, kinds[0]), function, Path(inspect.getfile(function)))
