"""Constraint sets as bits over one index, against an index per set, in one run; the last line is one JSON object.

    python scripts/bench_sets.py                      1,000,000 items, 4 levels of 256 codes, 16 x 50 beams
    python scripts/bench_sets.py --items 100000       fewer items
    python scripts/bench_sets.py --repeat 50          more runs of each search; the fastest counts

A search is all levels without the model, on one thread, with the same random log-probabilities for both; both find the
same items, or the run fails. Sets are drawn at random; ``category`` is one first code, as a category of a shop is.
An index per set is built from packed words (``from_words``), the faster of its ways. ``mixed`` is a batch whose 16 rows
have a set each, over a batch with one set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from agentrec.core.provenance import machine, versions
from agentrec.decoding.children.candidates import Frontier, best
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.packing import Layout
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.sets.subset import Subset

LEVELS, CODES, ROWS, BEAMS = 4, 256, 16, 50
SHARES = (0.5, 0.05, 0.01, 0.001)


def fastest(call: Callable[[], Any], repeat: int) -> float:
    """Milliseconds of the fastest run but the first."""
    call()
    found = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return 1e3 * min(found)


def catalogue(size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    numbers = np.unique(rng.integers(0, CODES**LEVELS, int(size * 1.02) + 10))
    numbers = rng.permutation(numbers)[:size]
    return np.stack([numbers >> 8 * level & 255 for level in reversed(range(LEVELS))], axis=1)


def search(constraint: Any, lines: list[torch.Tensor]) -> torch.Tensor:
    beams = Frontier(0, torch.zeros(ROWS, 1, dtype=torch.long), torch.zeros(ROWS, 1))
    for level, line in enumerate(lines):
        found = best(constraint, beams, line, BEAMS)
        beams = Frontier(level + 1, found.states, found.scores)
    return beams.states


def compared(index: StaticIndex, words: np.ndarray, mask: np.ndarray, lines: Any, repeat: int) -> dict[str, Any]:
    layout, rows = Layout.of(index.level_sizes), np.flatnonzero(mask)
    subset, own = Subset.build(index, mask), StaticIndex.from_words(words[:, rows], layout, rows)
    if not torch.equal(search(subset, lines), search(own, lines)):
        raise SystemExit("the two ways found other items; expected the same")
    few = max(3, repeat // 5)
    times = {
        "bits_build_ms": fastest(lambda: Subset.build(index, mask), few),
        "index_build_ms": fastest(lambda: StaticIndex.from_words(words[:, rows], layout, rows), few),
        "bits_search_ms": fastest(lambda: search(subset, lines), repeat),
        "index_search_ms": fastest(lambda: search(own, lines), repeat),
    }
    return {
        "items": len(rows),
        **{name: round(value, 3) for name, value in times.items()},
        "search_ratio": round(times["bits_search_ms"] / times["index_search_ms"], 2),
        "bits_bytes": subset.nbytes,
        "index_bytes": own.nbytes,
    }


def algebra(index: StaticIndex, repeat: int) -> dict[str, float]:
    rng, size = np.random.default_rng(2), index.num_items
    sets = ConstraintSets(index)
    masks = {name: rng.random(size) < share for name, share in (("in_stock", 0.8), ("fresh", 0.1), ("seen", 0.001))}
    for name, mask in masks.items():
        sets.put(name, mask)
    few = max(3, repeat // 5)

    def anew() -> None:
        sets.put("seen", masks["seen"])
        sets.get("in_stock & fresh - seen")

    return {
        "replace_and_combine_ms": round(fastest(anew, few), 3),
        "known_expression_us": round(1e3 * fastest(lambda: sets.get("in_stock & fresh - seen"), 10 * few), 2),
    }


def rows_apart(index: StaticIndex, lines: Any, repeat: int) -> dict[str, float]:
    rng = np.random.default_rng(3)
    sets = [Subset.build(index, rng.random(index.num_items) < 0.2) for _ in range(ROWS)]
    one = fastest(lambda: search(sets[0], lines), repeat)
    ratios = {}
    for count in (1, 4, ROWS):
        mixed = PerRow([sets[row % count] for row in range(ROWS)])
        ratios[f"{count}_sets"] = fastest(partial(search, mixed, lines), repeat) / one
    return {"one_set_ms": round(one, 3), **{name: round(value, 2) for name, value in ratios.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    codes = catalogue(options.items)
    sizes = (CODES,) * LEVELS
    words = np.atleast_2d(Layout.of(sizes).pack(codes))
    index = StaticIndex.from_words(words.copy(), Layout.of(sizes))  # its sort works in place
    rng = np.random.default_rng(1)
    shapes = [(ROWS, BEAMS if level else 1, CODES) for level in range(LEVELS)]
    lines = [torch.from_numpy(rng.normal(size=shape).astype(np.float32)).log_softmax(-1) for shape in shapes]
    masks = {str(share): rng.random(len(codes)) < share for share in SHARES} | {"category": codes[:, 0] == 7}
    found = {name: compared(index, words, mask, lines, options.repeat) for name, mask in masks.items()}
    print(
        json.dumps(
            {
                "whole_catalogue_search_ms": round(fastest(lambda: search(index, lines), options.repeat), 3),
                "whole_catalogue_bytes": index.nbytes,
                "sets": found,
                "algebra": algebra(index, options.repeat),
                "mixed": rows_apart(index, lines, options.repeat),
                "shape": {"items": len(codes), "levels": LEVELS, "codes": CODES, "rows": ROWS, "beams": BEAMS},
                "machine": machine(),
                "versions": versions(),
            }
        )
    )


if __name__ == "__main__":
    main()
