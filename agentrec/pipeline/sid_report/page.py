"""The web page of semantic IDs: tree map, use of codes, what items with the same codes share, every first code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agentrec.core.types import JSON
from agentrec.evaluation.report.view import as_text
from agentrec.pipeline.sid_report.maps import NARROW, SHOWN, WIDE, tree_map
from agentrec.pipeline.sid_report.naming import Namer
from agentrec.pipeline.sid_report.plots import Bar, group_sizes, shares, usage
from agentrec.pipeline.sid_report.tree import Node, prefix_tree
from agentrec.pipeline.sid_report.web import HERE, render
from agentrec.pipeline.sid_report.words import codes_in_words, finding, measures, prefix_measures, remarks
from agentrec.semantic_ids.neighbours import prefix_lengths

if TYPE_CHECKING:
    from agentrec.pipeline.sid_report.report import SIDReport

COLOURS = 8
CHILDREN = 8  # second codes listed under a first one


def to_html(report: SIDReport) -> str:
    """The report as one HTML page."""
    from markupsafe import Markup

    health, codes = report.health, report.codes
    tree = prefix_tree(codes, Namer(report.catalogue), report.categories)
    colours = palette(report.categories)
    sizes = report.vocabulary.level_sizes
    used = [np.bincount(column, minlength=size) for column, size in zip(codes.T, sizes, strict=False)]
    histogram = {int(size): count for size, count in health["group_histogram"].items()}
    content = {
        "title": "Semantic IDs",
        "finding": finding(health),
        "origin": origin(report.vocabulary.provenance),
        "remarks": remarks(health),
        "legend": _legend(colours),
        "map_wide": Markup(tree_map(tree, colours, WIDE)),
        "map_narrow": Markup(tree_map(tree, colours, NARROW)),
        "levels": [_level(level) for level in health["levels"]],
        "usage": [Markup(usage(counts, level)) for level, counts in enumerate(used, 1)],
        "groups": Markup(group_sizes(histogram)),
        "use_note": _use_note(health),
        "measures": measures(health),
        "prefix_measures": prefix_measures(health),
        "lengths": [codes_in_words(length) for length in prefix_lengths(codes)],
        "shares": [Markup(plot) for plot in _share_plots(health)],
        "tree": tree[:SHOWN],
        "more": _more(tree),
        "children": CHILDREN,
        "colours": colours,
        "provenance": [(name, as_text(value)) for name, value in sorted(report.vocabulary.provenance.items())],
    }
    return render(HERE / "page.html.j2", content, (HERE / "sids.js").read_text(encoding="utf-8"))


def palette(categories: Sequence[str] | None) -> dict[str, int]:
    """A colour, from 1, for each of the categories with the most items."""
    counts = Counter(name for name in categories or () if name)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: colour for colour, name in enumerate(ranked[:COLOURS], 1)}


def origin(provenance: Mapping[str, Any]) -> str:
    """What made the IDs, in a sentence; nothing where that is unknown."""
    if "quantiser" in provenance:
        return (
            f"Fitted by {provenance['quantiser']} on {provenance.get('vectors', 'unknown')} vectors, seed "
            f"{provenance.get('seed', 0)}; colliding items are told apart by {provenance.get('collisions')}."
        )
    return f"Imported from {provenance['index']}." if "index" in provenance else ""


def _legend(colours: Mapping[str, int]) -> list[tuple[int, str]]:
    return [*((colour, name) for name, colour in colours.items()), (0, "others, or mixed")] if colours else []


def _level(level: Mapping[str, float]) -> dict[str, str]:
    return {
        "size": f"{level['size']:,}",
        "used": f"{level['used']:,}",
        "utilisation": f"{level['utilisation']:.1%}",
        "perplexity": f"{level['perplexity']:.1f}",
        "gini": f"{level['gini']:.3f}",
    }


def _use_note(health: JSON) -> str:
    if not (health.get("resolution") or {}).get("moved"):
        return ""
    return (
        "Table and groups show the codes before colliding items were told apart, map and items per code the IDs in use "
        f"({health['resolution']['moved']:,} items have other codes there)."
    )


def _share_plots(health: JSON) -> list[str]:
    plots = []
    if (near := health["neighbours"]) is not None:
        rows = [_bar(row["length"], row["shared"], row["chance"]) for row in near["prefixes"]]
        plots.append(shares(rows, "nearest neighbours with the same"))
    if (kinds := health["categories"]) is not None:
        rows = [_bar(row["length"], row["majority"], row["majority_chance"]) for row in kinds["prefixes"]]
        plots.append(shares(rows, "items of the majority category of their"))
        rows = [
            Bar(codes_in_words(row["length"]), row["mutual_information"], 0.0, f"{row['mutual_information']:.2f}")
            for row in kinds["prefixes"]
        ]
        plots.append(shares(rows, "adjusted mutual information with categories"))
    return plots


def _bar(length: int, value: float, chance: float) -> Bar:
    return Bar(codes_in_words(length), value, chance, f"{value:.1%}")


def _more(tree: Sequence[Node]) -> str:
    rest = tree[SHOWN:]
    return (
        f"{len(rest):,} smaller first codes with {sum(node.size for node in rest):,} items are not listed."
        if rest
        else ""
    )
