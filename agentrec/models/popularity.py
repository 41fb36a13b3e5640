"""Popularity: everybody gets the items that occur most often in the training histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact
from agentrec.core.types import FloatArray, Histories, Recommendations
from agentrec.models.ranking import counts, recommend_by_scores


class Popularity(Artefact):
    """Items by their number of training interactions.

    Args:
        item_counts: (N,) float32.
    """

    room: ClassVar[str] = "models"
    method: ClassVar[str] = "popularity"

    def __init__(self, item_counts: FloatArray) -> None:
        self.item_counts = item_counts

    @classmethod
    def fit(cls, train: Histories, num_items: int) -> Self:
        """Count the items of the training histories."""
        return cls(counts(train.items, num_items))

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.item_counts)

    def score(self, histories: Histories) -> FloatArray:
        """The same counts for every history: (U, N) float32."""
        return np.tile(self.item_counts, (len(histories), 1))

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        return recommend_by_scores(self, histories, n, exclude_seen=exclude_seen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        return {}, {"item_counts": self.item_counts}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`."""
        return cls(arrays["item_counts"])


METHOD = Popularity
