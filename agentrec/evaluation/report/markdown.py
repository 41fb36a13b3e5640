"""A result as Markdown, short enough for a pull request.

Question, finding, headline metrics, comparisons; slices and costs are folded. Names and titles are shown literally:
they cannot break a table, and do not become markup or links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from agentrec.evaluation.report.view import Cell, SliceTable, View, view_of
from agentrec.evaluation.report.wording import cost_label
from agentrec.evaluation.result import Result

COMPARISON_NOTE = (
    "First minus second on the same units; 95% bootstrap interval; p of the paired t test with Holm's correction over "
    "all comparisons. A system is ahead if p < 0.05, the interval leaves out 0, and all seeds agree."
)
PRODUCED = ("data.fingerprint", "split.fingerprint", "seeds", "versions.agentrec", "created_at")


def to_markdown(result: Result) -> str:
    """The report as Markdown text."""
    view = view_of(result)
    parts = [f"# {escape_markdown(view.title)}", escape_markdown(view.question)]
    if result.problems:
        parts.append("\n".join(["> **Problems**", ">", *(f"> - {escape_markdown(text)}" for text in result.problems)]))
    if view.finding:
        parts.append(f"**{escape_markdown(view.finding)}**")
    parts += [_headline(view), escape_markdown(f"{view.data} {view.note}")]
    if view.comparisons:
        parts += ["## Pairwise comparisons", _comparisons(view.comparisons), escape_markdown(COMPARISON_NOTE)]
    if view.further:
        parts.append(_folded(f"{len(view.further)} further comparisons", _comparisons(view.further)))
    if view.slices:
        tables = [_slice(table, view.names) for table in view.slices]
        parts.append(_folded(f"Slices by {', '.join(dict.fromkeys(table.column for table in view.slices))}", *tables))
    if view.costs:
        rows = [
            [escape_markdown(cost_label(cost)), *(values[name] for name in view.names)]
            for cost, values in view.costs.items()
        ]
        parts.append(_folded("Costs", _table(["cost", *map(escape_markdown, view.names)], rows)))
    parts += ["## What produced this", _produced(view)]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown and the HTML inside it show literally, on one line and without links."""
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", text)
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", text.replace("://", r":\//"))


def _headline(view: View) -> str:
    heads = [
        escape_markdown(metric) + {"lower": " (lower is better)"}.get(view.better[metric], "")
        for metric in view.headline
    ]
    rows = [
        [escape_markdown(name), *(_cell(view.cells[name][metric]) for metric in view.headline)] for name in view.names
    ]
    return _table(["system", *heads], rows)


def _comparisons(rows: Sequence[dict[str, str]]) -> str:
    columns = ["metric", "pair", "difference", "interval", "p", "verdict", "seeds", "power"]
    if not any(row["seeds"] for row in rows):
        columns.remove("seeds")
    return _table(columns, [[escape_markdown(row[column]) for column in columns] for row in rows])


def _slice(table: SliceTable, names: Sequence[str]) -> str:
    rows = [
        [escape_markdown(part.value), f"{part.num_units:,}", *(_cell(cells[name]) for name in names)]
        for part, cells in table.rows
    ]
    head = [escape_markdown(table.column), "units", *map(escape_markdown, names)]
    return f"{escape_markdown(table.metric)}\n\n{_table(head, rows)}"


def _produced(view: View) -> str:
    known = [(key, value) for key, value in view.provenance if key in PRODUCED or key.startswith("seeds.")]
    return "\n".join(f"- {escape_markdown(key)}: {escape_markdown(value)}" for key, value in known)


def _folded(summary: str, *content: str) -> str:
    return "\n\n".join([f"<details><summary>{html.escape(summary)}</summary>", *content, "</details>"])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    mean = f"**{cell.mean}**" if cell.best else cell.mean
    deviation = f" ± {cell.deviation}" if cell.deviation else ""
    return f"{mean}{deviation} ({cell.interval})" if cell.interval else f"{mean}{deviation}"
