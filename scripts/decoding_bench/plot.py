"""The picture: time of a search by number of items, and searches with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {
    "ours": "this index",
    "ours_plain_torch": "this index, plain torch",
    "static": "STATIC as published (not exact)",
    "static_exact": "STATIC, all codes",
    "dict_trie": "dictionary trie",
    "binary_search": "binary search",
    "bitmap": "hashed bitmap (not exact)",
}


def draw(result: dict[str, Any], file: Path) -> None:
    """Write an SVG file of what the result holds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    detail = result["detail"]
    panels = [panel for panel, key in ((_search, "search"), (_models, "models")) if key in detail]
    if not panels:
        return
    figure, axes = pyplot.subplots(1, len(panels), figsize=(6.4 * len(panels), 4.6), squeeze=False)
    for panel, axis in zip(panels, axes[0], strict=True):
        panel(axis, detail)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


def _search(axis: Any, detail: dict[str, Any]) -> None:
    shape, row = _four_levels(detail)
    lines: dict[str, dict[int, float]] = {}
    for key, value in row.items():
        name, _, items = key.rpartition("_")
        lines.setdefault(name, {})[int(items)] = value
    for name, points in detail["search"]["others_ms"].items():
        if name in NAMES:
            lines[name] = {int(items): value for items, value in points.items()}
    for name, label in NAMES.items():
        if name in lines:
            axis.plot(*zip(*sorted(lines[name].items()), strict=True), marker="o", label=label)
    axis.set(xscale="log", yscale="log", xlabel="items", ylabel="milliseconds per search")
    axis.set_title(f"constrained search without a model, 4 levels of {shape} codes")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _four_levels(detail: dict[str, Any]) -> tuple[int, dict[str, float]]:
    """Four levels of the largest codebook on the first number of threads, which the other rivals were run on."""
    rows = {}
    for key, row in detail["search"]["milliseconds"].items():
        shape, threads = key.split("_")[:2]
        codes, levels = (int(part) for part in shape.split("x"))
        if levels == 4:
            rows[codes, -int(threads)] = row
    best = max(rows)
    return best[0], rows[best]


def _models(axis: Any, detail: dict[str, Any]) -> None:
    rows = detail["models"]["generate"]
    free = detail["models"]["overhead"]
    places = range(len(rows))
    bars = {
        "this search": [row["ours"] for row in rows.values()],
        "this search without constraint": [free[key]["free"] for key in rows],
        "generate with a prefix function": [row["generate"] for row in rows.values()],
    }
    for number, (label, values) in enumerate(bars.items()):
        axis.bar([place + 0.27 * (number - 1) for place in places], values, width=0.25, label=label)
    axis.set_xticks(list(places), [key.replace("_", "\n") for key in rows], fontsize=8)
    axis.set(yscale="log", ylabel="seconds")
    axis.set_title("with a model: prompt tokens x beams")
    axis.legend(fontsize=8)
