"""Compare two saved results, unit by unit.

Units are matched by name, and must have the same target in both; systems of the same name are compared, or all pairs
where no name is shared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from agentrec.core.errors import ArtefactError
from agentrec.evaluation.merge import Resampling, compare_pairs
from agentrec.evaluation.result import Comparison, Result
from agentrec.evaluation.statistics import Values


class ResultComparison(NamedTuple):
    """The comparisons, and the number of units that both results share."""

    comparisons: tuple[Comparison, ...]
    num_units: int


def compare_results(
    first: Result,
    second: Result,
    *,
    labels: tuple[str, str] = ("first", "second"),
    resampling: Resampling | None = None,
) -> ResultComparison:
    """Compare systems of two results on the units that both measured.

    Args:
        first: a result.
        second: another one of the same task on the same data.
        labels: what tells the two apart where a name occurs in both.
        resampling: of the intervals.

    Raises:
        ArtefactError: the results are of different tasks, data or parts, or share no unit or no headline metric.
    """
    for what, sides in _must_agree(first, second).items():
        if sides[0] != sides[1]:
            raise ArtefactError(
                f"the results differ in {what}: {sides[0]!r} and {sides[1]!r}; expected two results of the same task "
                "on the same data"
            )
    shown = set(first.headline) & set(second.headline) & set(first.per_unit) & set(second.per_unit)
    metrics = [metric for metric in first.metrics if metric.name in shown]
    if not metrics:
        raise ArtefactError(
            f"the results share no headline metric that units have a value of; they show {', '.join(first.headline)} "
            f"and {', '.join(second.headline)}, so evaluate both with the same metrics"
        )
    units = _shared_units(first, second)
    shared = sorted(set(first.systems) & set(second.systems))
    names = [(name, name) for name in shared] or [(a, b) for a in first.systems for b in second.systems]
    pairs = []
    for left, right in names:
        same = left == right
        titles = (f"{labels[0]}: {left}", f"{labels[1]}: {right}") if same else (left, right)
        wanted = [metric.name for metric in metrics]
        sides_values = (_values(first, left, wanted, units), _values(second, right, wanted, units))
        pairs.append(((titles[0], sides_values[0]), (titles[1], sides_values[1])))
    nested = bool(first.provenance.get("nested"))
    found = compare_pairs(pairs, metrics, nested=nested, resampling=resampling or Resampling())
    return ResultComparison(found, len(units))


def _must_agree(first: Result, second: Result) -> dict[str, tuple[object, object]]:
    sides = (first.provenance, second.provenance)
    return {
        "task": (first.task, second.task),
        "data": (sides[0]["data"].get("fingerprint"), sides[1]["data"].get("fingerprint")),
        "part": (sides[0]["settings"].get("part"), sides[1]["settings"].get("part")),
    }


def _shared_units(first: Result, second: Result) -> list[str]:
    tables = [result.units.set_index("unit") for result in (first, second)]
    units = tables[0].index.intersection(tables[1].index, sort=False)
    if not len(units):
        raise ArtefactError("the results share no unit; expected two results on the same users, so check both")
    if all("target" in table for table in tables):
        targets = [table.loc[units, "target"].to_numpy() for table in tables]
        differ = np.flatnonzero(targets[0] != targets[1])
        if len(differ):
            raise ArtefactError(
                f"{len(differ)} of {len(units)} shared units have different targets, for example "
                f"{units[differ[0]]!r}; expected the same split in both"
            )
    return [str(unit) for unit in units]


def _values(result: Result, name: str, metrics: list[str], units: list[str]) -> dict[str, Values]:
    rows = result.per_unit[result.per_unit["system"] == name]
    found = {}
    for metric in (metric for metric in metrics if metric in result.systems[name]):
        table: pd.DataFrame = rows.pivot(index="unit", columns="seed", values=metric)
        found[metric] = table.loc[units].to_numpy(np.float64).T
    return found
