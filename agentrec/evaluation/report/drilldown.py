"""A few units, one by one: what is known of each, what every system did there, and what a filter compares.

Where units have a ``target``, a system finds it or not. Elsewhere systems are compared by the first headline metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrec.evaluation.report.view import View, as_text
from agentrec.evaluation.report.wording import NAMED, decimals, is_number, listed, number
from agentrec.evaluation.result import Result, Sample

LIMIT = 100


@dataclass(frozen=True)
class Answer:
    """What one system did: its metric there (or nothing), and texts, each with whether it is the target."""

    system: str
    value: str
    items: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        name: of the unit.
        history: texts, oldest first.
        target: what was to be found, or nothing.
        facts: everything else that is known.
        answers: one per system.
        found: who found the target, in words.
        scores: per system, what the filter compares: larger is better, None where undefined.
    """

    name: str
    history: Sequence[str]
    target: str
    facts: Sequence[tuple[str, str]]
    answers: Sequence[Answer]
    found: str
    scores: Sequence[float | None]


@dataclass(frozen=True)
class DrillDown:
    """Units to look at; ``metric`` is empty where the filter goes by hits."""

    units: Sequence[Unit]
    metric: str

    @property
    def by_hits(self) -> bool:
        """Whether systems find targets."""
        return not self.metric


def drill_down(view: View) -> DrillDown:
    """The first hundred samples of a result."""
    samples = view.result.samples[:LIMIT]
    by_hits = any(_target(sample) for sample in samples)
    metric = view.headline[0] if view.headline else ""
    values = _values(view.result, metric, [sample.unit for sample in samples])
    digits = decimals(values.values())
    sign = -1.0 if view.better.get(metric) == "lower" else 1.0
    units = []
    for sample in samples:
        own = {name: values.get((sample.unit, name)) for name in view.names}
        answers = [_answer(sample, name, own[name], digits) for name in view.names if name in sample.answers]
        hits = {answer.system: any(hit for _, hit in answer.items) for answer in answers}
        scores = [_hit(hits.get(name)) if by_hits else _signed(own[name], sign) for name in view.names]
        units.append(
            Unit(
                name=sample.unit,
                history=_texts(sample.about.get("history", [])),
                target=_target(sample),
                facts=[
                    (key, as_text(value)) for key, value in sample.about.items() if key not in ("history", "target")
                ],
                answers=answers,
                found=_found([name for name in view.names if hits.get(name)], len(answers)) if by_hits else "",
                scores=scores,
            )
        )
    return DrillDown(units, "" if by_hits else metric)


def _values(result: Result, metric: str, units: Sequence[str]) -> dict[tuple[str, str], float]:
    """Unit and system -> the metric there, the mean over seeds; nothing for a metric without values per unit."""
    if metric not in result.per_unit:
        return {}
    rows = result.per_unit[result.per_unit["unit"].isin(units)]
    means = rows.groupby(["unit", "system"], sort=False)[metric].mean().reset_index()
    columns = (means["unit"].astype(str), means["system"].astype(str), means[metric].astype(float))
    return {(unit, system): value for unit, system, value in zip(*columns, strict=True)}


def _answer(sample: Sample, name: str, value: float | None, digits: int) -> Answer:
    target = _target(sample)
    items = [(text, bool(target) and text == target) for text in _texts(sample.answers[name])]
    return Answer(name, number(value, digits) if is_number(value) else "", items)


def _texts(content: Any) -> list[str]:
    return [as_text(entry) for entry in (content if isinstance(content, list | tuple) else [content])]


def _target(sample: Sample) -> str:
    about: Mapping[str, Any] = sample.about
    return as_text(about["target"]) if about.get("target") is not None else ""


def _found(names: Sequence[str], asked: int) -> str:
    if not names:
        return "found by none"
    return f"found by {listed(names)}" if len(names) <= NAMED else f"found by {len(names)} of {asked}"


def _hit(found: bool | None) -> float | None:
    return None if found is None else float(found)


def _signed(value: float | None, sign: float) -> float | None:
    return None if value is None or not is_number(value) else sign * value
