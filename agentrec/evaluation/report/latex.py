r"""A result as LaTeX tables for a paper: ``\usepackage{booktabs}`` is all they need.

Names in other scripts than Latin need LuaLaTeX or XeLaTeX with a font that has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentrec.evaluation.report.view import Cell, View, view_of
from agentrec.evaluation.report.wording import DASH
from agentrec.evaluation.result import Result

COLUMNS = 4  # systems beside each other in the table of all metrics
SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # after a line break, a bracket or star would be read as its argument
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",  # two of them would become a dash
    "−": "{-}",
    "–": "{--}",
    "→": r"\ensuremath{\to}",
}


def to_latex(result: Result, *, every: bool = False) -> str:
    """The headline metrics as a table, systems below each other.

    Args:
        result: what to show.
        every: all metrics instead, below each other, with systems in columns and as many tables as that takes.
    """
    view = view_of(result)
    if not every:
        body = [
            [escape_latex(name), *(_cell(view.cells[name][metric]) for metric in view.headline)] for name in view.names
        ]
        return _table(view, ["system", *(_head(view, metric) for metric in view.headline)], body)
    tables = []
    for start in range(0, len(view.names), COLUMNS):
        names = view.names[start : start + COLUMNS]
        body = [[_head(view, metric), *(_cell(view.cells[name][metric]) for name in names)] for metric in view.metrics]
        tables.append(_table(view, ["metric", *map(escape_latex, names)], body, f"-all-{start // COLUMNS + 1}"))
    return "\n".join(tables)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets literally, on one line; control characters are dropped."""
    text = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _head(view: View, metric: str) -> str:
    return escape_latex(metric) + {"lower": r" (\ensuremath{\downarrow})"}.get(view.better[metric], "")


def _cell(cell: Cell) -> str:
    if cell.mean == DASH:
        return escape_latex(DASH)
    parts = [rf"\textbf{{{escape_latex(cell.mean)}}}" if cell.best else escape_latex(cell.mean)]
    if cell.deviation:
        parts.append(rf"\ensuremath{{\pm}} {escape_latex(cell.deviation)}")
    if cell.interval:
        low, _, high = cell.interval.partition(" to ")
        parts.append(rf"{{\scriptsize [{escape_latex(low)}, {escape_latex(high)}]}}")
    return " ".join(parts)


def _table(view: View, head: Sequence[str], body: Sequence[Sequence[str]], suffix: str = "") -> str:
    caption = f"{view.result.task}. {view.data} {view.note} Best in bold."
    if any(cell.deviation for cells in view.cells.values() for cell in cells.values()):
        caption += " Deviations are between seeds."
    label = re.sub(r"[^A-Za-z0-9]+", "-", view.result.task) + suffix
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
