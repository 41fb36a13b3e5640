"""Squared errors of the reconstruction that collision policies weigh.

Computed in float64 and rounded to float32: vectors that are equal tie exactly, whatever order sums were taken in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.problem import Problem

CHUNK = 16_384


def remainders(vectors: FloatArray, prefixes: IntArray, codebooks: Sequence[FloatArray]) -> FloatArray:
    """Vectors less the code vectors of their first levels: (n, D), (n, 0..L) -> (n, D) float32."""
    left = vectors.astype(np.float32, copy=True)
    for column, book in zip(prefixes.T, codebooks, strict=False):
        left -= book[column]
    return left


def squared_distances(points: FloatArray, book: FloatArray) -> FloatArray:
    """Squared distance of every point to every code vector: (n, D), (K, D) -> (n, K) float32."""
    wide = book.astype(np.float64)
    lengths = (wide**2).sum(axis=1)
    found = np.empty((len(points), len(book)), np.float32)
    for start in range(0, len(points), CHUNK):
        rows = points[start : start + CHUNK].astype(np.float64)
        table = (rows**2).sum(axis=1)[:, None] - 2 * (rows @ wide.T) + lengths
        found[start : start + CHUNK] = np.maximum(table, 0)
    return found


def last_level_costs(problem: Problem, rows: IntArray, prefixes: IntArray) -> FloatArray:
    """Squared error of some items for every code of the last level.

    Args:
        problem: with vectors and codebooks.
        rows: (n,) int64 items.
        prefixes: (n, L - 1) int64, their codes on the levels before.

    Returns:
        (n, K_L) float32.
    """
    vectors, books = problem.space()
    return squared_distances(remainders(vectors[rows], prefixes, books), books[-1])


def row_errors(vectors: FloatArray, codes: IntArray, codebooks: Sequence[FloatArray]) -> FloatArray:
    """Squared error of every item under its codes: (N, D), (N, 1..L) -> (N,) float32."""
    found = np.empty(len(codes), np.float32)
    for start in range(0, len(codes), CHUNK):
        rows = slice(start, start + CHUNK)
        left = remainders(vectors[rows], codes[rows], codebooks).astype(np.float64)
        found[rows] = (left**2).sum(axis=1)
    return found
