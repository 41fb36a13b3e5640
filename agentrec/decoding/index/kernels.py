"""The inner loops of building an index, compiled by numba. `agentrec.decoding.index.csr` says what they compute.

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
def fill_table(tokens: Any, base: Any, small: Any, items: Any, table: Any) -> None:
    """Next states by node and code, ``-1`` where there is none already: the edges themselves, or items behind them."""
    for p in range(len(table)):
        start = p + base[p >> BLOCK_BITS] + small[p]
        end = p + 1 + base[(p + 1) >> BLOCK_BITS] + small[p + 1]
        for e in range(start, end):
            table[p, tokens[e]] = items[e] if len(items) else e


@njit(cache=True, nogil=True)
def any_below(base: Any, small: Any, below: Any, above: Any) -> None:
    """Bits of nodes from bits of their children: set where any child's is.

    Nodes that share a base are passed over where none of their bytes has a bit; else nothing branches on a bit.
    """
    nodes = len(small) - 1
    for block in range(0, nodes, 1 << BLOCK_BITS):
        stop = min(block + (1 << BLOCK_BITS), nodes)
        end = block + base[block >> BLOCK_BITS] + small[block]
        last = stop + base[stop >> BLOCK_BITS] + small[stop]
        filled = np.uint8(0)
        for byte in range(end >> 3, (last + 7) >> 3):
            filled |= below[byte]
        if filled == 0:
            continue
        for p in range(block, stop):
            start, end = end, p + 1 + base[(p + 1) >> BLOCK_BITS] + small[p + 1]
            found = np.uint8(0)
            for e in range(start, end):
                found |= below[e >> 3] >> np.uint8(e & 7)
            above[p >> 3] |= (found & np.uint8(1)) << np.uint8(p & 7)


@njit(cache=True, nogil=True)
def gather_bits(bits: Any, places: Any, out: Any) -> None:
    """Packed bits at a list of places: out[i] = bits[places[i]]."""
    for byte in range(len(out)):
        packed = np.uint8(0)
        for e in range(8 * byte, min(8 * byte + 8, len(places))):
            at = places[e]
            packed |= (bits[at >> 3] >> np.uint8(at & 7) & np.uint8(1)) << np.uint8(e & 7)
        out[byte] = packed
