"""Transitions: directed item-to-item neighbours, the three-second model that small trained models must beat.

For every pair "j came d steps after i" in a training history, ``W[i, j]`` grows by ``1/d`` for d up to ``window``. Rows
are divided by the square root of their sum, which damps items that are followed by everything. A history is scored by
the rows of its last ``recent`` items, the latest weighing most: ``sum_a W[item_a] / (1 + a)`` with age a = 0 for it.
Direction matters: what is bought after a camera is not what is bought before it.

Items that never followed anything score zero; they are ranked behind all others, by popularity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray, Histories, IntArray, Recommendations
from agentrec.models.ranking import counts, recommend_by_scores


@dataclass(frozen=True)
class Config:
    """Settings of `Transitions`."""

    window: int = setting(3, "count pairs up to this many steps apart")
    recent: int = setting(6, "score by this many latest items of the history")
    power: float = setting(0.5, "divide a row by its sum to this power")

    def __post_init__(self) -> None:
        for name in ("window", "recent"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more steps")


class Transitions(Artefact):
    """Directed co-occurrence neighbours.

    Args:
        weights: (N, N) sparse, row i holds the normalised weights of i's successors.
        item_counts: (N,) float32 training counts, for breaking ties.
        config: settings.
    """

    room: ClassVar[str] = "models"
    method: ClassVar[str] = "transitions"

    def __init__(self, weights: sparse.csr_matrix, item_counts: FloatArray, config: Config | None = None) -> None:
        self.weights = weights
        self.item_counts = item_counts
        self.config = config or Config()

    @classmethod
    def fit(cls, train: Histories, num_items: int, config: Config | None = None) -> Self:
        """Count directed pairs of the training histories."""
        config = config or Config()
        first, second, weight = directed_pairs(train, config.window)
        table = sparse.coo_matrix((weight, (first, second)), shape=(num_items, num_items)).tocsr()
        sums = np.asarray(table.sum(axis=1)).ravel()
        scale = np.divide(1.0, sums**config.power, out=np.zeros_like(sums), where=sums > 0)
        normalised = sparse.diags(scale) @ table
        return cls(sparse.csr_matrix(normalised, dtype=np.float32), counts(train.items, num_items), config)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.item_counts)

    def score(self, histories: Histories) -> FloatArray:
        """Sum the neighbours of the latest items: (U, N) float32."""
        recent = histories.padded(self.config.recent)  # latest item in the last column
        rows, columns = np.nonzero(recent >= 0)
        age = recent.shape[1] - 1 - columns
        shape = (len(histories), self.num_items)
        profile = sparse.csr_matrix((1.0 / (1 + age), (rows, recent[rows, columns])), shape=shape, dtype=np.float32)
        scores: FloatArray = (profile @ self.weights).toarray().astype(np.float32)
        # Behind every true neighbour: popularity, squeezed below the smallest weight there is.
        return scores + np.float32(1e-6) * self.item_counts / max(1.0, float(self.item_counts.max(initial=0)))

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        return recommend_by_scores(self, histories, n, exclude_seen=exclude_seen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        table = self.weights
        arrays = {"data": table.data, "indices": table.indices, "indptr": table.indptr, "item_counts": self.item_counts}
        return plain(self.config), arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`."""
        size = len(arrays["item_counts"])
        table = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        return cls(table, arrays["item_counts"], from_mapping(Config, config))


def directed_pairs(train: Histories, window: int) -> tuple[IntArray, IntArray, FloatArray]:
    """All pairs (earlier item, later item, 1/distance) up to ``window`` steps apart inside one history.

    Returns:
        Three arrays (P,): earlier items, later items, weights.
    """
    owner = np.repeat(np.arange(len(train)), train.lengths)
    first, second, weight = [], [], []
    for distance in range(1, window + 1):
        same = owner[:-distance] == owner[distance:]
        first.append(train.items[:-distance][same])
        second.append(train.items[distance:][same])
        weight.append(np.full(int(same.sum()), 1.0 / distance, np.float32))
    return np.concatenate(first), np.concatenate(second), np.concatenate(weight)


METHOD = Transitions
