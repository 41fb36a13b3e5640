"""The reports of a result: Markdown, one web page, and LaTeX tables.

Each is a text that depends on the result alone.
"""

from __future__ import annotations

from pathlib import Path

from agentrec.core.files import whole_file
from agentrec.evaluation.report.latex import to_latex
from agentrec.evaluation.report.markdown import escape_markdown, to_markdown
from agentrec.evaluation.report.page import to_html
from agentrec.evaluation.report.view import Cell, View, view_of
from agentrec.evaluation.report.wording import describe_comparison
from agentrec.evaluation.result import Result

__all__ = [
    "Cell",
    "View",
    "describe_comparison",
    "escape_markdown",
    "to_html",
    "to_latex",
    "to_markdown",
    "view_of",
    "write_reports",
]

REPORTS = {"report.md": to_markdown, "report.html": to_html, "report.tex": to_latex}


def write_reports(result: Result, folder: str | Path) -> None:
    """Write ``report.md``, ``report.html`` and ``report.tex``, each whole or not at all.

    Raises:
        AgentrecError: the folder cannot be written.
    """
    for name, made in REPORTS.items():
        with whole_file(Path(folder) / name) as temporary:
            temporary.write_text(made(result), encoding="utf-8")
