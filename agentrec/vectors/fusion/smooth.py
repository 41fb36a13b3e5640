"""Text vectors smoothed along the graph of co-purchases (the graph step of CoBa RQ-VAE, S2GR, arXiv:2601.18664).

APPNP (arXiv:1810.05997) pulls items that are bought together towards each other, in the space of the texts. An item
without co-purchases keeps its vector, and so does a new one: it lies where texts alone put it, among neighbours that
have moved. Items move within the space of the texts: where no text tells groups of buyers apart, they hardly separate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentrec.core.artefact import Arrays
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.vectors.fusion.base import Fusion, Signal, checked


@dataclass(frozen=True)
class Config:
    """Settings of `Smooth`."""

    alpha: float = setting(0.1, "α, share of an item's own vector at each step; above 0, and 1 leaves all as it is")
    steps: int = setting(3, "how far along the graph; 0 leaves all as it is")

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1 or self.steps < 0:
            raise ConfigError(
                f"smooth has alpha={self.alpha} and steps={self.steps}; expected 0 < alpha <= 1 and 0 steps or more"
            )


class Smooth(Fusion):
    """Text vectors, smoothed along co-purchases.

    Args:
        config: settings.
    """

    method: ClassVar[str] = "smooth"
    settings: ClassVar[type[Config]] = Config
    needs: ClassVar[Literal["vectors", "graph"]] = "graph"
    config: Config

    def _learn(self, text: FloatArray, signal: Signal) -> Arrays:
        if signal.spread is None:
            raise DataError("smooth needs the graph of co-purchases and was given none; expected Signal(spread=...)")
        smoothed = signal.spread(text, self.config.alpha, self.config.steps)
        return {"vectors": checked("smoothed", smoothed, *text.shape)}

    def _fused(self, text: FloatArray, rows: IntArray) -> FloatArray:
        found: FloatArray = np.where((rows >= 0)[:, None], self._arrays["vectors"][rows], text)
        return found


METHOD = Smooth
