"""Item vectors from who is bought with whom: shifted positive PMI of a co-occurrence graph, factorised by an SVD.

PPMI_ij = max(0, log(n_ij n / (n_i. n_.j^c / z)) - log k), with n = Σ n_ij and z such that the smoothed column sums
n_.j^c / z add up to n again; then M ≈ U S Vᵀ, and an item's vector is U S^p (Levy and Goldberg, NIPS 2014; Levy et al.,
TACL 2015, for c and p). This is what skip-gram with negative sampling factorises implicitly, without its training.

Differences: p is 1, not ½, since items are compared by the company they keep; of a directed graph, an item's vector
holds both its roles, U S^p (what follows it) beside V S^p (what it follows), each with half of the dimensions. Rows
have length 1. The graph must be of training histories alone. An item without an edge, or of which the leading
directions hold nothing, is a row of zeros: nothing is known of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray

HELD = 1e-3  # items of which the directions hold less than this share of their length are not described by them


@dataclass(frozen=True)
class Config:
    """Settings of `co_occurrence_vectors`."""

    embedding_dim: int = setting(64, "C, at most; of a directed graph, half for each role")
    shift: float = setting(1.0, "k: pairs must be k times as frequent as by chance; 1 or more")
    context_power: float = setting(1.0, "c, smooths how often the other item occurs; 0.75 makes rare ones less special")
    spectrum_power: float = setting(1.0, "p, weight of the leading directions; 0: all alike")
    seed: int = setting(0, "seed of the randomised SVD")

    def __post_init__(self) -> None:
        if self.embedding_dim < 1 or not self.shift >= 1:
            raise ConfigError(
                f"co_occurrence_svd has embedding_dim={self.embedding_dim} and shift={self.shift}; expected both to be "
                "1 or more"
            )
        for name in ("context_power", "spectrum_power"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"co_occurrence_svd setting {name!r} is {getattr(self, name)}; expected a number from 0 to 1"
                )


def shifted_ppmi(graph: Any, shift: float = 1.0, context_power: float = 1.0) -> Any:
    """How much more often than by chance two items occur together, where that is more often: log, minus log ``shift``.

    Args:
        graph: (N, N) sparse, not negative; row i, column j counts j with, or after, i.
        shift: k, 1 or more.
        context_power: c, above.

    Returns:
        (N, N) scipy `csr_array` of float64, above 0 wherever something is stored.

    Raises:
        DataError: the graph is not square, or has weights that are negative or not finite.

    Example:
        >>> from scipy.sparse import csr_array
        >>> graph = csr_array(np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]]))
        >>> np.exp(shifted_ppmi(graph).toarray()).round(2).tolist()  # 3 * 8 / (4 * 3) = 2, 1 where nothing is stored
        [[1.0, 2.0, 2.0], [2.0, 1.0, 1.0], [2.0, 1.0, 1.0]]
    """
    from scipy.sparse import coo_array

    _check_graph(graph)
    pairs = coo_array(graph, dtype=np.float64)
    first, second = pairs.coords
    rows = np.asarray(pairs.sum(axis=1)).ravel()
    columns = np.asarray(pairs.sum(axis=0)).ravel()
    columns = np.where(columns > 0, columns**context_power, 0)
    real = pairs.data > 0
    first, second, counts = first[real], second[real], pairs.data[real]
    values = np.log(counts * (columns.sum() / shift) / (rows[first] * columns[second]))
    kept = values > 0
    return coo_array((values[kept], (first[kept], second[kept])), shape=pairs.shape).tocsr()


def co_occurrence_vectors(graph: Any, config: Config | None = None) -> FloatArray:
    """Vectors of items by the company they keep.

    Args:
        graph: (N, N) sparse counts of training histories, symmetric or directed
            (`agentrec.semantic_ids.co_occurrence.co_occurrence`).
        config: settings.

    Returns:
        (N, C) float32; rows of length 1, or zeros where nothing is known of an item.

    Warns:
        DataWarning: the graph allows fewer dimensions.

    Raises:
        DataError: as `shifted_ppmi`.
    """
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    config = config or Config()
    table = shifted_ppmi(graph, config.shift, config.context_power)
    directed = abs(graph - graph.T).max() > 0
    dimension = _dimension(config, table.shape[0], directed)
    if table.nnz == 0:
        return np.zeros((table.shape[0], dimension), np.float32)
    with threadpool_limits(1):  # sums in one fixed order, so that a seed gives the same vectors again
        left, spectrum, right = randomized_svd(table, dimension, n_iter=7, random_state=config.seed)
    sides = [(left, table), (right.T, table.T.tocsr())]
    roles = [_role(side, spectrum, about, config.spectrum_power) for side, about in sides[: 1 + directed]]
    vectors: FloatArray = _unit(np.concatenate(roles, axis=1)).astype(np.float32)
    return vectors


def _dimension(config: Config, items: int, directed: bool) -> int:
    """Directions of the SVD."""
    wanted = max(1, config.embedding_dim // 2) if directed else config.embedding_dim
    if items < wanted:
        warnings.warn(
            f"co_occurrence_svd: {items} items allow {items} directions, fewer than the {wanted} of "
            f"embedding_dim={config.embedding_dim}; going on with {items}",
            DataWarning,
            stacklevel=3,
        )
    return min(items, wanted)


def _role(side: Any, spectrum: Any, table: Any, power: float) -> Any:
    """U S^p, zeros for items that the directions do not hold: (N, C) float64."""
    whole = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    held = (whole > 0) & (np.linalg.norm(side * spectrum, axis=1) > HELD * whole)
    weights = np.where(spectrum > HELD**2 * spectrum[0], spectrum**power, 0)
    return np.where(held[:, None], side * weights, 0)


def _unit(table: Any) -> Any:
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)


def _check_graph(graph: Any) -> None:
    if graph.shape[0] != graph.shape[1] or graph.shape[0] == 0:
        raise DataError(f"a co-occurrence graph has shape {graph.shape}; expected (N, N), one row per item")
    if graph.nnz and not (np.isfinite(graph.data).all() and graph.data.min() >= 0):
        raise DataError(
            "a co-occurrence graph has weights that are negative or not finite; expected counts, so build it with "
            "co_occurrence"
        )
