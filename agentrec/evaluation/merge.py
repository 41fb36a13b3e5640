"""From measurements to a result: estimates per system, slices, and comparisons of all pairs.

Pure functions; a measurement is one system at one seed, and units are the same rows in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from agentrec.core.errors import ConfigError, RecommenderError
from agentrec.core.files import as_json
from agentrec.core.types import JSON
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.power import users_needed
from agentrec.evaluation.result import Comparison, Estimate, Result, Sample, Slice
from agentrec.evaluation.statistics import Values, bootstrap_intervals, compare_paired, seed_means
from agentrec.evaluation.task import Metric, Task

DIGITS = 10  # results are rounded there, so that the order of a sum on another machine does not show

BySeed = Mapping[str, Mapping[int, Measured]]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: R resamples, from a seed."""

    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ConfigError(f"bootstrap is {self.resamples}; expected at least 1 resample, 1000 for a result")


def merge(
    name: str, task: Task, measured: BySeed, *, resampling: Resampling | None = None, provenance: JSON | None = None
) -> Result:
    """Put the measurements of all systems together.

    Args:
        name: of the task.
        task: what was measured.
        measured: system -> seed -> measurement.
        resampling: of the intervals.
        provenance: what else is known of this result.

    Raises:
        RecommenderError: rows are not the task's units, or none of its metrics was measured.
    """
    resampling = resampling or Resampling()
    by_seed = {
        label: {seed: found.checked(task.units["unit"], label) for seed, found in seeds.items()}
        for label, seeds in measured.items()
    }
    arrays = {label: _arrays(task.metrics, seeds) for label, seeds in by_seed.items()}
    headline = [metric for metric in task.metrics if metric.headline]
    return Result(
        task=name,
        question=task.question,
        metrics=_reported(task.metrics, by_seed),
        systems=_systems(task, by_seed, arrays, resampling),
        units=task.units,
        per_unit=_per_unit(by_seed),
        provenance=_provenance(task, by_seed, provenance or {}),
        comparisons=compare_all(arrays, headline, nested=task.nested, resampling=resampling),
        slices=_slices(task, arrays, headline, resampling),
        costs={label: _mean_costs(seeds) for label, seeds in by_seed.items()},
        samples=_samples(by_seed),
        problems=_problems(by_seed),
    )


def _arrays(metrics: Sequence[Metric], seeds: Mapping[int, Measured]) -> dict[str, Values]:
    """Metric -> (S, U) for the metrics that have a value per unit."""
    columns = set(next(iter(seeds.values())).units.columns)
    return {
        metric.name: np.stack([found.units[metric.name].to_numpy(np.float64) for found in seeds.values()])
        for metric in metrics
        if metric.name in columns
    }


def _reported(metrics: Sequence[Metric], by_seed: BySeed) -> tuple[Metric, ...]:
    known = {
        name for seeds in by_seed.values() for found in seeds.values() for name in (*found.units.columns, *found.totals)
    }
    found = tuple(metric for metric in metrics if metric.name in known)
    if not found:
        raise RecommenderError(
            f"the task reports {', '.join(metric.name for metric in metrics)}, and what was measured is "
            f"{', '.join(sorted(known - {'unit'})) or 'nothing'}; expected a column or a total of such a name"
        )
    return found


def _systems(
    task: Task, by_seed: BySeed, arrays: Mapping[str, Mapping[str, Values]], resampling: Resampling
) -> dict[str, dict[str, Estimate]]:
    found = estimates(arrays, nested=task.nested, resampling=resampling)
    for label, seeds in by_seed.items():
        for name in next(iter(seeds.values())).totals:
            values = np.array([[measured.totals[name]] for measured in seeds.values()])
            found[label][name] = Estimate(_rounded(values.mean()), deviation=_between_seeds(values))
    order = [metric.name for metric in task.metrics]
    return {label: {name: metrics[name] for name in order if name in metrics} for label, metrics in found.items()}


def estimates(
    arrays: Mapping[str, Mapping[str, Values]], *, nested: bool = False, resampling: Resampling
) -> dict[str, dict[str, Estimate]]:
    """Means with bootstrap intervals, from one shared set of resampled units.

    Args:
        arrays: system -> metric -> (S, U) float64.
        nested: seeds are drawn anew for every unit.
        resampling: of the intervals.

    Returns:
        system -> metric -> `Estimate`.
    """
    keys = [(label, name) for label, metrics in arrays.items() for name in metrics]
    found: dict[str, dict[str, Estimate]] = {label: {} for label in arrays}
    if not keys:
        return found
    columns = [arrays[label][name] for label, name in keys]
    intervals = bootstrap_intervals(columns, nested=nested, resamples=resampling.resamples, seed=resampling.seed)
    for (label, name), column, mean, low, high in zip(keys, columns, *intervals, strict=True):
        found[label][name] = Estimate(_rounded(mean), _rounded(low), _rounded(high), _between_seeds(column))
    return found


def compare_all(
    arrays: Mapping[str, Mapping[str, Values]], metrics: Sequence[Metric], *, nested: bool, resampling: Resampling
) -> tuple[Comparison, ...]:
    """Compare all pairs of systems; see `compare_pairs`."""
    pairs = [((first, arrays[first]), (second, arrays[second])) for first, second in combinations(arrays, 2)]
    return compare_pairs(pairs, metrics, nested=nested, resampling=resampling)


def compare_pairs(
    pairs: Sequence[tuple[tuple[str, Mapping[str, Values]], tuple[str, Mapping[str, Values]]]],
    metrics: Sequence[Metric],
    *,
    nested: bool = False,
    resampling: Resampling,
) -> tuple[Comparison, ...]:
    """Compare pairs of systems, with Holm's correction over everything compared.

    Args:
        pairs: two names with their metric -> (S, U) values, column by column the same units.
        metrics: what is compared; a metric that one side lacks, or that no unit has on both sides, is passed over.
        nested: seeds are drawn anew for every unit.
        resampling: of the intervals.
    """
    family = [
        (metric, first, second, *_same_seeds(left[metric.name], right[metric.name]))
        for metric in metrics
        for (first, left), (second, right) in pairs
        if metric.name in left and metric.name in right
    ]
    family = [row for row in family if _num_units(*row[3:])]
    found = compare_paired(
        [(left, right) for *_, left, right in family],
        nested=nested,
        resamples=resampling.resamples,
        seed=resampling.seed,
    )
    return tuple(
        Comparison(
            metric.name,
            first,
            second,
            difference=_must(paired.difference),
            low=_must(paired.low),
            high=_must(paired.high),
            p_value=paired.p_value,
            holm=paired.holm,
            num_units=_num_units(left, right),
            units_needed=_units_needed(paired.difference, paired.deviation),
            seeds_ahead=paired.seeds_ahead,
            num_seeds=max(len(left), len(right)),
            better=metric.better,
        )
        for (metric, first, second, left, right), paired in zip(family, found, strict=True)
    )


def _units_needed(difference: float, deviation: float) -> int | None:
    try:
        return users_needed(difference, deviation)
    except ValueError:  # no difference, or one too small to count
        return None


def _num_units(first: Values, second: Values) -> int:
    """How many units have a value on both sides, at any seed."""
    return int((~np.isnan(first - second)).any(axis=0).sum())


def _same_seeds(first: Values, second: Values) -> tuple[Values, Values]:
    """As many rows on both sides; a side measured once stands against every seed of the other."""
    size = min(len(first), len(second))
    return (first, second) if 1 in (len(first), len(second)) else (first[:size], second[:size])


def _slices(
    task: Task, arrays: Mapping[str, Mapping[str, Values]], headline: Sequence[Metric], resampling: Resampling
) -> tuple[Slice, ...]:
    found = []
    names = {metric.name for metric in headline}
    for column in task.slices:
        values = task.units[column]
        order = (
            values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else sorted(values.dropna().unique())
        )
        for value in order:
            rows = np.flatnonzero(values == value)
            if not len(rows):
                continue
            part = {
                label: {name: array[:, rows] for name, array in metrics.items() if name in names}
                for label, metrics in arrays.items()
            }
            systems = estimates(part, nested=task.nested, resampling=resampling)
            found.append(Slice(column, str(value), len(rows), systems))
    return tuple(found)


def _per_unit(by_seed: BySeed) -> pd.DataFrame:
    tables = [
        measured.units.assign(system=label, seed=seed)
        for label, seeds in by_seed.items()
        for seed, measured in seeds.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    first = ["system", "seed", "unit"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _provenance(task: Task, by_seed: BySeed, more: JSON) -> JSON:
    from agentrec.core.provenance import versions

    content = {
        "data": task.data,
        "settings": task.settings,
        "num_units": len(task.units),
        "nested": task.nested,
        "seeds": {label: list(seeds) for label, seeds in by_seed.items()},
        "systems": {label: next(iter(seeds.values())).facts for label, seeds in by_seed.items()},
        "versions": versions(),
        **task.facts,
        **more,
    }
    return {name: as_json(value) for name, value in content.items()}


def _problems(by_seed: BySeed) -> tuple[str, ...]:
    """Every problem once, with the first seed that met it where there are several."""
    found: dict[str, None] = {}
    for label, seeds in by_seed.items():
        known: set[str] = set()
        for seed, measured in seeds.items():
            where = f"{label} (seed {seed})" if len(seeds) > 1 else label
            found |= dict.fromkeys(f"{where}: {text}" for text in measured.problems if text not in known)
            known.update(measured.problems)
    return tuple(found)


def _mean_costs(seeds: Mapping[int, Measured]) -> dict[str, float]:
    names = sorted({name for found in seeds.values() for name in found.costs})
    return {
        name: float(np.mean([found.costs[name] for found in seeds.values() if name in found.costs])) for name in names
    }


def _samples(by_seed: BySeed) -> tuple[Sample, ...]:
    answers: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {}
    for label, seeds in by_seed.items():
        for unit, shown in next(iter(seeds.values())).samples.items():
            about.setdefault(unit, shown.get("about", {}))
            answers.setdefault(unit, {})[label] = shown.get("answer", [])
    return tuple(Sample(unit, about[unit], found) for unit, found in answers.items())


def _between_seeds(values: Values) -> float | None:
    return _rounded(seed_means(values).std(ddof=1)) if len(values) > 1 else None


def _rounded(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


def _must(value: float) -> float:
    return 0.0 if np.isnan(value) else round(value, DIGITS)
