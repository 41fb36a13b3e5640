"""Speed, memory and error of quantisers, beside faiss in the same run; prints one JSON object as the last line.

    python scripts/bench_sids.py                      1,000,000 vectors of 64 dimensions, 4 levels of 256 codes
    python scripts/bench_sids.py --size 100000        fewer vectors
    python scripts/bench_sids.py --only rq_kmeans faiss

The vectors are clustered: 2,000 centres in a space of 24 directions, with noise in all 64. Every quantiser fits and
encodes in a process of its own, with one thread; its memory is the peak of that process. faiss is
`faiss.ResidualQuantizer` with a beam of 1, which assigns as ours does (its default of 5 is slower and larger).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.core.provenance import machine, versions

ROOT = Path(__file__).resolve().parents[1]
DIMENSION, LEVELS, CODES = 64, 4, 256
QUANTISERS = ("rq_kmeans", "rq_gmm", "faiss")


def vectors(size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = (rng.normal(size=(2000, 24)) @ rng.normal(size=(24, DIMENSION)) / np.sqrt(24)).astype(np.float32)
    table = centres[rng.integers(2000, size=size)]
    for start in range(0, size, 100_000):
        table[start : start + 100_000] += 0.3 * rng.normal(size=table[start : start + 100_000].shape)
    return table


def with_ours(name: str, table: np.ndarray) -> tuple[np.ndarray, Any]:
    from agentrec.core.config import from_mapping
    from agentrec.core.registry import Registry

    module = Registry("agentrec.semantic_ids").module(name)
    quantiser = module.METHOD(from_mapping(module.Config, {"num_levels": LEVELS, "codebook_size": CODES}))
    quantiser.fit(table)
    return quantiser.encode(table), quantiser.decode


def with_faiss(table: np.ndarray) -> tuple[np.ndarray, Any]:
    import faiss

    faiss.omp_set_num_threads(1)
    quantiser = faiss.ResidualQuantizer(DIMENSION, LEVELS, int(np.log2(CODES)))
    quantiser.max_beam_size = 1
    quantiser.train(table)
    codes = quantiser.compute_codes(table)
    return codes.astype(np.int64), lambda wanted: quantiser.decode(np.ascontiguousarray(wanted.astype(np.uint8)))


def work(name: str, size: int) -> dict[str, Any]:
    table = vectors(size)
    start = time.perf_counter()
    codes, decode = with_faiss(table) if name == "faiss" else with_ours(name, table)
    elapsed = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    error, spread = 0.0, ((table - table.mean(axis=0)) ** 2).sum(dtype=np.float64)
    for first in range(0, size, 100_000):
        part = slice(first, first + 100_000)
        error += float(((table[part] - decode(codes[part])) ** 2).sum(dtype=np.float64))
    counts = [np.bincount(column, minlength=CODES) / size for column in codes.T]
    return {
        "seconds": round(elapsed, 2),
        "peak_gib": round(peak, 3),
        "peak_over_input": round(peak * 2**30 / table.nbytes, 2),
        "relative_error": round(error / spread, 4),
        "collision_rate": round(1 - len(np.unique(codes, axis=0)) / size, 4),
        "perplexity": [round(float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum())), 1) for p in counts],
    }


def in_a_process(name: str, size: int) -> dict[str, Any]:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--work", name, "--size", str(size)],
        capture_output=True,
        text=True,
        env={**os.environ, **threads, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-500:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", choices=QUANTISERS, default=list(QUANTISERS))
    parser.add_argument("--work", choices=QUANTISERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.size)))
        return
    found = {name: in_a_process(name, options.size) for name in options.only}
    ratios = {}
    for first, second, key in (
        ("rq_kmeans", "faiss", "rq_kmeans_{}_vs_faiss"),
        ("rq_gmm", "rq_kmeans", "rq_gmm_{}_vs_rq_kmeans"),
    ):
        if all("seconds" in found.get(name, {}) for name in (first, second)):
            ratios[key.format("time")] = round(found[first]["seconds"] / found[second]["seconds"], 3)
            ratios[key.format("error")] = round(found[first]["relative_error"] / found[second]["relative_error"], 3)
    shape = {"size": options.size, "dimension": DIMENSION, "levels": LEVELS, "codes": CODES}
    print(json.dumps({**ratios, "quantisers": found, **shape, "machine": machine(), "versions": versions()}))


if __name__ == "__main__":
    main()
