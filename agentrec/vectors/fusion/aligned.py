"""Collaborative vectors for all items: where histories are short or missing, as the text predicts them.

A ridge regression W from text to collaborative vectors is fitted on items with enough interactions, and an item that
was seen n times gets m_i = λ c_i + (1 - λ) (t_i W + b) with λ = n / (n + k); a new item has λ = 0, so it lies where
items with such texts lie. The result is [sqrt(1 - w) t_i / s_t | sqrt(w) m_i / s_m], as in `concat`; with weight 1, m_i
alone.

What it does not know: texts tell only what they tell. Predictions are shorter than what they predict, so a new item
leans more on its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agentrec.core.artefact import Arrays
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.vectors.fusion.base import Fusion, Signal, deviation, joined, signal_vectors


@dataclass(frozen=True)
class Config:
    """Settings of `Aligned`."""

    weight: float = setting(0.5, "w, share of the variance that the collaborative part has; 1: no text part")
    min_count: int = setting(5, "items with so many training interactions teach the regression")
    shrinkage: float = setting(5.0, "k, as many interactions as the prediction from text is worth; 0: none")
    ridge: float = setting(0.1, "penalty, as a share of the mean variance of a text dimension")

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"aligned setting 'weight' is {self.weight}; expected a share from 0 to 1")
        if self.min_count < 1 or not self.shrinkage >= 0 or not self.ridge > 0:
            raise ConfigError(
                f"aligned has min_count={self.min_count}, shrinkage={self.shrinkage} and ridge={self.ridge}; expected "
                "1 or more, 0 or more, and above 0"
            )


class Aligned(Fusion):
    """Text vectors beside collaborative vectors that texts complete.

    Args:
        config: settings.
    """

    method: ClassVar[str] = "aligned"
    settings: ClassVar[type[Config]] = Config
    needs: ClassVar[Literal["vectors", "graph"]] = "vectors"
    config: Config

    def _learn(self, text: FloatArray, signal: Signal) -> Arrays:
        vectors = signal_vectors(signal, len(text), self.method)
        if signal.counts is None or len(signal.counts) != len(text):
            given = "none" if signal.counts is None else len(signal.counts)
            raise DataError(f"aligned needs how often each of {len(text)} items was seen; {given} counts were given")
        counts = np.where(vectors.any(axis=1), signal.counts, 0).astype(np.int64)
        teachers = counts >= self.config.min_count
        if teachers.sum() < 2:
            raise DataError(
                f"{int(teachers.sum())} items have {self.config.min_count} training interactions and company; expected "
                "at least 2 for the regression of aligned, so lower min_count or use 'concat'"
            )
        weights, bias = ridge(text[teachers], vectors[teachers], self.config.ridge)
        mixed = self._mixed(text @ weights + bias, vectors, counts)
        scales = np.array([deviation(text), deviation(mixed)])
        return {"vectors": vectors, "counts": counts, "weights": weights, "bias": bias, "scales": scales}

    def _mixed(self, predicted: Any, vectors: Any, counts: Any) -> Any:
        """Collaborative vectors, those of rare items as predicted: (M, C) predicted and known, (M,) -> (M, C)."""
        seen = counts.astype(np.float64)
        trust = np.divide(seen, seen + self.config.shrinkage, out=np.zeros(len(seen)), where=seen > 0)[:, None]
        return trust * vectors + (1 - trust) * predicted

    def _fused(self, text: FloatArray, rows: IntArray) -> FloatArray:
        kept = self._arrays
        counts = np.where(rows >= 0, kept["counts"][rows], 0)
        mixed = self._mixed(text @ kept["weights"] + kept["bias"], kept["vectors"][rows], counts)
        return joined(text / kept["scales"][0], mixed / kept["scales"][1], self.config.weight)


def ridge(inputs: FloatArray, outputs: FloatArray, penalty: float) -> tuple[Any, Any]:
    """Weights and intercept of a ridge regression, in which only the weights are penalised.

    (Xᵀ X + λ tr(Xᵀ X) / D I) W = Xᵀ Y, with X and Y centred: the scale of the inputs does not matter.

    Args:
        inputs: (n, D) float32.
        outputs: (n, C) float32.
        penalty: λ, above 0.

    Returns:
        (D, C) and (C,) float64; weights 0 where inputs are all alike.
    """
    from threadpoolctl import threadpool_limits

    centre, mean = inputs.mean(axis=0, dtype=np.float64), outputs.mean(axis=0, dtype=np.float64)
    moved = inputs - centre
    with threadpool_limits(1):
        square = moved.T @ moved
        variance = np.trace(square) / len(square)
        if variance <= 1e-12 * float((centre**2).sum()):
            return np.zeros((inputs.shape[1], outputs.shape[1])), mean
        weights = np.linalg.solve(square + penalty * variance * np.eye(len(square)), moved.T @ (outputs - mean))
    return weights, mean - centre @ weights


METHOD = Aligned
