"""Building an index from packed rows, sorting included, beside the STATIC builder, whose rows come sorted."""

from __future__ import annotations

import statistics
import sys
from typing import Any

import torch

from agentrec.decoding.index.csr import StaticIndex
from agentrec.testing.decoding_rivals.static import StaticTrie
from decoding_bench.measure import catalogue, seconds, sorted_codes

SHAPES = ((256, 4), (256, 8), (2048, 4), (2048, 8))  # codes and levels; the last takes two words per row
SIZES = {"1m": 1_000_000, "10m": 10_000_000}
QUICK = {"1m": 20_000, "10m": 50_000}


def section(sizes: dict[str, int], repeats: int = 3) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds and memory of the slowest shape that packs a row into one word, and the values of all shapes."""
    torch.set_num_threads(1)
    StaticIndex.from_words(*catalogue(100, 256, 4))  # compiles
    table: dict[str, dict[str, float]] = {}
    for name, count in sizes.items():
        for codes, levels in SHAPES:
            print(f"build: {count} items, {levels} levels of {codes} codes", file=sys.stderr)
            table[f"{name}_{codes}x{levels}"] = _one(count, codes, levels, repeats)
    figures = {}
    for name in sizes:
        rows = [row for key, row in table.items() if key.startswith(f"{name}_") and row["words"] == 1]
        figures[f"build_{name}_s"] = max(row["seconds"] for row in rows)
        figures[f"megabytes_{name}"] = max(row["megabytes"] for row in rows)
    return figures, table


def _one(count: int, codes: int, levels: int, repeats: int) -> dict[str, float]:
    words, layout = catalogue(count, codes, levels)
    times = [seconds(lambda: StaticIndex.from_words(words, layout)) for _ in range(repeats)]
    index = StaticIndex.from_words(words, layout)
    rows = sorted_codes(words, layout)
    tries: list[StaticTrie] = []
    static = seconds(lambda: tries.append(StaticTrie.build(rows, codes)))
    return {
        "seconds": statistics.median(times),
        "megabytes": index.nbytes / 1e6,
        "words": layout.num_words,
        "static_seconds_without_sort": static,
        "static_megabytes": tries[0].nbytes / 1e6,
    }
