"""ALS: matrix factorisation of who had what by alternating least squares (Hu, Koren and Volinsky, 2008), by `implicit`.

The library `implicit` finds the item factors Y. A user is then a history, not a row of a table: its vector solves the
least-squares problem of its own items, ``(Y'Y + reg I + sum (c_i - 1) y_i y_i') x = sum c_i y_i`` with confidence
``c_i = confidence * times seen``, which is what `implicit` does for a known user, here with numpy. So new users score
as known ones do, and a saved model needs no library.

What it does not know: the order of a history. Scores are about 0 to 1: as a teacher it wants a small ``beta``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, require
from agentrec.core.types import FloatArray, Histories, Recommendations
from agentrec.models.ranking import recommend_by_scores

BLOCK = 256  # histories whose equations are held at once: BLOCK * D * D numbers


@dataclass(frozen=True)
class Config:
    """Settings of `ALS`."""

    embedding_dim: int = setting(64, "factors per item")
    regularisation: float = setting(0.05, "pulls factors towards zero")
    confidence: float = setting(20.0, "weight of an item that was taken, against 1 for one that was not")
    iterations: int = setting(15, "rounds of alternating")
    seed: int = setting(0, "of the first factors")

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not self.regularisation > 0 or not self.confidence > 0:
            raise ConfigError(
                f"regularisation is {self.regularisation} and confidence {self.confidence}; expected both above 0"
            )


class ALS(Artefact):
    """Matrix factorisation for implicit feedback.

    Args:
        item_factors: (N, D) float32.
        config: settings.
    """

    room: ClassVar[str] = "models"
    method: ClassVar[str] = "als"

    def __init__(self, item_factors: FloatArray, config: Config | None = None) -> None:
        self.item_factors = item_factors
        self.config = config or Config(embedding_dim=item_factors.shape[1])

    @classmethod
    def fit(cls, train: Histories, num_items: int, config: Config | None = None) -> Self:
        """Factorise the training histories.

        Raises:
            MissingExtraError: `implicit` is not installed.
        """
        require("implicit", "cf")
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        config = config or Config()
        with threadpool_limits(1, "blas"):  # implicit has threads of its own and warns of others
            model = AlternatingLeastSquares(
                factors=config.embedding_dim,
                regularization=config.regularisation,
                alpha=config.confidence,
                iterations=config.iterations,
                random_state=config.seed,
                use_cg=False,
                num_threads=1,  # several add in changing order
            )
            model.fit(taken(train, num_items), show_progress=False)
        return cls(np.asarray(model.item_factors, np.float32), config)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.item_factors)

    def users(self, histories: Histories) -> FloatArray:
        """Vectors of histories: (U, D) float32, zeros for an empty one."""
        factors, dim = self.item_factors.astype(np.float64), self.item_factors.shape[1]
        base = factors.T @ factors + self.config.regularisation * np.eye(dim)
        found = np.zeros((len(histories), dim), np.float32)
        for start in range(0, len(histories), BLOCK):
            rows = taken(histories.take(slice(start, start + BLOCK)), self.num_items)
            weights = rows.data.astype(np.float64) * self.config.confidence
            mine = factors[rows.indices]
            owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
            sides = np.tile(base, (rows.shape[0], 1, 1))
            np.add.at(sides, owners, (weights - 1)[:, None, None] * mine[:, :, None] * mine[:, None, :])
            wanted = np.zeros((rows.shape[0], dim))
            np.add.at(wanted, owners, weights[:, None] * mine)
            found[start : start + BLOCK] = np.linalg.solve(sides, wanted[:, :, None])[:, :, 0]
        return found

    def score(self, histories: Histories) -> FloatArray:
        """How much each history wants each item, about 0 to 1: (U, N) float32."""
        return self.users(histories) @ self.item_factors.T

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        return recommend_by_scores(self, histories, n, exclude_seen=exclude_seen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        return plain(self.config), {"item_factors": self.item_factors}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`."""
        return cls(arrays["item_factors"], from_mapping(Config, config))


def taken(histories: Histories, num_items: int) -> sparse.csr_matrix:
    """How often each history has each item: (U, N) float32, items rising."""
    shape = (len(histories), num_items)
    ones = np.ones(len(histories.items), np.float32)
    table = sparse.csr_matrix((ones, histories.items, histories.offsets), shape=shape)
    table.sum_duplicates()
    return table


METHOD = ALS
