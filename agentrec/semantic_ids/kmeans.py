"""The k-means that quantisers are built from: nearest centres, means, flat and spherical clustering.

Arrays in, arrays out; knows nothing of levels and residuals.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray

CHUNK = 16_384
BLOCK = 2048  # rows whose products with all centres stay in a processor's cache
SETTLED = 1e-3  # stop when fewer points than this share change their centre
ROUNDING = 1e-5  # of products in float32, relative to the lengths of the rows
LARGEST = 1e15  # squares of larger values, summed, come near the end of float32
STARTS_PER_CODE = 32  # points among which k-means++ chooses, for each centre


def check_vectors(vectors: Any, dimension: int | None = None) -> FloatArray:
    """Vectors as (N, D) float32.

    Raises:
        DataError: not a table of numbers up to `LARGEST`, no rows, or another dimension than expected; the first row
            that is wrong is named.
    """
    table = _table(vectors)
    if dimension is not None and table.shape[1] != dimension:
        raise DataError(f"vectors have {table.shape[1]} dimensions; expected {dimension}, as in the vectors of fit")
    for start in range(0, len(table), CHUNK):
        usable = np.abs(table[start : start + CHUNK]) <= LARGEST  # not a number is no number below
        if not usable.all():
            row, column = (int(place) for place in np.argwhere(~usable)[0])
            raise DataError(
                f"vector {start + row} of {len(table)} holds {table[start + row, column]} in column {column}; expected "
                f"finite numbers up to {LARGEST:g}, so check that row's text or the encoder"
            )
    return np.ascontiguousarray(table, dtype=np.float32)


def _table(vectors: Any) -> NDArray[Any]:
    """Anything as (N, D) real numbers.

    Raises:
        DataError: it is something else.
    """
    try:
        table = np.asarray(vectors)
    except ValueError as error:
        raise DataError("vectors have rows of different lengths; expected (N, D) numbers") from error
    real = np.issubdtype(table.dtype, np.integer) or np.issubdtype(table.dtype, np.floating)
    if table.ndim != 2 or table.size == 0 or not real:
        raise DataError(
            f"vectors have shape {table.shape} and type {table.dtype}; expected (N, D) numbers, at least one row"
        )
    return table


def directions(residuals: FloatArray, shortest: float) -> FloatArray:
    """Rows scaled to length 1; rows not longer than ``shortest`` become zeros: (N, D) float32 -> (N, D) float32."""
    scaled: FloatArray = np.zeros_like(residuals)
    for start in range(0, len(residuals), CHUNK):
        rows = residuals[start : start + CHUNK]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=scaled[start : start + CHUNK], where=lengths > shortest)
    return scaled


def nearest(points: FloatArray, centres: FloatArray, *, exact: bool = True) -> IntArray:
    """Index of the nearest centre, the first of equals: (N, D), (K, D) float32 -> (N,) int64.

    Products are taken in float32. With ``exact``, rows in which another centre is as near within rounding are decided
    in float64, so that a row's answer does not depend on the rows beside it; without, in half the time less a little.
    """
    halves = 0.5 * (centres.astype(np.float64) ** 2).sum(axis=1)
    short, turned = halves.astype(np.float32), np.ascontiguousarray(centres.T)
    slack = ROUNDING * (1.0 + float(halves.max(initial=0.0)))
    found = np.empty(len(points), np.int64)
    for start in range(0, len(points), BLOCK):
        rows = points[start : start + BLOCK]
        near = rows @ turned
        near -= short
        best = near.argmax(axis=1)
        if exact:
            lowest = near[np.arange(len(rows)), best] - slack * (1.0 + np.linalg.norm(rows, axis=1))
            close = np.flatnonzero(np.count_nonzero(near >= lowest[:, None], axis=1) > 1)
            if len(close):
                wide = rows[close].astype(np.float64) @ centres.T.astype(np.float64) - halves
                best[close] = wide.argmax(axis=1)
        found[start : start + BLOCK] = best
    return found


def means(rows: FloatArray, codes: IntArray, size: int) -> FloatArray:
    """Mean row of each code, zeros for a code without rows: (N, D) float32, (N,) int64 -> (K, D) float32."""
    from scipy.sparse import csr_array

    total = np.zeros((size, rows.shape[1]))
    for start in range(0, len(rows), CHUNK):
        part = codes[start : start + CHUNK]
        members = csr_array((np.ones(len(part)), (part, np.arange(len(part)))), shape=(size, len(part)))
        total += members @ rows[start : start + CHUNK].astype(np.float64)
    counts = np.maximum(np.bincount(codes, minlength=size), 1)
    mean: FloatArray = (total / counts[:, None]).astype(np.float32)
    return mean


def starts(points: FloatArray, size: int, seed: int) -> FloatArray:
    """K-means++ centres, chosen among at most `STARTS_PER_CODE` points per code: (N, D) float32 -> (K, D) float32."""
    from sklearn.cluster import kmeans_plusplus

    few = sample(points, STARTS_PER_CODE * size, seed)
    if distinct_rows(few, size) < size:
        few = points
    centres: FloatArray = kmeans_plusplus(few, size, random_state=seed)[0]
    return centres


def sample(rows: FloatArray, limit: int, seed: int) -> FloatArray:
    """At most ``limit`` rows, drawn without replacement, in their order."""
    return rows if len(rows) <= limit else rows[sampled(len(rows), limit, seed)]


def sampled(size: int, limit: int, seed: int) -> IntArray:
    """At most ``limit`` of the numbers 0..size-1, drawn without replacement, ascending: (n,) int64."""
    if size <= limit:
        return np.arange(size)
    return np.sort(generator(seed, "sample").choice(size, limit, replace=False))


def spherical_centres(points: FloatArray, size: int, *, max_iter: int, seed: int) -> FloatArray:
    """Spherical k-means (Dhillon & Modha, 2001): centres of length 1, points go to the largest cosine.

    scikit-learn's `KMeans` on unit vectors is no substitute: its centres are shorter the more they unite, and one near
    the origin is within distance 1 of every point, so it swallows whatever has no centre within 60 degrees.

    Args:
        points: (N, D) float32 of length 1, with at least ``size`` distinct rows.
        size: K.
        max_iter: Lloyd iterations, at most.
        seed: of the k-means++ start.

    Returns:
        (K, D) float32, each of length 1.
    """
    centres = starts(points, size, seed)
    codes = nearest(points, centres, exact=False)
    for _ in range(max_iter):
        unused = np.setdiff1d(np.arange(size), codes)
        if len(unused):  # restart them at the points that fit worst
            worst = np.argsort((points * centres[codes]).sum(axis=1), kind="stable")[: len(unused)]
            codes[worst] = unused
        moved = directions(means(points, codes, size), 0.0)
        centres = np.where(moved.any(axis=1, keepdims=True), moved, centres)
        before, codes = codes, nearest(points, centres, exact=False)
        if (before != codes).mean() < SETTLED:
            break
    return centres


def flat_centres(points: FloatArray, size: int, *, max_iter: int, seed: int) -> FloatArray:
    """Centres of scikit-learn's k-means: (N, D) float32 -> (K, D) float32."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than centres: told by `fit`
        model = KMeans(size, init=starts(points, size, seed), n_init=1, max_iter=max_iter, random_state=seed).fit(
            points
        )
    centres: FloatArray = model.cluster_centers_.astype(np.float32)
    return centres


def distinct_rows(points: FloatArray, limit: int) -> int:
    """The number of distinct rows, or ``limit`` where there are at least as many."""
    for rows in (points[: 4 * limit], points):
        found = len(np.unique(rows, axis=0))
        if found >= limit:
            return limit
    return found
