"""Timing in turn, and catalogues to time with."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agentrec.decoding.index.packing import Layout, Words, sorted_rows

TURN = 0.005  # seconds that a turn takes at least: short actions are repeated, and their mean is taken


def interleaved(actions: Mapping[Any, Callable[[int], Any]], repeats: int) -> dict[Any, list[float]]:
    """Seconds of every action, all of them in turn in every round, forwards and backwards.

    What disturbs the machine disturbs all of them alike. An action gets a number, to take other data each time.
    """
    times: dict[Any, list[float]] = {name: [] for name in actions}
    calls = {name: _calls(action) for name, action in actions.items()}
    for number in range(repeats):
        for name, action in list(actions.items())[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            for call in range(calls[name]):
                action(number + call)
            times[name].append((time.perf_counter() - start) / calls[name])
    return times


def _calls(action: Callable[[int], Any]) -> int:
    """Calls that fill a turn; the first one, which may compile, does not count."""
    action(0)
    once = seconds(lambda: action(1))
    return 1 if once >= TURN else math.ceil(TURN / once)


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def middle(times: Mapping[Any, list[float]]) -> dict[Any, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def ratio(times: Mapping[Any, list[float]], over: Any, under: Any) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def catalogue(num_items: int, size: int, levels: int, seed: int = 0) -> tuple[Words, Layout]:
    """Distinct random rows, packed (W, N), in random order; a few less than asked for where chance repeats a row."""
    layout = Layout.of((size,) * levels)
    rng = np.random.default_rng(seed)
    words = np.zeros((layout.num_words, num_items), np.uint64)
    for level in range(levels):
        codes = rng.integers(0, size, num_items, dtype=np.uint16).astype(np.uint64)
        words[layout.word[level]] |= codes << np.uint64(layout.shift[level])
    if layout.num_words == 1:
        words = rng.permutation(np.unique(words[0]))[None]
    return words, layout


def sorted_codes(words: Words, layout: Layout) -> np.ndarray:
    """Packed rows as sorted codes: (N, L) uint16."""
    placed, _ = sorted_rows(words, layout)
    found = np.empty((words.shape[1], len(layout.level_sizes)), np.uint16)
    for level in range(found.shape[1]):
        mask = np.uint64((1 << layout.bits[level]) - 1)
        found[:, level] = (placed[layout.word[level]] >> np.uint64(layout.shift[level])) & mask
    return found
