"""The inner loops of `agentrec.decoding.stepping`, compiled by numba.

They know an output by its row of ``state``: at which level of an item it stands (or in free text, or at the end, which
is level L), behind which node, how many items it has of how many that are wanted, how much text it has of how much it
may have, and its marker. ``paths`` holds the edges of the items so far. ``table`` is `TokenLayout.table`, ``bits`` are
those of a `Subset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import require

require("numba", "train")

from numba import njit  # noqa: E402 - after the sentence that says which extra brings it

LEVEL, NODE, COUNT, WANTED, WRITTEN, MOST_TEXT, MARKER = range(7)
FIELDS = 7
TEXT = -1  # the level of free text


@njit(cache=True, nogil=True)
def _has(bits: Any, place: int) -> bool:
    found: bool = (bits[place >> 3] >> np.uint8(place & 7)) & np.uint8(1) == 1
    return found


@njit(cache=True, nogil=True)
def _closed(edge: int, level: int, path: Any, table: Any, bits: Any) -> bool:
    """Whether all allowed items behind an edge are written: path (count, L)."""
    behind = 0
    for j in range(len(path)):
        behind += path[j, level] == edge
    if behind == 0:
        return False
    _, first, _, node_at = table
    low, high = edge, edge + 1
    for below in range(level + 1, path.shape[1]):
        low, high = first[node_at[below] + low], first[node_at[below] + high]
    for leaf in range(low, high):
        if _has(bits[path.shape[1] - 1], leaf):
            behind -= 1
            if behind < 0:
                return False
    return True


@njit(cache=True, nogil=True)
def advance(slots: Any, tokens: Any, outputs: Any, table: Any, bits: Any) -> None:
    """Move outputs, ``(state, paths)``, on by one token each; one that is not allowed ends its output."""
    state, paths = outputs
    edge_tokens, first, edge_at, node_at = table
    levels = paths.shape[2]
    for i in range(len(slots)):
        own = state[slots[i]]
        level = own[LEVEL]
        if level == TEXT:
            if tokens[i] == own[MARKER]:
                own[LEVEL] = 0
            else:
                own[WRITTEN] += 1
            continue
        if level == levels:
            continue
        path = paths[slots[i], : max(0, own[COUNT])]
        begin, end = first[node_at[level] + own[NODE]], first[node_at[level] + own[NODE] + 1]
        own[LEVEL] = levels
        for edge in range(begin, end):
            if edge_tokens[edge_at[level] + edge] != tokens[i]:
                continue
            unique = own[WANTED] >= 0
            if not _has(bits[level], edge) or (unique and _closed(edge, level, path, table, bits)):
                break
            if unique:
                paths[slots[i], own[COUNT], level] = edge
            if level < levels - 1:
                own[LEVEL], own[NODE] = level + 1, edge
            else:
                own[NODE] = 0
                own[COUNT] += unique
                own[LEVEL] = levels if own[COUNT] == own[WANTED] else 0
            break


@njit(cache=True, nogil=True)
def room(slots: Any, state: Any, table: Any) -> int:
    """How many tokens outputs may have to choose from at most."""
    _, first, edge_at, node_at = table
    total = 0
    for slot in slots:
        level = state[slot, LEVEL]
        if 0 <= level < len(edge_at) - 1:
            node = node_at[level] + state[slot, NODE]
            total += first[node + 1] - first[node]
    return total


@njit(cache=True, nogil=True)
def choices(places: Any, outputs: Any, trie: Any, eos: Any, out: Any) -> tuple[int, int, int]:
    """Write what outputs may go on with; returns how much of each array of ``out`` was used.

    Args:
        places: slots, and the row of each.
        outputs: ``(state, paths)``.
        trie: ``(table, bits)``.
        eos: end tokens; the first is written.
        out: rows that are held, (2, A) row and token that are allowed, (2, X) row and token that are barred.
    """
    state, paths = outputs
    table, bits = trie
    edge_tokens, first, edge_at, node_at = table
    slots, rows = places
    held, allowed, barred = out
    levels = paths.shape[2]
    holds = some = bars = 0
    for i in range(len(slots)):
        own, row = state[slots[i]], rows[i]
        level = own[LEVEL]
        if level == TEXT and (own[MOST_TEXT] < 0 or own[WRITTEN] < own[MOST_TEXT]):
            for token in eos:
                barred[0, bars], barred[1, bars] = row, token
                bars += 1
            continue
        held[holds] = row
        holds += 1
        before = some
        if level == TEXT:
            allowed[0, some], allowed[1, some] = row, own[MARKER]
            some += 1
        elif level < levels:
            path = paths[slots[i], : max(0, own[COUNT])]
            node = node_at[level] + own[NODE]
            for edge in range(first[node], first[node + 1]):
                if _has(bits[level], edge) and not (own[WANTED] >= 0 and _closed(edge, level, path, table, bits)):
                    allowed[0, some], allowed[1, some] = row, edge_tokens[edge_at[level] + edge]
                    some += 1
        if some == before:
            allowed[0, some], allowed[1, some] = row, eos[0]
            some += 1
    return holds, some, bars
