"""The result of an evaluation: numbers with intervals, comparisons, slices, rows per unit, and what produced them.

A saved result is a folder:

- ``result.json``: the contract for machines; the same inputs give the same bytes apart from ``created_at``;
- ``per_unit.parquet``: one row per system, seed and unit, and ``units.parquet``: what is known of each unit;
- ``samples.json``: a few units to look at; ``costs.json``: seconds, tokens, money and the machine, which differ from
  run to run;
- ``report.md``, ``report.html``, ``report.tex``.

Every file is whole or absent, and ``result.json`` comes last: a folder with it is complete.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from agentrec.core.errors import ArtefactError, UnknownNameError
from agentrec.core.files import read_json, whole_file, write_json
from agentrec.core.types import JSON
from agentrec.evaluation.measured import read_parquet
from agentrec.evaluation.task import Metric

FORMAT = 2
RESULT, COSTS, SAMPLES = "result.json", "costs.json", "samples.json"
PER_UNIT, UNITS = "per_unit.parquet", "units.parquet"
ENTRIES = (
    *("format", "created_at", "task", "question", "metrics", "systems"),
    *("comparisons", "slices", "problems", "provenance"),
)
FILES = (RESULT, COSTS, SAMPLES, PER_UNIT, UNITS, "report.md", "report.html", "report.tex")


class Estimate(NamedTuple):
    """A metric: its value and its interval over units and seeds.

    ``low`` and ``high`` are ``None`` where a metric is no mean over units, ``mean`` where it is defined for no unit.
    ``deviation`` is the standard deviation between seeds, ``None`` with a single one.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same units: mean difference (first minus second), its interval and p values.

    ``holm`` is the p value corrected for all comparisons of the result. ``seeds_ahead`` of ``num_seeds`` seeds have a
    positive difference. ``units_needed`` is how many units a difference of this size needs to be found in four of five
    samples; ``None`` where no number suffices.
    """

    metric: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    holm: float
    num_units: int
    units_needed: int | None = None
    seeds_ahead: int = 0
    num_seeds: int = 1
    better: str = "higher"

    @property
    def winner(self) -> str | None:
        """The system that is ahead for certain, ``None`` if neither is.

        Certain means: the corrected p value is below .05, the interval leaves out 0, and every seed agrees.
        """
        agreed = self.seeds_ahead in (0, self.num_seeds)
        if self.better == "neither" or self.holm >= 0.05 or self.low <= 0 <= self.high or not agreed:
            return None
        return self.first if (self.difference > 0) == (self.better == "higher") else self.second


@dataclass(frozen=True)
class Slice:
    """Headline metrics of the units that share one value of a column, such as users with short histories."""

    column: str
    value: str
    num_units: int
    systems: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True)
class Sample:
    """One unit to look at: what is known of it, and what every system did.

    Attributes:
        unit: its name.
        about: for example ``history`` (titles) and ``target`` (a title).
        answers: system -> a list of texts, best first.
    """

    unit: str
    about: Mapping[str, Any]
    answers: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """What an evaluation found.

    Attributes:
        task: its name.
        question: what was asked.
        metrics: in the order of reports.
        systems: name -> metric (such as ``ndcg@10``) -> `Estimate`.
        units: one row per unit: ``unit``, labels, slices.
        per_unit: columns ``system``, ``seed`` and ``unit``, one per metric, and labels such as ``rank`` (0-based int64,
            equal to the list length where the list misses the target).
        provenance: data, settings, seeds and versions.
        comparisons: all pairs of systems on the headline metrics.
        slices: headline metrics of parts of the units.
        costs: name -> seconds, tokens, money.
        samples: a few units with what every system did.
        problems: sentences; a result with problems is no success.
        created_at: UTC time in ISO format.
        digest: further entries of ``result.json``, under names of the task's own.
    """

    task: str
    question: str
    metrics: tuple[Metric, ...]
    systems: Mapping[str, Mapping[str, Estimate]]
    units: pd.DataFrame
    per_unit: pd.DataFrame
    provenance: JSON
    comparisons: tuple[Comparison, ...] = ()
    slices: tuple[Slice, ...] = ()
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    problems: tuple[str, ...] = ()
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    digest: JSON = field(default_factory=dict)

    def __getitem__(self, name: str) -> dict[str, float]:
        """The metrics of one system, without intervals: ``result["popularity"]["ndcg@10"]``.

        Raises:
            UnknownNameError: no such system.
        """
        if name not in self.systems:
            raise UnknownNameError(f"the result has no system {name!r}; those that exist are {', '.join(self.systems)}")
        found = self.systems[name].items()
        return {metric: math.nan if estimate.mean is None else estimate.mean for metric, estimate in found}

    def table(self) -> pd.DataFrame:
        """The means: one row per system, one column per metric."""
        return pd.DataFrame.from_dict({name: self[name] for name in self.systems}, orient="index")

    def values(self, name: str, metric: str) -> pd.DataFrame:
        """One metric of one system: a row per unit, a column per seed."""
        rows = self.per_unit[self.per_unit["system"] == name]
        return rows.pivot(index="unit", columns="seed", values=metric).loc[self.units["unit"]]

    def metric(self, name: str) -> Metric:
        """What is known of a metric."""
        return next(metric for metric in self.metrics if metric.name == name)

    @property
    def headline(self) -> list[str]:
        """Names of the metrics that are shown first."""
        return [metric.name for metric in self.metrics if metric.headline]

    def with_provenance(self, **entries: Any) -> Self:
        """The same result with more known about what produced it."""
        return dataclasses.replace(self, provenance={**self.provenance, **entries})

    def to_json(self) -> JSON:
        """The content of ``result.json``."""
        return self.digest | {
            "format": FORMAT,
            "created_at": self.created_at,
            "task": self.task,
            "question": self.question,
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "systems": _estimates_to_json(self.systems),
            "comparisons": [dataclasses.asdict(comparison) for comparison in self.comparisons],
            "slices": [
                {**dataclasses.asdict(part), "systems": _estimates_to_json(part.systems)} for part in self.slices
            ],
            "problems": list(self.problems),
            "provenance": self.provenance,
        }

    def save(self, folder: str | Path) -> Path:
        """Write all files of the result, and return the folder.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        from agentrec.core.provenance import machine
        from agentrec.evaluation.report import write_reports

        folder = Path(folder)
        for name, table in {PER_UNIT: self.per_unit, UNITS: self.units}.items():
            with whole_file(folder / name) as temporary:
                table.to_parquet(temporary, index=False)
        write_json(folder / COSTS, {"systems": self.costs, "machine": machine()})
        write_json(folder / SAMPLES, [dataclasses.asdict(sample) for sample in self.samples])
        write_reports(self, folder)
        write_json(folder / RESULT, self.to_json())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtefactError: the folder holds no result, or a damaged one.
        """
        folder = Path(folder)
        content = read_json(folder / RESULT)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ArtefactError(f"{folder / RESULT} is not a result of format {FORMAT}; evaluate again to write one")
        per_unit = _read_per_unit(folder / PER_UNIT)
        order = per_unit["system"].unique().tolist()  # JSON is kept with sorted keys
        try:
            metrics = tuple(Metric(**metric) for metric in content["metrics"])
            names = [metric.name for metric in metrics]
            slices = [
                {**part, "systems": _estimates_from_json(part["systems"], order, names)} for part in content["slices"]
            ]
            samples = [
                {**sample, "answers": _in_order(sample["answers"], order)} for sample in read_json(folder / SAMPLES)
            ]
            return cls(
                task=content["task"],
                question=content["question"],
                metrics=metrics,
                systems=_estimates_from_json(content["systems"], order, names),
                units=read_parquet(folder / UNITS),
                per_unit=per_unit,
                provenance=content["provenance"],
                comparisons=tuple(Comparison(**comparison) for comparison in content["comparisons"]),
                slices=tuple(Slice(**part) for part in slices),
                costs=_in_order(read_json(folder / COSTS)["systems"], order),
                samples=tuple(Sample(**sample) for sample in samples),
                problems=tuple(content["problems"]),
                created_at=content["created_at"],
                digest={name: value for name, value in content.items() if name not in ENTRIES},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(f"{folder / RESULT} lacks or misspells a part ({error}); evaluate again") from error

    def _repr_markdown_(self) -> str:
        from agentrec.evaluation.report import to_markdown

        return to_markdown(self)


def _estimates_to_json(systems: Mapping[str, Mapping[str, Estimate]]) -> JSON:
    return {
        name: {metric: estimate._asdict() for metric, estimate in metrics.items()} for name, metrics in systems.items()
    }


def _estimates_from_json(content: JSON, systems: list[str], names: list[str]) -> dict[str, dict[str, Estimate]]:
    return {
        system: {name: Estimate(**estimate) for name, estimate in _in_order(metrics, names).items()}
        for system, metrics in _in_order(content, systems).items()
    }


def _in_order(content: JSON, names: list[str]) -> JSON:
    """The entries in the order of names; whatever else there is comes last."""
    return {name: content[name] for name in [*names, *content] if name in content}


def _read_per_unit(path: Path) -> pd.DataFrame:
    table = read_parquet(path)
    absent = [name for name in ("system", "seed", "unit") if name not in table]
    if absent:
        raise ArtefactError(f"{path} has columns {', '.join(table.columns)}; expected {absent[0]!r} among them")
    return table
