"""What is bought together: the item graph of training histories, and vectors smoothed along it.

The graph step of CoBa RQ-VAE (S2GR, arXiv:2601.18664), apart from any quantiser: smooth the item vectors, then fit
whatever quantiser on them. Give it the histories of `Split.train` and nothing else: a held-out purchase in the graph
would put the answer into the semantic ID.

Difference from the paper: an item without an edge keeps its vector exactly. The formula taken literally would shrink
it towards zero, for no reason but that nobody bought it with anything. So a new item is encoded by its own vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import FloatArray, Histories
from agentrec.semantic_ids.kmeans import check_vectors


def co_occurrence(histories: Histories, num_items: int, window: int = 3, *, directed: bool = False) -> Any:
    """Count how often two items lie within ``window`` steps of one history.

    Args:
        histories: of training alone.
        num_items: N.
        window: largest distance of a pair; 1 counts direct neighbours.
        directed: row i, column j counts j after i alone, rather than both orders.

    Returns:
        (N, N) scipy `csr_array` of float32, symmetric unless ``directed``, nothing on the diagonal.

    Raises:
        ConfigError: the window is below 1.
        DataError: a history holds an item that is none of the N.

    Example:
        >>> graph = co_occurrence(Histories.from_lists([[0, 1, 2], [1, 0]]), num_items=4, window=1)
        >>> graph.toarray().astype(int).tolist()
        [[0, 2, 0, 0], [2, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    """
    from scipy.sparse import coo_array, csr_array

    if window < 1:
        raise ConfigError(f"window of the co-occurrence graph is {window}; expected 1 or more")
    items = histories.items
    if len(items) and not (items.min() >= 0 and items.max() < num_items):
        wrong = int(items.max() if items.min() >= 0 else items.min())
        raise DataError(f"a history holds item {wrong}; expected 0 to {num_items - 1}, so check its data set")
    owners = np.repeat(np.arange(len(histories)), histories.lengths)
    graph = csr_array((num_items, num_items), dtype=np.float32)
    for distance in range(1, window + 1):
        earlier, later = items[:-distance], items[distance:]
        real = (owners[:-distance] == owners[distance:]) & (earlier != later)
        places = (earlier[real], later[real])
        graph = graph + coo_array((np.ones(int(real.sum()), np.float32), places), shape=graph.shape).tocsr()
    return csr_array(graph if directed else graph + graph.T)


def smooth(vectors: FloatArray, graph: Any, alpha: float = 0.3, steps: int = 3) -> FloatArray:
    """Pull the vectors of items that occur together towards each other (APPNP, arXiv:1810.05997).

    Â = D^-1/2 A D^-1/2, H_0 = X, H_k = (1 - α) Â H_{k-1} + α X, and the result is Σ_k b_k H_k with b_k proportional to
    α (1 - α)^k, k = 0 ... steps (S2GR, arXiv:2601.18664). Items without an edge come back as they were.

    Args:
        vectors: (N, D) float32.
        graph: (N, N) sparse, symmetric, not negative, as `co_occurrence` makes it.
        alpha: share of an item's own vector, above 0 and at most 1; 1 leaves the vectors alone.
        steps: how far along the graph; 0 leaves the vectors alone.

    Returns:
        (N, D) float32.

    Raises:
        DataError: vectors are not finite, or the graph has another number of items, negative weights or a direction.
        ConfigError: ``alpha`` or ``steps`` is out of range.
    """
    from scipy.sparse import csr_array, diags_array

    if not 0 < alpha <= 1 or steps < 0:
        raise ConfigError(f"smoothing has alpha={alpha} and steps={steps}; expected 0 < alpha <= 1 and steps >= 0")
    table = check_vectors(vectors)
    _check_graph(graph, len(table))
    degrees = np.asarray(graph.sum(axis=1), np.float64).ravel()
    lonely = degrees == 0
    roots = diags_array(1 / np.sqrt(np.where(lonely, 1, degrees)))
    spread = csr_array(roots @ graph.astype(np.float64) @ roots) + diags_array(lonely.astype(np.float64))
    weights = alpha * (1 - alpha) ** np.arange(steps + 1)
    start = table.astype(np.float64)
    state, total = start, weights[0] * start
    for weight in weights[1:]:
        state = (1 - alpha) * (spread @ state) + alpha * start
        total = total + weight * state
    smoothed: FloatArray = (total / weights.sum()).astype(np.float32)
    return smoothed


def _check_graph(graph: Any, size: int) -> None:
    if graph.shape != (size, size):
        raise DataError(f"a graph of shape {graph.shape} does not fit {size} vectors; expected ({size}, {size})")
    if graph.nnz and graph.data.min() < 0:
        raise DataError(f"the graph has the weight {graph.data.min():g}; expected counts, so none below 0")
    if abs(graph - graph.T).max() > 0:
        raise DataError("the graph has a direction; expected a symmetric one, so add its transpose")
