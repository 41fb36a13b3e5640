"""Speed and memory of constrained decoding beside its rivals, in one run; writes JSON and a picture.

    python scripts/bench_decoding.py                          all sections, about half an hour
    python scripts/bench_decoding.py --quick                  the same on small sizes, to see that it works
    python scripts/bench_decoding.py --sections search build  some of them
    python scripts/bench_decoding.py --threads 1,2 --out runs/bench/decoding.json

Sections: `search` is a whole constrained search of 16 rows and 50 beams without a model, on given random numbers,
against the published STATIC step (an independent write-up, as published and exact), Hugging Face's prefix function
over a dictionary trie, binary search, a hashed bitmap and a choice grammar. `build` builds indexes from packed rows.
`models` puts a model in front: the same search without constraint, and Hugging Face ``generate``. `device` times single
steps on a CUDA device, where there is one.

Rivals run in turn with ours, and figures are medians. `flat_in_items` and its like are the largest over four shapes;
they start from logits, as every search does, and `flat_in_items_given_logprobs` is the same without the normaliser.
`speedup_vs_static` is given log-probabilities; with `_from_logits` both start a step earlier. The JSON is also the last
line of the output.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from decoding_bench import build, device, models, plot, search

from agentrec.core.files import write_json
from agentrec.core.provenance import machine, versions

SECTIONS = ("search", "build", "models", "device")
BARS = {
    "flat_in_items": (1.3, "at most"),
    "speedup_vs_static": (4.0, "at least"),
    "speedup_vs_dict_trie": (100.0, "at least"),
    "speedup_vs_hf_generate": (50.0, "at least"),
    "speedup_vs_hf_generate_short": (12.0, "at least"),
    "same_ranking_as_hf_generate": (1.0, "at least"),
    "memory_vs_hf_generate": (0.2, "at most"),
    "overhead_vs_unconstrained": (0.05, "at most"),
    "build_1m_s": (0.1, "at most"),
    "build_10m_s": (2.0, "at most"),
    "megabytes_10m": (150.0, "at most"),
}


Found = tuple[dict[str, float], dict[str, Any]]  # figures by name, and what lies behind them


def run(section: str, threads: tuple[int, ...], *, quick: bool, thorough: bool) -> Found:
    if section == "search":
        return search.section(search.QUICK if quick else search.Sizes(), threads)
    if section == "build":
        return build.section(build.QUICK if quick else build.SIZES)
    if section == "device":
        return device.section(device.QUICK if quick else device.Sizes())
    sizes = models.QUICK if quick else models.THOROUGH if thorough else models.Sizes()
    return models.section(sizes, Path(__file__).resolve(), quick=quick)


def held(figures: dict[str, float]) -> dict[str, Any]:
    found = {}
    for name, (bar, side) in BARS.items():
        if name in figures:
            holds = figures[name] <= bar if side == "at most" else figures[name] >= bar
            found[name] = {"value": figures[name], "bar": bar, "holds": holds}
    return found


def rounded(value: Any) -> Any:
    """Four digits, at any depth."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--threads", default="1,2", help="for the search, the first one for the figures: 1,2")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--thorough", action="store_true", help="generate's long search with every model: much longer")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/decoding.json"))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(models.peak(models.QUICK if given.quick else models.Sizes(), *given.peak))
        return
    threads = tuple(int(count) for count in given.threads.split(","))
    figures: dict[str, float] = {}
    detail: dict[str, Any] = {}
    for section in given.sections:
        print(f"{section}: working", file=sys.stderr)
        found, detail[section] = run(section, threads, quick=given.quick, thorough=given.thorough)
        figures |= found
    made_on = {"machine": {**machine(), **versions()}, "threads": list(threads), "quick": given.quick}
    result = rounded({**figures, "bars": held(figures), "detail": detail, **made_on})
    write_json(given.out, result)
    plot.draw(result, given.out.with_suffix(".svg"))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
