"""The web page of a comparison: the ranking, what a generator makes of the IDs, and the numbers behind both."""

from __future__ import annotations

from pathlib import Path

from agentrec.core.types import JSON
from agentrec.evaluation.report.plot import Group, dots
from agentrec.evaluation.report.plot import Row as Dots
from agentrec.evaluation.report.view import as_text
from agentrec.evaluation.report.wording import describe_comparison
from agentrec.evaluation.result import Estimate
from agentrec.pipeline.sid_compare.compare import Comparing
from agentrec.pipeline.sid_compare.scores import ASPECTS
from agentrec.pipeline.sid_compare.view import LAST_OF_CODES, Table, details, ranking
from agentrec.pipeline.sid_report.web import render

TEMPLATE = Path(__file__).parent / "page.html.j2"


def to_html(found: Comparing) -> str:
    """The comparison as one HTML page."""
    from markupsafe import Markup

    names = ranking(found)
    codes, shared = details(found).split(LAST_OF_CODES) if names.rows else (names, names)
    content = {
        "title": f"Semantic IDs of {found.about.get('data', {}).get('name', 'a catalogue')}, compared",
        "finding": finding(found),
        "about": about(found.about),
        "ranking": names,
        "details": [("Use of codes", codes), ("What items with the same first codes share", shared)],
        "failed": [(row.entry.name, row.entry.error) for row in found.rows if row.entry.error],
        "aspects": ASPECTS,
        "plots": [Markup(plot) for plot in [*_ndcg_plots(found), *_aspect_plots(found, names)]],
        "differences": differences(found),
        "reference": "" if found.downstream is None else found.downstream.reference,
        "provenance": [(name, as_text(value)) for name, value in sorted(found.about.items())],
    }
    return render(TEMPLATE, content)


def finding(found: Comparing) -> str:
    """Who stands first, in a sentence."""
    good = [row for row in found.rows if row.health is not None]
    if not good:
        return "None of the semantic IDs could be measured."
    if found.downstream is None:
        leaders = [row.entry.name for row in good if row.mean_rank == good[0].mean_rank]
        if len(leaders) > 1:
            return (
                f"{', '.join(leaders[:-1])} and {leaders[-1]} share the best mean of ranks in {len(ASPECTS)} aspects."
            )
        return f"{leaders[0]} stands first by the mean of its ranks in {len(ASPECTS)} aspects."
    first, reference = good[0], found.downstream.reference
    sentence = f"A generator does best on {first.entry.name}"
    if first.difference is None:
        return f"{sentence}, the reference."
    clear = "clearly" if first.difference.winner == first.entry.name else "not clearly"
    return f"{sentence}, {clear} better than on {reference}."


def about(known: JSON) -> str:
    """What all were judged on, in a sentence or two."""
    said = (
        f"All are judged on the same {known.get('vectors', 'item')} vectors of {known['num_items']:,} items, whatever "
        f"they were made from; neighbours are those by {known['metric']} distance."
    )
    budget = known.get("budget")
    if budget:
        said += (
            f" Those fitted here have {budget['num_levels']} levels of {budget['codebook_size']} codes and seed "
            f"{budget['seed']}; they are fitted on these vectors, which favours them over imported ones."
        )
    return said


def differences(found: Comparing) -> list[dict[str, str]]:
    """Differences of NDCG@10 to the reference, as text."""
    return [describe_comparison(row.difference, 4) for row in found.rows if row.difference is not None]


def _ndcg_plots(found: Comparing) -> list[str]:
    rows = [row for row in found.rows if row.ndcg is not None]
    if not rows:
        return []
    marked = [Dots(row.entry.name, row.ndcg or Estimate(None), place == 0) for place, row in enumerate(rows)]
    compared = [row for row in rows if row.difference is not None]
    reached = [
        Dots(row.entry.name, Estimate(found_row.difference, found_row.low, found_row.high), place == 0)
        for place, row in enumerate(compared)
        if (found_row := row.difference) is not None
    ]
    plots = [dots([Group("", marked)], "NDCG@10", "higher")]
    return plots + ([dots([Group("", reached)], "difference to the reference", "higher")] if reached else [])


def _aspect_plots(found: Comparing, names: Table) -> list[str]:
    plots = []
    rows = [row for row in found.rows if row.aspects is not None]
    for aspect in ASPECTS:
        if aspect.name in names.heads:
            place = names.heads.index(aspect.name)
            best = {name: cells[place].best for name, cells in names.rows}
            marks = [
                Dots(row.entry.name, Estimate((row.aspects or {})[aspect.name]), best[row.entry.name]) for row in rows
            ]
            plots.append(dots([Group("", marks)], aspect.name, aspect.better))
    return plots
