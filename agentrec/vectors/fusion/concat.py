"""Text vectors and collaborative vectors side by side, each with its share of the variance.

f_i = [sqrt(1 - w) t_i / s_t | sqrt(w) c_i / s_c], with s the root mean squared distance of a part to its mean (of the
items that histories know), so that neither scale matters. Nothing is centred: cosines stay those of the parts. An item
that histories do not know has zeros for its second part, as has a new one, so its text alone decides.

With ``embedding_dim``, vectors are projected on the leading directions of their second moments (PCA without centring).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentrec.core.artefact import Arrays
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray, IntArray
from agentrec.vectors.fusion.base import Fusion, Signal, deviation, joined, signal_vectors


@dataclass(frozen=True)
class Config:
    """Settings of `Concat`."""

    weight: float = setting(0.35, "w, share of the variance that the collaborative part has; 0 to 1")
    embedding_dim: int | None = setting(None, "project on this many directions; by default all are kept")

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"concat setting 'weight' is {self.weight}; expected a share from 0 to 1")
        if self.embedding_dim is not None and self.embedding_dim < 1:
            raise ConfigError(f"concat setting 'embedding_dim' is {self.embedding_dim}; expected 1 or more")


class Concat(Fusion):
    """Text and collaborative vectors side by side.

    Args:
        config: settings.
    """

    method: ClassVar[str] = "concat"
    settings: ClassVar[type[Config]] = Config
    needs: ClassVar[Literal["vectors", "graph"]] = "vectors"
    config: Config

    def _learn(self, text: FloatArray, signal: Signal) -> Arrays:
        rows = signal_vectors(signal, len(text), self.method)
        scales = np.array([deviation(text), deviation(rows[rows.any(axis=1)])])
        if self.config.embedding_dim is None:
            return {"vectors": rows, "scales": scales}
        whole = joined(text / scales[0], rows / scales[1], self.config.weight)
        return {"vectors": rows, "scales": scales, "directions": _directions(whole, self.config.embedding_dim)}

    def _fused(self, text: FloatArray, rows: IntArray) -> FloatArray:
        known = np.where((rows >= 0)[:, None], self._arrays["vectors"][rows], np.float32(0))
        first, second = self._arrays["scales"]
        found = joined(text / first, known / second, self.config.weight)
        directions = self._arrays.get("directions")
        return found if directions is None else found @ directions


def _directions(table: FloatArray, size: int) -> FloatArray:
    """Leading eigenvectors of the second moments, each with its largest entry above 0: (N, D) -> (D, size) float32."""
    from threadpoolctl import threadpool_limits

    if size > table.shape[1]:
        raise ConfigError(f"concat setting 'embedding_dim' is {size}; expected at most {table.shape[1]}, all there are")
    with threadpool_limits(1):
        wide = table.astype(np.float64)
        vectors = np.linalg.eigh(wide.T @ wide)[1][:, ::-1][:, :size]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(size)])
    found: FloatArray = (vectors * signs).astype(np.float32)
    return found


METHOD = Concat
