"""A result as Markdown and as one self-contained web page.

Both show the same: what was asked, the headline metrics with intervals (best in bold), pairwise comparisons, a few
users with their lists, every metric, and what produced the numbers. The page loads nothing from outside and escapes
every name and title.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrec.evaluation.result import Comparison, Estimate, Result

FAMILIES = ("ndcg", "recall", "mrr", "coverage", "gini")
LOWER_IS_BETTER = ("gini",)
ALPHA = 0.05
TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Cell:
    """One number of a table, as text."""

    mean: str
    interval: str
    best: bool


@dataclass(frozen=True)
class View:
    """What a report shows, ready to be laid out."""

    purpose: str
    names: list[str]
    headline: list[str]
    metrics: list[str]
    cells: Mapping[str, Mapping[str, Cell]]
    comparisons: list[dict[str, str]]
    provenance: list[tuple[str, str]]
    result: Result


def to_markdown(result: Result) -> str:
    """The report as Markdown text."""
    view = view_of(result)
    parts = ["# Evaluation", view.purpose, _markdown_headline(view)]
    if view.comparisons:
        columns = ("metric", "pair", "difference", "interval", "p", "verdict")
        rows = [[escape_markdown(row[column]) for column in columns] for row in view.comparisons]
        parts += ["## Pairwise comparisons", COMPARISON_NOTE, _markdown_table(columns, rows)]
    if result.samples:
        parts += ["## Sample users", *(_markdown_sample(sample) for sample in result.samples)]
    every = [[metric, *(_markdown_cell(view.cells[name][metric]) for name in view.names)] for metric in view.metrics]
    parts += ["## All metrics", _markdown_table(["metric", *map(escape_markdown, view.names)], every)]
    rows = [[escape_markdown(key), escape_markdown(value)] for key, value in view.provenance]
    parts += ["## What produced this", _markdown_table(["", ""], rows)]
    return "\n\n".join(parts) + "\n"


def to_html(result: Result) -> str:
    """The report as one HTML page."""
    from jinja2 import Environment, StrictUndefined

    from agentrec.evaluation.plot import dots_with_intervals

    view = view_of(result)
    shown = [metric for metric in view.headline if result.recommenders[view.names[0]][metric].low is not None][:2]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    plot = dots_with_intervals(result.recommenders, shown, view.names)
    return template.render(view=view, plot=plot, samples=result.samples, comparison_note=COMPARISON_NOTE)


COMPARISON_NOTE = (
    "First minus second on the same users; 95% bootstrap interval; p of the paired t test with Holm's correction over "
    "all rows. A verdict needs p < 0.05."
)


def view_of(result: Result) -> View:
    """Order, format and mark what a report shows: best recommender first by NDCG."""
    metrics = sorted(next(iter(result.recommenders.values())), key=_metric_order)
    headline = _headline(metrics)
    names = sorted(result.recommenders, key=lambda name: (-result.recommenders[name][headline[0]].mean, name))
    best = {metric: _best(result, metric) for metric in metrics}
    cells = {
        name: {metric: _cell(result.recommenders[name][metric], best[metric]) for metric in metrics} for name in names
    }
    return View(
        purpose=_purpose(result),
        names=names,
        headline=headline,
        metrics=metrics,
        cells=cells,
        comparisons=[describe_comparison(comparison) for comparison in result.comparisons],
        provenance=_flat({**result.provenance, "created_at": result.created_at}),
        result=result,
    )


def _headline(metrics: Sequence[str]) -> list[str]:
    ks = sorted({int(metric.partition("@")[2]) for metric in metrics if metric.startswith("ndcg@")})
    k = 10 if 10 in ks else ks[-1]
    return [f"{family}@{k}" for family in FAMILIES if f"{family}@{k}" in metrics]


def _metric_order(metric: str) -> tuple[int, int, str]:
    family, _, k = metric.partition("@")
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), int(k) if k.isdigit() else 0, metric)


def _best(result: Result, metric: str) -> float:
    means = [metrics[metric].mean for metrics in result.recommenders.values()]
    return min(means) if metric.partition("@")[0] in LOWER_IS_BETTER else max(means)


def _cell(estimate: Estimate, best: float) -> Cell:
    known = estimate.low is not None and estimate.high is not None
    interval = f"{estimate.low:.4f} to {estimate.high:.4f}" if known else ""
    return Cell(f"{estimate.mean:.4f}", interval, estimate.mean == best)


def _purpose(result: Result) -> str:
    known = result.provenance
    data = known["data"]["name"]
    seen = "left out of" if known["config"]["exclude_seen"] else "allowed in"
    return (
        f"Which recommender ranks highest the item that a user chose next? {data}, {known['part']} part: "
        f"{known['num_users']:,} users, all {known['num_items']:,} items ranked, items seen before {seen} the lists. "
        "Intervals hold the mean over users with 95% confidence (bootstrap)."
    )


def describe_comparison(row: Comparison) -> dict[str, str]:
    """One row of a comparison table, as text: metric, pair, difference, interval, p (corrected) and verdict."""
    ahead = row.first if row.difference > 0 else row.second
    return {
        "metric": row.metric,
        "pair": f"{row.first} − {row.second}",
        "difference": f"{row.difference:+.4f}",
        "interval": f"{row.low:+.4f} to {row.high:+.4f}",
        "p": "< 0.0001" if row.holm < 1e-4 else f"{row.holm:.4f}",
        "verdict": f"{ahead} is ahead" if row.holm < ALPHA else "no clear difference",
    }


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(content.items()):
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def escape_markdown(text: str) -> str:
    """Text that Markdown and the HTML inside it show literally, on one line."""
    return re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    mean = f"**{cell.mean}**" if cell.best else cell.mean
    return f"{mean} ({cell.interval})" if cell.interval else mean


def _markdown_headline(view: View) -> str:
    rows = [
        [escape_markdown(name), *(_markdown_cell(view.cells[name][metric]) for metric in view.headline)]
        for name in view.names
    ]
    return _markdown_table(["recommender", *view.headline], rows)


def _markdown_sample(sample: Any) -> str:
    lines = [f"**User {escape_markdown(sample.user)}** chose {' → '.join(map(escape_markdown, sample.history))}"]
    lines.append(f"- next: **{escape_markdown(sample.target)}**")
    for name, titles in sample.top.items():
        shown = "; ".join(_marked(title, sample.target) for title in titles)
        lines.append(f"- {escape_markdown(name)}: {shown}")
    return "\n".join([lines[0], "", *lines[1:]])


def _marked(title: str, target: str) -> str:
    return f"**{escape_markdown(title)}**" if title == target else escape_markdown(title)
