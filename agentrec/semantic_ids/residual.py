"""What residual quantisers share: a code per level, each for what the levels before it left, and sums of code vectors.

A level is anything that assigns codes to residuals and has a codebook; how it was fitted is its own affair.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray, IntArray

ROWS = 8192  # taken at once
NOTHING = 1e-6  # residuals shorter than this share of the longest vector are rounding
RIDGE = 10.0  # as if each code had been seen ten times more, where its codebook says; a smaller one hurts new items


class HasCodebook(Protocol):
    """A fitted level."""

    @property
    def codebook(self) -> FloatArray:
        """(K, D) float32, what a code stands for."""


AnyLevel = TypeVar("AnyLevel", bound=HasCodebook)


def fit_levels(
    vectors: FloatArray, num_levels: int, fit: Callable[[FloatArray, int], tuple[AnyLevel, IntArray]]
) -> tuple[list[AnyLevel], IntArray]:
    """Fit level by level: each to what the levels before it left.

    Args:
        vectors: (N, D) float32; overwritten by what all levels leave.
        num_levels: L.
        fit: residuals (N, D) float32 and level 0..L-1 -> the level and the codes (N,) int64 of the residuals.

    Returns:
        L levels, and the codes (N, L) int64.
    """
    residuals, levels = vectors, list[AnyLevel]()
    codes = np.empty((len(vectors), num_levels), np.int64)
    for number in range(num_levels):
        level, codes[:, number] = fit(residuals, number)
        levels.append(level)
        for start in range(0, len(vectors), ROWS):
            part = slice(start, start + ROWS)
            residuals[part] -= level.codebook[codes[part, number]]
    return levels, codes


def encode_levels(
    vectors: FloatArray, codebooks: Sequence[FloatArray], assign: Callable[[FloatArray, int], IntArray]
) -> IntArray:
    """Codes level by level: assign, subtract the code vector, go on with what remains.

    Args:
        vectors: (N, D) float32; left as they are.
        codebooks: L arrays (K_l, D) float32.
        assign: residuals (N, D) float32 and level 0..L-1 -> codes (N,) int64.

    Returns:
        (N, L) int64.
    """
    codes = np.empty((len(vectors), len(codebooks)), np.int64)
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        residuals = vectors[part].copy()
        for level, book in enumerate(codebooks):
            codes[part, level] = assign(residuals, level)
            residuals -= book[codes[part, level]]
    return codes


def fit_jointly(
    vectors: FloatArray, codes: IntArray, codebooks: Sequence[FloatArray], rows: IntArray | None = None
) -> list[FloatArray]:
    """Codebooks whose sums come nearest to the vectors, the codes being given.

    Level by level, each codebook is best for what the levels before it left; together they can do better, because a
    code meets other codes than it was fitted with. With X the vectors, B the (N, sum K) incidence of codes and C the
    given codebooks: ``C + (B'B + r I)^-1 B'(X - B C)``, the ridge r keeping rare codes near C.

    Args:
        vectors: (N, D) float32.
        codes: (n, L) int64 of the rows.
        codebooks: L arrays (K_l, D) float32.
        rows: (n,) int64, which vectors the codes are of; all by default.

    Returns:
        L arrays (K_l, D) float32.
    """
    from scipy.linalg import solve
    from scipy.sparse import csr_array

    sizes = [len(book) for book in codebooks]
    columns = codes + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of_code = np.repeat(np.arange(len(codes)), len(sizes))
    shape = (len(codes), sum(sizes))
    incidence = csr_array((np.ones(columns.size), (of_code, columns.ravel())), shape=shape)
    together = (incidence.T @ incidence).toarray()
    together[np.diag_indices(shape[1])] += RIDGE
    missing = np.zeros((shape[1], vectors.shape[1]))
    for start in range(0, len(codes), ROWS):
        part = slice(start, start + ROWS)
        chosen = vectors[part if rows is None else rows[part]]
        missing += incidence[part].T @ (chosen - decode_sum(codes[part], codebooks))
    change = solve(together, missing, assume_a="pos")
    parts = np.split(change, np.cumsum(sizes)[:-1])
    return [(book + part).astype(np.float32) for book, part in zip(codebooks, parts, strict=True)]


def decode_sum(codes: Any, codebooks: Sequence[FloatArray], joint: Sequence[FloatArray] = ()) -> FloatArray:
    """Sum of the code vectors: (N, 1..L) int64 -> (N, D) float32; fewer levels give the coarser vectors.

    Args:
        codes: (N, 1..L) int64.
        codebooks: L arrays (K_l, D) float32.
        joint: codebooks of the same shapes for codes of all L levels, where there are any (`fit_jointly`).

    Raises:
        DataError: the codes have another shape, or lie outside their level.
    """
    table = checked_codes(codes, [len(book) for book in codebooks])
    total = np.zeros((len(table), codebooks[0].shape[1]), np.float32)
    books = joint if table.shape[1] == len(joint) else codebooks
    for column, book in zip(table.T, books, strict=False):
        total += book[column]
    return total


def checked_codes(codes: Any, sizes: Sequence[int]) -> IntArray:
    """Codes as (N, 1..L) int64, each inside its level.

    Raises:
        DataError: they have another shape, or the first that lies outside its level, by its row.
    """
    table = np.asarray(codes)
    if table.ndim != 2 or not 1 <= table.shape[1] <= len(sizes) or not np.issubdtype(table.dtype, np.integer):
        raise DataError(
            f"codes have shape {table.shape} and type {table.dtype}; expected (N, 1..{len(sizes)}) integers"
        )
    outside = (table < 0) | (table >= np.array(sizes[: table.shape[1]]))
    if outside.any():
        row, level = (int(place) for place in np.argwhere(outside)[0])
        raise DataError(
            f"row {row} has code {int(table[row, level])} on level {level + 1}; expected 0 to {sizes[level] - 1}"
        )
    return table.astype(np.int64, copy=False)


def check_level_sizes(method: str, num_levels: int, level_sizes: Sequence[int]) -> None:
    """See that a quantiser's levels have a size each, where they have sizes of their own.

    Raises:
        ConfigError: another number of sizes than levels, or one below 1.
    """
    if level_sizes and (len(level_sizes) != num_levels or min(level_sizes) < 1):
        raise ConfigError(
            f"{method} setting 'level_sizes' is {list(level_sizes)}; expected num_levels={num_levels} sizes of 1 or "
            "more"
        )


def tell_small_levels(method: str, codebooks: Sequence[FloatArray], wanted: Sequence[int]) -> None:
    """Warn the caller of `fit`, which calls this, of levels with fewer codes than wanted."""
    found = [len(book) for book in codebooks]
    if any(have < want for have, want in zip(found, wanted, strict=True)):
        warnings.warn(
            f"{method}: the vectors are too few or too alike for level sizes {list(wanted)}; going on with {found}",
            DataWarning,
            stacklevel=3,
        )


def longest(vectors: FloatArray, rows: IntArray) -> float:
    """The greatest length among some rows: (N, D) float32, (n,) int64."""
    some = (vectors[rows[start : start + ROWS]] for start in range(0, len(rows), ROWS))
    return max(float(np.linalg.norm(part, axis=1).max()) for part in some)
