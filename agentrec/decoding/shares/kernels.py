"""The inner loop of `agentrec.decoding.shares.collaborative_tokenizer`, compiled by numba.

It takes arrays and fills arrays, knows no object of ours, and releases the interpreter lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import require

require("numba", "train")

from numba import njit  # noqa: E402 - after the sentence that says which extra brings it

ENOUGH = 1e-24  # a node of more weight than this has lost nothing that counts to the smallest float32


@njit(cache=True, nogil=True)
def child_shares(scores: Any, weights: Any, ranges: Any, asked: Any, shares: Any) -> None:
    """Fill in the shares of the children of each asked node, one node after the other.

    ``weights`` are ``exp(scores - largest of the row)``, taken for whole rows at once because that is fast. A node
    whose items all lie far below that is summed again less its own largest score, so that it is as exact as any other.
    Where no item scores above ``-inf``, every item counts the same.
    """
    first, begins, ends = ranges
    rows, nodes = asked
    place = 0
    for p in range(len(nodes)):
        row, node, start, total = rows[p], nodes[p], place, 0.0
        for child in range(first[node], first[node + 1]):
            mass = 0.0
            for i in range(begins[child], ends[child]):
                mass += weights[row, i]
            shares[place] = mass
            total += mass
            place += 1
        if total < ENOUGH:
            total = _carefully(scores[row], ranges, node, shares[start:place])
        for entry in range(start, place):
            shares[entry] /= total


@njit(cache=True, nogil=True)
def _carefully(scores: Any, ranges: Any, node: int, shares: Any) -> float:
    """Masses of the children of one node less the largest score of the node; returns their sum."""
    first, begins, ends = ranges
    top = np.float32(-np.inf)
    for i in range(begins[node], ends[node]):
        top = max(top, scores[i])
    total = 0.0
    for place, child in enumerate(range(first[node], first[node + 1])):
        mass = 0.0
        for i in range(begins[child], ends[child]):
            mass += 1.0 if top == -np.inf else np.exp(scores[i] - top)
        shares[place] = mass
        total += mass
    return total
