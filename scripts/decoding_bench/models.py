"""Beam search with a model: the constraint's cost, and Hugging Face ``generate`` with a prefix function."""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.beam import beam_search
from agentrec.models.presets import build_generator
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.decoding_rivals.dict_trie import DictTrie
from agentrec.testing.decoding_rivals.free import Free
from agentrec.testing.generators import random_codes
from decoding_bench.measure import interleaved, middle, ratio

LEVELS = 4


class Sizes(NamedTuple):
    """What is measured."""

    models: tuple[str, ...] = ("qwen3-tiny", "qwen3-small")
    batch: int = 16
    prompts: tuple[int, ...] = (100, 400)
    beams: tuple[int, ...] = (20, 50, 200)
    codes: int = 256
    items: int = 20_000
    repeats: int = 5
    generate: tuple[tuple[int, int], ...] = ((100, 20), (400, 50))  # prompt and beams; the last with few models only
    long_models: tuple[str, ...] = ("qwen3-tiny",)


THOROUGH = Sizes(long_models=("qwen3-tiny", "qwen3-small"))
QUICK = Sizes(("qwen3-tiny",), 2, (10, 20), (4, 8), 16, 500, 2, ((10, 4), (20, 8)))


@dataclass(frozen=True)
class Scene:
    """A model, a catalogue and prompts."""

    model: Any
    prompts: torch.Tensor
    index: StaticIndex
    columns: list[torch.Tensor]
    tokens: np.ndarray  # (N, L) token ids of every item

    def ours(self, beams: int, constraint: Any = None) -> torch.Tensor:
        """Items (B, M)."""
        mask = torch.ones_like(self.prompts)
        return beam_search(
            self.model, self.prompts, mask, constraint or self.index, self.columns, num_beams=beams
        ).items

    def generate(self, beams: int, trie: DictTrie) -> torch.Tensor:
        """Token ids (B x M, L) by Hugging Face."""
        length = self.prompts.shape[1]
        found = self.model.generate(
            self.prompts,
            attention_mask=torch.ones_like(self.prompts),
            max_new_tokens=LEVELS,
            num_beams=beams,
            num_return_sequences=beams,
            do_sample=False,
            length_penalty=0.0,
            eos_token_id=None,
            prefix_allowed_tokens_fn=trie.prefix_function(length),
        )
        return found[:, length:]


def scene(sizes: Sizes, name: str, length: int) -> Scene:
    shape = (sizes.codes,) * LEVELS
    codes = random_codes(sizes.items, shape)
    vocabulary = SIDVocabulary(codes, shape)
    model, tokenizer = build_generator(name, vocabulary.all_tokens, seed=0)
    rng = np.random.default_rng(0)
    prompts = torch.from_numpy(rng.integers(5, len(tokenizer), (sizes.batch, length)))
    columns = [torch.from_numpy(row) for row in vocabulary.token_ids(tokenizer)]
    return Scene(model.eval(), prompts, StaticIndex.build(codes, shape), columns, vocabulary.item_token_ids(tokenizer))


def overhead(sizes: Sizes) -> dict[str, dict[str, float]]:
    """Seconds with the index and with nothing but a top-k over all codes, by model, prompt and beams."""
    table = {}
    for name, length in itertools.product(sizes.models, sizes.prompts):
        here = scene(sizes, name, length)
        free = Free(here.index.level_sizes)
        for beams in sizes.beams:
            print(f"models: {name}, {length} tokens, {beams} beams", file=sys.stderr)
            pair: dict[str, Callable[[int], Any]] = {
                "constrained": lambda _, here=here, beams=beams: here.ours(beams),
                "free": lambda _, here=here, beams=beams, free=free: here.ours(beams, free),
            }
            times = interleaved(pair, sizes.repeats)
            more = ratio(times, "constrained", "free") - 1
            table[f"{name}_{length}x{beams}"] = {**middle(times), "overhead": more}
    return table


def against_generate(sizes: Sizes) -> dict[str, dict[str, float]]:
    """Seconds of both, the median ratio, and the share of places where both rank the same item."""
    table = {}
    for name, (length, beams) in itertools.product(sizes.models, sizes.generate):
        if (length, beams) == sizes.generate[-1] and name not in sizes.long_models:
            continue
        print(f"models: {name}, {length} tokens, {beams} beams, Hugging Face generate", file=sys.stderr)
        here = scene(sizes, name, length)
        trie = DictTrie(here.tokens, here.model.config.vocab_size)
        ours, theirs, same = [], [], 1.0
        here.ours(beams)
        for _ in range(1 if length == max(sizes.prompts) else 3):
            start = time.perf_counter()
            items = here.ours(beams)
            middle_of_round = time.perf_counter()
            tokens = here.generate(beams, trie)
            ours.append(middle_of_round - start)
            theirs.append(time.perf_counter() - middle_of_round)
            expected = torch.from_numpy(here.tokens)[items.flatten()]
            same = min(same, (tokens == expected).all(dim=1).float().mean().item())
        table[f"{name}_{length}x{beams}"] = {
            "ours": statistics.median(ours),
            "generate": statistics.median(theirs),
            "speedup": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
            "same_ranking": same,
        }
    return table


def peak(sizes: Sizes, way: str, name: str) -> float:
    """In a process of its own: megabytes that a search takes above the loaded model, at its peak.

    A small search comes first, so that libraries and compiled code are loaded; then the kernel's mark of the largest
    memory is reset, and read again after the search.
    """
    length, beams = sizes.generate[-1]
    here = scene(sizes, name, length)
    trie = DictTrie(here.tokens, here.model.config.vocab_size)
    run = (
        (lambda scene, beams: scene.ours(beams))
        if way == "ours"
        else (lambda scene, beams: scene.generate(beams, trie))
    )
    run(replace(here, prompts=here.prompts[:1, :8]), 2)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    run(here, beams)
    return _memory("VmHWM") - before


def _memory(field: str) -> float:
    """Megabytes, from Linux's account of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def memory(script: Path, name: str, *, quick: bool) -> dict[str, float]:
    """Peaks of both, each in a fresh process with one thread."""
    found = {}
    for way in ("ours", "generate"):
        command = [sys.executable, str(script), "--peak", way, name, *(["--quick"] if quick else [])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        found[f"{way}_megabytes"] = float(json.loads(done.stdout.splitlines()[-1]))
    return {**found, "share": found["ours_megabytes"] / found["generate_megabytes"]}


def section(sizes: Sizes, script: Path, *, quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures by name, and what lies behind them."""
    torch.set_num_threads(1)
    costs, speedups = overhead(sizes), against_generate(sizes)
    peaks = {name: memory(script, name, quick=quick) for name in sizes.long_models}
    first, last = ("x".join(map(str, shape)) for shape in sizes.generate)
    figures = {
        "overhead_vs_unconstrained": statistics.median(row["overhead"] for row in costs.values()),
        "overhead_vs_unconstrained_worst": max(row["overhead"] for row in costs.values()),
        "speedup_vs_hf_generate": min(speedups[f"{name}_{last}"]["speedup"] for name in sizes.long_models),
        "speedup_vs_hf_generate_short": min(speedups[f"{name}_{first}"]["speedup"] for name in sizes.models),
        "same_ranking_as_hf_generate": min(row["same_ranking"] for row in speedups.values()),
        "memory_vs_hf_generate": max(row["share"] for row in peaks.values()),
    }
    return figures, {"overhead": costs, "generate": speedups, "memory": peaks}
