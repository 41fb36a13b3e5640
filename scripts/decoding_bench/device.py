"""Steps on a CUDA device: microseconds of the constrained top-k against the top-k of all codes."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from agentrec.decoding.children.candidates import Frontier
from agentrec.decoding.index.csr import StaticIndex
from agentrec.testing.decoding_rivals.free import Free
from decoding_bench.measure import catalogue

LEVELS = 4


class Sizes(NamedTuple):
    """What is measured."""

    shapes: tuple[tuple[int, int], ...] = ((2, 70), (64, 50))  # batch and beams
    codes: int = 2048
    items: tuple[int, ...] = (10_000, 1_000_000, 20_000_000)
    repeats: int = 100


QUICK = Sizes(((2, 8),), 64, (1_000,), 5)


def section(sizes: Sizes) -> tuple[dict[str, float], dict[str, Any]]:
    """Microseconds per step by shape, items and level; nothing, and the reason, without a device."""
    if not torch.cuda.is_available():
        return {}, {"skipped": "no CUDA device here; run the section `device` on a machine that has one"}
    table: dict[str, dict[str, float]] = {}
    for count in sizes.items:
        print(f"device: {count} items", file=sys.stderr)
        words, layout = catalogue(count, sizes.codes, LEVELS)
        index = StaticIndex.from_words(words, layout).to("cuda")
        for batch, beams in sizes.shapes:
            table |= _levels(sizes, index, (batch, beams), count)
    return {}, {"microseconds": table, "name": torch.cuda.get_device_name()}


def _levels(sizes: Sizes, index: StaticIndex, shape: tuple[int, int], count: int) -> dict[str, dict[str, float]]:
    batch, beams = shape
    logprobs = torch.randn(batch, beams, sizes.codes, device="cuda").log_softmax(-1)
    free = Free(index.level_sizes)
    states, scores = torch.zeros(batch, 1, dtype=torch.long, device="cuda"), torch.zeros(batch, 1, device="cuda")
    rows = {}
    for level in range(LEVELS):
        line, frontier = logprobs[:, : states.shape[1]].contiguous(), Frontier(level, states, scores)
        steps: dict[str, Callable[[], Any]] = {
            "constrained": lambda line=line, frontier=frontier: index.top_candidates(frontier, line, beams),
            "free": lambda line=line, frontier=frontier: free.top_candidates(frontier, line, beams),
        }
        rows[f"{batch}x{beams}_{count}_level_{level}"] = {
            **{name: _microseconds(step, sizes.repeats) for name, step in steps.items()},
            **{f"{name}_graph": _microseconds(_captured(step), sizes.repeats) for name, step in steps.items()},
        }
        found = steps["constrained"]()
        states, scores = found.states, found.scores
    return rows


def _captured(step: Callable[[], Any]) -> Callable[[], None]:
    """The step as a CUDA graph, without the cost of launching its kernels one by one."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _microseconds(step: Callable[[], Any], repeats: int) -> float:
    """Median, by events of the device."""
    for _ in range(3):
        step()
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in pairs:
        start.record()
        step()
        end.record()
    torch.cuda.synchronize()
    return 1e3 * statistics.median(start.elapsed_time(end) for start, end in pairs)
