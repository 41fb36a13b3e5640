"""A result as one self-contained web page.

The page loads nothing: its style and its few lines of script stand inside, and a content security policy made of their
hashes forbids everything else. Every name and title is escaped. Without the script all is there, only unfiltered.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from agentrec.evaluation.report.drilldown import drill_down
from agentrec.evaluation.report.pareto import pareto, plotted_costs, points_of
from agentrec.evaluation.report.plot import Group, Row, dots
from agentrec.evaluation.report.view import SliceTable, View, estimate_of, num_seeds, view_of
from agentrec.evaluation.report.wording import cost_label, direction
from agentrec.evaluation.result import Result

FOLDER = Path(__file__).parent
PLOTTED = 4  # headline metrics
PLOTTED_SYSTEMS = 8  # in the plot of a slice
COMPARISON_NOTE = (
    "First minus second on the same units, with 95% bootstrap intervals; p of the paired t test with Holm's correction "
    "over all comparisons. A system is ahead if p < 0.05, the interval leaves out 0, and all seeds agree. The last "
    "column says how many units a difference of this size needs."
)


def to_html(result: Result) -> str:
    """The report as one HTML page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    view = view_of(result)
    style, script = (FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"direction": direction, "cost_label": cost_label}
    template = environment.from_string(FOLDER.joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        view=view,
        problems=result.problems,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}",
        dots=[Markup(_headline_plot(view, metric)) for metric in view.headline[:PLOTTED]],
        paretos=[Markup(plot) for plot in _cost_plots(view)],
        slices=[(table, Markup(_slice_plot(table, view))) for table in view.slices],
        plotted_systems=PLOTTED_SYSTEMS,
        samples=drill_down(view),
        comparison_note=COMPARISON_NOTE,
    )


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _headline_plot(view: View, metric: str) -> str:
    result = view.result
    seeds: dict[str, list[float]] = {}
    if num_seeds(result) > 1 and metric in result.per_unit:
        means = result.per_unit.groupby(["system", "seed"])[metric].mean()
        seeds = {str(name): [float(value) for value in part] for name, part in means.groupby(level="system")}
    rows = [
        Row(name, estimate_of(result.systems, name, metric), view.cells[name][metric].best, seeds.get(name, ()))
        for name in view.names
    ]
    return dots([Group("", rows)], metric, view.better[metric])


def _slice_plot(table: SliceTable, view: View) -> str:
    groups = [
        Group(
            f"{part.value} ({part.num_units:,} units)",
            [
                Row(name, estimate_of(part.systems, name, table.metric), cells[name].best)
                for name in view.names[:PLOTTED_SYSTEMS]
                if name in cells
            ],
        )
        for part, cells in table.rows
    ]
    return dots(groups, table.metric, view.better[table.metric])


def _cost_plots(view: View) -> list[str]:
    if not view.headline:
        return []
    metric, plots = view.headline[0], []
    for cost in plotted_costs(view.result):
        points = points_of(view.result, metric, cost)
        if len(points) > 1:
            plots.append(pareto(points, metric, cost, view.better[metric]))
    return plots
