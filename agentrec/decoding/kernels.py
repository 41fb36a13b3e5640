"""The inner loops of constrained decoding on CPUs, compiled by numba. `agentrec.decoding.csr` says what they compute.

They take arrays and fill arrays, know no object of ours, and release the interpreter lock. The machine code is cached
on disk beside this file, or where ``NUMBA_CACHE_DIR`` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import require

require("numba", "train")

from numba import njit  # noqa: E402 - after the sentence that says which extra brings it

BLOCK_BITS = 6  # nodes that share one base of their offsets: 64
FITS, NAN = 0, 1


@njit(cache=True, nogil=True)
def radix_pass(keys: Any, order: Any, keys_out: Any, order_out: Any, shift: int) -> None:
    """Sort (keys, order) by eight bits of the keys, stably."""
    digit = np.uint64(shift)
    low = np.uint64(255)
    place = np.zeros(256, np.int64)
    for i in range(len(keys)):
        place[(keys[i] >> digit) & low] += 1
    total = 0
    for j in range(256):
        total, place[j] = total + place[j], total
    for i in range(len(keys)):
        bucket = (keys[i] >> digit) & low
        to = place[bucket]
        place[bucket] = to + 1
        keys_out[to] = keys[i]
        order_out[to] = order[i]


@njit(cache=True, nogil=True)
def parting_levels(words: Any, word: Any, shift: Any, parts: Any, counts: Any) -> None:
    """First level at which each sorted row differs from the row before, L for a duplicate; counts of each."""
    levels = len(word)
    for i in range(words.shape[1]):
        level = 0
        if i > 0:
            while level < levels:
                w, s = word[level], np.uint64(shift[level])
                if words[w, i] >> s != words[w, i - 1] >> s:
                    break
                level += 1
        parts[i] = level
        counts[level] += 1


@njit(cache=True, nogil=True)
def fill_levels(words: Any, layout: Any, parts: Any, place: Any, out: Any) -> None:
    """Edges and the first edge of every node, all levels one behind the other.

    Args:
        words: (W, N) sorted.
        layout: (3, L) word, shift and mask of each level.
        parts: (N,) from `parting_levels`.
        place: (2, L) where the edges of a level begin in ``tokens``, and its nodes in ``first``.
        out: codes of all edges; first edges of all nodes, without the closing entry of a level; written.
    """
    tokens, first = out
    levels = layout.shape[1]
    count = np.zeros(levels + 1, np.int64)
    for i in range(words.shape[1]):
        for level in range(parts[i], levels):
            edge = count[level]
            code = (words[layout[0, level], i] >> np.uint64(layout[1, level])) & np.uint64(layout[2, level])
            tokens[place[0, level] + edge] = code
            if level + 1 < levels:
                first[place[1, level + 1] + edge] = count[level + 1]
            count[level] = edge + 1


@njit(cache=True, nogil=True)
def block_offsets(first: Any, base: Any, small: Any) -> int:
    """Split ``first[p]`` into ``p + base[p >> 6] + small[p]``; the largest value of ``small``, which may not fit it."""
    largest = 0
    for p in range(len(first)):
        extra = first[p] - p
        if p & ((1 << BLOCK_BITS) - 1) == 0:
            base[p >> BLOCK_BITS] = extra
        rest = extra - base[p >> BLOCK_BITS]
        largest = max(largest, rest)
        small[p] = rest
    return largest


@njit(cache=True, nogil=True)
def most_children(first: Any) -> int:
    """Largest difference of neighbours."""
    most = 0
    for p in range(len(first) - 1):
        most = max(most, first[p + 1] - first[p])
    return most


@njit(cache=True, nogil=True)
def any_below(base: Any, small: Any, below: Any, above: Any) -> None:
    """Bits of nodes from bits of their children: set where any child's is."""
    for p in range(len(small) - 1):
        start = p + base[p >> BLOCK_BITS] + small[p]
        end = p + 1 + base[(p + 1) >> BLOCK_BITS] + small[p + 1]
        for e in range(start, end):
            if below[e >> 3] >> np.uint8(e & 7) & np.uint8(1):
                above[p >> 3] |= np.uint8(1) << np.uint8(p & 7)
                break


@njit(cache=True, nogil=True)
def gather_bits(bits: Any, places: Any, out: Any) -> None:
    """Packed bits at a list of places: out[i] = bits[places[i]]."""
    for byte in range(len(out)):
        packed = np.uint8(0)
        for e in range(8 * byte, min(8 * byte + 8, len(places))):
            at = places[e]
            packed |= (bits[at >> 3] >> np.uint8(at & 7) & np.uint8(1)) << np.uint8(e & 7)
        out[byte] = packed


@njit(cache=True, nogil=True, inline="always")
def _worse(score: Any, place: Any, other: Any, other_place: Any) -> bool:
    """Whether a candidate ranks behind another: by score, then by place."""
    behind: bool = score < other or (score == other and place > other_place)
    return behind


@njit(cache=True, nogil=True)
def _sink(scores: Any, places: Any, edges: Any, size: int) -> None:
    """Restore a heap, worst on top, whose top was replaced."""
    at = 0
    score, place, edge = scores[0], places[0], edges[0]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores[child + 1], places[child + 1], scores[child], places[child]):
            child += 1
        if not _worse(scores[child], places[child], score, place):
            break
        scores[at], places[at], edges[at] = scores[child], places[child], edges[child]
        at = child
    scores[at], places[at], edges[at] = score, place, edge


@njit(cache=True, nogil=True)
def best_children(rows: Any, beams: Any, lines: Any, trie: Any, out: Any) -> int:
    """The k best children of the beams of each row, best first.

    Args:
        rows: which batch rows.
        beams: states (B, M) int64, negative for dead beams; scores (B, M) float32.
        lines: log-probabilities (B, M, V) float32; where those of a code lie (K,).
        trie: tokens, base and small of the level; the item of every edge, empty above the last level; bits (E / 8,)
            uint8, which edges are allowed, empty for all; items (B, X) int64 that a row may not take.
        out: scores (B, k) float32, places (B, k) int64 (beam x K + code), edges (B, k) int64; written.

    Returns:
        ``NAN`` if a candidate was not a number.
    """
    states, scores = beams
    logprobs, columns = lines
    tokens, base, small, items, bits, barred = trie
    all_scores, all_places, all_edges = out
    k, num_codes = all_scores.shape[1], len(columns)
    for row in rows:
        heap, place_of, edge_of = all_scores[row], all_places[row], all_edges[row]
        heap[:] = -np.inf
        place_of[:] = np.iinfo(np.int64).max
        edge_of[:] = -1
        for beam in range(states.shape[1]):
            state, score = states[row, beam], scores[row, beam]
            if state < 0 or score == -np.inf:
                continue
            line = logprobs[row, beam]
            start = state + base[state >> BLOCK_BITS] + small[state]
            end = state + 1 + base[(state + 1) >> BLOCK_BITS] + small[state + 1]
            worst = heap[0]
            for edge in range(start, end):
                code = tokens[edge]
                value = score + line[columns[code]]
                if value < worst or value == -np.inf:
                    continue
                if value != value:
                    return NAN
                if len(bits) and not (bits[edge >> 3] >> np.uint8(edge & 7)) & np.uint8(1):
                    continue
                place = beam * num_codes + code
                if not _worse(worst, place_of[0], value, place):
                    continue
                taken = False
                for x in range(barred.shape[1]):
                    taken |= barred[row, x] == items[edge]
                if taken:
                    continue
                heap[0], place_of[0], edge_of[0] = value, place, edge
                _sink(heap, place_of, edge_of, k)
                worst = heap[0]
        for size in range(k - 1, 0, -1):
            heap[0], heap[size] = heap[size], heap[0]
            place_of[0], place_of[size] = place_of[size], place_of[0]
            edge_of[0], edge_of[size] = edge_of[size], edge_of[0]
            _sink(heap, place_of, edge_of, size)
    return FITS
