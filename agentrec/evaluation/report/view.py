"""What a report shows, in order and as text, before anything lays it out.

The best system by the first headline metric comes first; the best number of every metric is marked, in the metric's
own direction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrec.evaluation.report.wording import (
    DASH,
    amount,
    decimals,
    describe_comparison,
    finding,
    interval,
    is_number,
    number,
)
from agentrec.evaluation.result import Comparison, Estimate, Result, Slice

SHOWN_COMPARISONS = 12  # more than that, and only those of the first system are shown at once
NOTHING = Estimate(None)


@dataclass(frozen=True)
class Cell:
    """One number of a table, as text: its mean, interval and deviation between seeds (empty where there is none)."""

    mean: str
    interval: str = ""
    deviation: str = ""
    best: bool = False


@dataclass(frozen=True)
class SliceTable:
    """One metric by the values of one column: ``rows`` pairs every slice with its cells by system."""

    column: str
    metric: str
    rows: list[tuple[Slice, dict[str, Cell]]]


@dataclass(frozen=True)
class View:
    """What a report shows, ready to be laid out.

    Attributes:
        title: of the page.
        question: what was asked.
        data: what it was asked on.
        note: how to read intervals.
        finding: the main result in a sentence, or nothing.
        names: systems, best first.
        headline: names of the metrics shown first.
        metrics: all names.
        better: metric -> direction.
        cells: system -> metric -> cell.
        comparisons: shown at once.
        further: the other comparisons.
        slices: one table per column and headline metric.
        costs: cost -> system -> text.
        provenance: key and value.
        result: where everything comes from.
    """

    title: str
    question: str
    data: str
    note: str
    finding: str
    names: list[str]
    headline: list[str]
    metrics: list[str]
    better: Mapping[str, str]
    cells: Mapping[str, Mapping[str, Cell]]
    comparisons: list[dict[str, str]]
    further: list[dict[str, str]]
    slices: list[SliceTable]
    costs: Mapping[str, Mapping[str, str]]
    provenance: list[tuple[str, str]]
    result: Result

    @property
    def purpose(self) -> str:
        """Question, data and how to read intervals, in one paragraph."""
        return f"{self.question} {self.data} {self.note}"


def view_of(result: Result) -> View:
    """Order, format and mark what a report shows."""
    metrics = [metric.name for metric in result.metrics]
    better = {metric.name: str(metric.better) for metric in result.metrics}
    headline = result.headline or metrics[:1]
    names = _ordered(result.systems, headline, better)
    columns = {metric: _column(result.systems, metric, better[metric]) for metric in metrics}
    digits = {metric: _digits(result.systems, metric) for metric in metrics}
    first, further = _split(result.comparisons, headline[0] if headline else "", names[0] if names else "")
    seeds = num_seeds(result)
    return View(
        title=f"Evaluation: {result.task}",
        question=result.question,
        data=_data(result, seeds),
        note=f"Intervals hold the mean over units{' and seeds' if seeds > 1 else ''} with 95% confidence (bootstrap).",
        finding=finding(result.comparisons, headline[0], names[0]) if headline and names else "",
        names=names,
        headline=headline,
        metrics=metrics,
        better=better,
        cells={name: {metric: columns[metric][name] for metric in metrics} for name in names},
        comparisons=[describe_comparison(row, digits.get(row.metric)) for row in first],
        further=[describe_comparison(row, digits.get(row.metric)) for row in further],
        slices=_slices(result, headline, better),
        costs=_costs(result, names),
        provenance=_flat({**result.provenance, "created_at": result.created_at}),
        result=result,
    )


def num_seeds(result: Result) -> int:
    """The largest number of seeds at which a system was measured."""
    seeds = result.per_unit.groupby("system")["seed"].nunique()
    return int(seeds.max()) if len(seeds) else 1


def estimate_of(systems: Mapping[str, Mapping[str, Estimate]], name: str, metric: str) -> Estimate:
    """One number; an undefined one where the system has none."""
    return systems.get(name, {}).get(metric, NOTHING)


def _ordered(systems: Mapping[str, Any], headline: Sequence[str], better: Mapping[str, str]) -> list[str]:
    names = list(systems)
    if not headline or better[headline[0]] == "neither":
        return names
    side = -1 if better[headline[0]] == "higher" else 1

    def place(name: str) -> tuple[bool, float, str]:
        mean = estimate_of(systems, name, headline[0]).mean
        return (True, 0.0, name) if mean is None or not is_number(mean) else (False, side * mean, name)

    return sorted(names, key=place)


def _digits(systems: Mapping[str, Mapping[str, Estimate]], metric: str) -> int:
    return decimals(number for name in systems for number in estimate_of(systems, name, metric)[:3])


def _column(systems: Mapping[str, Mapping[str, Estimate]], metric: str, better: str) -> dict[str, Cell]:
    """One metric of all systems: equal decimals, and the best marked where there is something to choose from."""
    digits = _digits(systems, metric)
    means = [mean for name in systems if is_number(mean := estimate_of(systems, name, metric).mean)]
    best = None
    if len(means) > 1 and better != "neither":
        best = (max if better == "higher" else min)(mean for mean in means if mean is not None)
    found = {}
    for name in systems:
        estimate = estimate_of(systems, name, metric)
        deviation = number(estimate.deviation, digits) if is_number(estimate.deviation) else ""
        marked = best is not None and estimate.mean == best
        found[name] = Cell(number(estimate.mean, digits), interval(estimate, digits), deviation, marked)
    return found


def _split(
    comparisons: Sequence[Comparison], metric: str, leader: str
) -> tuple[Sequence[Comparison], Sequence[Comparison]]:
    if len(comparisons) <= SHOWN_COMPARISONS:
        return comparisons, ()
    chosen = [row.metric == metric and leader in (row.first, row.second) for row in comparisons]
    rows = list(zip(comparisons, chosen, strict=True))
    return [row for row, shown in rows if shown], [row for row, shown in rows if not shown]


def _data(result: Result, seeds: int) -> str:
    known = result.provenance.get("data")
    name = known.get("name") if isinstance(known, Mapping) else None
    measured = f"{len(result.units):,} units" + (f", {seeds} seeds" if seeds > 1 else "")
    return f"Data: {name or 'unnamed'}; {measured}."


def _slices(result: Result, headline: Sequence[str], better: Mapping[str, str]) -> list[SliceTable]:
    tables = []
    for column in dict.fromkeys(part.column for part in result.slices):
        parts = [part for part in result.slices if part.column == column]
        for metric in headline:
            if any(estimate_of(part.systems, name, metric).mean is not None for part in parts for name in part.systems):
                rows = [(part, _column(part.systems, metric, better[metric])) for part in parts]
                tables.append(SliceTable(column, metric, rows))
    return tables


def _costs(result: Result, names: Sequence[str]) -> dict[str, dict[str, str]]:
    keys = dict.fromkeys(key for name in names for key in result.costs.get(name, {}))
    return {key: {name: amount(result.costs.get(name, {}).get(key)) for name in names} for key in keys}


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(content.items(), key=lambda entry: str(entry[0])):
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", as_text(value)))
    return rows


def as_text(value: Any) -> str:
    """Any JSON value as text: strings as they are, the undefined as a dash."""
    value = _defined(value)
    if value is None:
        return DASH
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False, sort_keys=True)


def _defined(value: Any) -> Any:
    """The value with numbers that are none, or not finite, as None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _defined(part) for key, part in value.items()}
    return [_defined(part) for part in value] if isinstance(value, list | tuple) else value
