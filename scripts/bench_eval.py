"""Speed and memory of scoring lists, beside ranx in the same run; prints one JSON object as the last line.

    python scripts/bench_eval.py                      all sections: a million users, minutes
    python scripts/bench_eval.py --quick              the same on small sizes, to see that it works
    python scripts/bench_eval.py --only score ranx    some of them
    python scripts/bench_eval.py --from-file          also from a Parquet file of predictions

Sections: `score` puts 1,000,000 lists of 100 items through every ranking metric at six cut-offs, and coverage, Gini
index and novelty at four. `ranx` scores the same lists with ranx on sizes that it can hold; building its structures is
timed apart from scoring, and it may use all cores that numba finds, while ours uses one. Ranx takes ids as text in
dictionaries, ours takes arrays of indexes: what it costs to get there from a file is the section `file`, which reads,
checks and scores a Parquet file of lists. `list` is a cold `agentrec eval list`. Every size runs in a process of its
own, whose peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.core.provenance import machine, versions

ROOT = Path(__file__).resolve().parents[1]
KS = (1, 5, 10, 20, 50, 100)
RANKING = [f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in KS]
BEYOND = [f"{name}@{k}" for name in ("coverage", "gini", "novelty") for k in (10, 20, 50, 100)]
LENGTH = 100
NUM_ITEMS = 100_003  # a prime, so that equal strides never meet an item twice
SIZES = {"score": [1_000_000], "ranx": [20_000, 100_000], "file": [1_000_000]}
QUICK = {"score": [20_000], "ranx": [2_000], "file": [5_000]}
BARS = {
    "score_seconds": (60.0, "at most"),
    "score_peak_gib": (4.0, "at most"),
    "eval_list_seconds": (1.0, "at most"),
}


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def predictions(users: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of distinct items (U, 100) int64 and targets (U,) int64, of which about three in ten are found."""
    rng = np.random.default_rng(0)
    start, stride = rng.integers(0, NUM_ITEMS, users), rng.integers(1, NUM_ITEMS, users)
    items = np.empty((users, LENGTH), np.int64)
    for place in range(LENGTH):
        items[:, place] = (start + place * stride) % NUM_ITEMS
    found = items[np.arange(users), np.minimum(rng.geometric(0.05, users) - 1, LENGTH - 1)]
    return items, np.where(rng.random(users) < 0.3, found, rng.integers(0, NUM_ITEMS, users))


def training_counts() -> np.ndarray:
    """How often each item occurs in training: (N,) int64, a long tail."""
    return np.bincount(np.random.default_rng(1).zipf(1.3, 10**6) % NUM_ITEMS, minlength=NUM_ITEMS)


def score_all(items: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """Every metric of the section `score`, as a mean over users or as a total."""
    from agentrec.metrics.diversity import coverage, gini
    from agentrec.metrics.novelty import novelty
    from agentrec.metrics.ranking import ranking_scores, target_ranks

    means = {name: float(values.mean()) for name, values in ranking_scores(target_ranks(items, targets), KS).items()}
    for name in BEYOND:
        family, _, k = name.partition("@")
        if family == "novelty":
            means[name] = float(novelty(items, counts, int(k)).mean())
        else:
            means[name] = {"coverage": coverage, "gini": gini}[family](items[:, : int(k)], NUM_ITEMS)
    return means


def work_score(users: int) -> dict[str, float]:
    """In a process of its own: seconds, peak memory and users per second."""
    items, targets = predictions(users)
    counts = training_counts()
    score_all(items[:10], targets[:10], counts)  # imports
    taken = seconds(lambda: score_all(items, targets, counts))
    return {"score_seconds": taken, "score_peak_gib": peak_gib(), "score_users_per_second": users / taken}


def work_ranx(users: int, repeats: int = 3) -> dict[str, float]:
    """In a process of its own: both sides in turn, on the same lists and the same eighteen metrics."""
    warnings.simplefilter("ignore")
    import numba
    import ranx

    from agentrec.metrics.ranking import ranking_scores, target_ranks

    def build(items: np.ndarray, targets: np.ndarray) -> tuple[Any, Any, float, float]:
        began = time.perf_counter()
        scores = [float(-place) for place in range(LENGTH)]
        names = [f"i{item}" for item in range(NUM_ITEMS)]
        run = {f"u{user}": dict(zip([names[i] for i in row], scores)) for user, row in enumerate(items.tolist())}  # noqa: B905
        wanted = {f"u{user}": {names[target]: 1} for user, target in enumerate(targets.tolist())}
        dictionaries = time.perf_counter() - began
        return ranx.Qrels.from_dict(wanted), ranx.Run.from_dict(run), dictionaries, time.perf_counter() - began

    def ours() -> dict[str, float]:
        scores = ranking_scores(target_ranks(items, targets), KS)
        return {name: float(values.mean()) for name, values in scores.items()}

    few, one_each = predictions(50)
    ranx.evaluate(*build(few, one_each)[:2], RANKING)  # compiles
    items, targets = predictions(users)
    qrels, run, dictionaries, built = build(items, targets)
    theirs = ranx.evaluate(qrels, run, RANKING)
    apart = max(abs(theirs[name] - value) for name, value in ours().items())
    pairs = [(seconds(ours), seconds(lambda: ranx.evaluate(qrels, run, RANKING))) for _ in range(repeats)]
    return {
        "users_per_second": statistics.median(users / own for own, _ in pairs),
        "users_per_second_ranx": statistics.median(users / peer for _, peer in pairs),
        "users_per_second_ranx_with_structures": statistics.median(users / (built + peer) for _, peer in pairs),
        "ranx_dictionaries_seconds": dictionaries,
        "ranx_structures_seconds": built - dictionaries,
        "ranx_threads": numba.get_num_threads(),
        "ranx_process_peak_gib": peak_gib(),
        "ranx_ratio": statistics.median(peer / own for own, peer in pairs),
        "ranx_ratio_with_structures": statistics.median((built + peer) / own for own, peer in pairs),
        "ranx_largest_difference": apart,
    }


def work_write(users: int, path: str) -> dict[str, float]:
    """Write the lists as a Parquet file: one row per user, with a list of items."""
    import pyarrow as pa
    import pyarrow.parquet

    items, _ = predictions(users)
    fields = pa.schema([("user", pa.int64()), ("items", pa.list_(pa.int64()))])
    with pyarrow.parquet.ParquetWriter(path, fields) as file:
        for start in range(0, users, 50_000):
            block = items[start : start + 50_000]
            offsets = pa.array(np.arange(len(block) + 1, dtype=np.int32) * LENGTH)
            lists = pa.ListArray.from_arrays(offsets, pa.array(block.ravel()))
            file.write_table(pa.table([pa.array(np.arange(start, start + len(block))), lists], fields))
    return {"file_mib": Path(path).stat().st_size / 2**20}


def work_file(users: int, path: str) -> dict[str, float]:
    """In a process of its own: read and check the file as a recommender, ask it for every list, score them."""
    from agentrec.core.types import Catalogue, Histories
    from agentrec.data.dataset import Dataset, Interactions
    from agentrec.evaluation.adapters.predictions import PredictionsFile

    targets, counts = predictions(users)[1], training_counts()
    empty = np.zeros(0, np.int64)
    ids = tuple(str(item) for item in range(NUM_ITEMS))
    dataset = Dataset("bench", [str(user) for user in range(users)], Catalogue(ids), Interactions(empty, empty, empty))
    who = np.arange(users)
    histories = Histories(who, np.zeros(users + 1, np.int64), empty)
    began = time.perf_counter()
    file = PredictionsFile.read(path, dataset, users=who)
    read = time.perf_counter() - began
    items = np.empty((users, LENGTH), np.int64)
    for start in range(0, users, 10_000):
        rows = slice(start, start + 10_000)
        items[rows] = file.recommend(histories.take(rows), LENGTH).items
    score_all(items, targets, counts)
    return {
        "file_read_seconds": read,
        "file_seconds": time.perf_counter() - began,
        "file_peak_gib": peak_gib(),
    }


WORK: dict[str, Callable[..., dict[str, float]]] = {
    "score": work_score,
    "ranx": work_ranx,
    "write": work_write,
    "file": work_file,
}


def in_process(work: str, users: int, *more: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--work", work, str(users), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def bench_score(sizes: dict[str, list[int]]) -> dict[str, float]:
    return {"score_users": sizes["score"][0], **in_process("score", sizes["score"][0])}


def bench_ranx(sizes: dict[str, list[int]]) -> dict[str, float]:
    """Figures by size, such as ``ranx_ratio_20000_users``."""
    return {
        f"{name}_{users}_users": value for users in sizes["ranx"] for name, value in in_process("ranx", users).items()
    }


def bench_list(sizes: dict[str, list[int]]) -> dict[str, float]:
    """`agentrec eval list` in a fresh interpreter, its median of five."""
    command = [sys.executable, "-m", "agentrec", "eval", "list"]
    run = lambda: subprocess.run(command, check=True, capture_output=True, cwd=ROOT)  # noqa: E731
    run()
    return {"eval_list_seconds": statistics.median(seconds(run) for _ in range(5))}


def bench_file(sizes: dict[str, list[int]]) -> dict[str, float]:
    users = sizes["file"][0]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/predictions.parquet"
        return {"file_users": users, **in_process("write", users, path), **in_process("file", users, path)}


SECTIONS: dict[str, Callable[[dict[str, list[int]]], dict[str, float]]] = {
    "list": bench_list,
    "score": bench_score,
    "ranx": bench_ranx,
    "file": bench_file,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=["list", "score", "ranx"])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--from-file", action="store_true", help="also read the lists from a Parquet file")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        name, users, *more = given.work
        print(json.dumps(WORK[name](int(users), *more)))
        return
    figures: dict[str, float] = {}
    for name in dict.fromkeys([*given.only, *(["file"] if given.from_file else [])]):
        print(f"{name}: working", file=sys.stderr)
        found = SECTIONS[name](QUICK if given.quick else SIZES)
        figures |= {key: value if value < 1e-6 else round(value, 4) for key, value in found.items()}
    bars = {}
    for name, (bar, _) in BARS.items():
        if name in figures:
            bars[name] = {"value": figures[name], "bar": bar, "holds": figures[name] <= bar}
    made_on = {**machine(), **versions()}
    print(json.dumps({"machine": made_on, "quick": given.quick, "figures": figures, "bars": bars}, sort_keys=True))


if __name__ == "__main__":
    main()
