"""The plot of a report: one dot with its interval per recommender, as SVG text for a web page.

Drawn with matplotlib's objects, without pyplot. The same result gives the same text: ids are hashed with a fixed salt
and no date is written. Colours are left to the page (``currentColor`` and ``--accent``), which may be light or dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from agentrec.evaluation.result import Estimate

INK, ACCENT = "#010203", "#010204"  # stand-ins, replaced by the page's colours
WIDTH, ROW, FRAME = 5.0, 0.28, 0.75  # inches
NAME_LENGTH = 28
STYLE = {
    "svg.hashsalt": "agentrec",
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def dots_with_intervals(
    recommenders: Mapping[str, Mapping[str, Estimate]], metrics: Sequence[str], order: Sequence[str]
) -> str:
    """Draw one panel per metric, with recommenders from top to bottom.

    Args:
        recommenders: name -> metric -> `Estimate` with an interval.
        metrics: one panel each.
        order: the names, top first.

    Returns:
        An ``<svg>`` element, deterministic and free of outside references.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's own fonts draw the names
        figure = Figure(figsize=(WIDTH, len(metrics) * (FRAME + ROW * len(order))), layout="constrained")
        panels = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
        for panel, metric in zip(panels, metrics, strict=True):
            _draw(panel, [recommenders[name][metric] for name in order], order, metric)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), ", ".join(metrics))


def _draw(panel: Any, values: Sequence[Estimate], order: Sequence[str], metric: str) -> None:
    places = range(len(order))
    means = [value.mean for value in values]
    reach = [
        [value.mean - (value.mean if value.low is None else value.low) for value in values],
        [(value.mean if value.high is None else value.high) - value.mean for value in values],
    ]
    reach = [[max(0.0, length) for length in side] for side in reach]
    panel.errorbar(means, places, xerr=reach, fmt="o", markersize=5, capsize=3, linewidth=1.5, color=ACCENT)
    panel.set_yticks(places, [_shortened(name) for name in order], parse_math=False)
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.set_xlim(left=min(0.0, *means))
    panel.set_xlabel(metric)
    panel.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(left=False)


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _for_page(svg: str, label: str) -> str:
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(ACCENT, "var(--accent)")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label} per recommender"', 1).strip()
