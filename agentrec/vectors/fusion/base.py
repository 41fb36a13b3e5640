"""What fusions share: the signal of training histories, the items of fit, saving, and parts of equal variance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping
from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import FloatArray, IntArray

CONSTANT = 1e-5  # a deviation smaller than this share of the rows' length is rounding


class Signal(NamedTuple):
    """What training histories say of N items.

    Attributes:
        vectors: (N, C) float32, rows of zeros where nothing is known of an item.
        counts: (N,) int64, training interactions.
        spread: vectors (N, D), alpha, steps -> vectors smoothed along the graph of co-purchases, (N, D) float32.
    """

    vectors: FloatArray | None = None
    counts: IntArray | None = None
    spread: Callable[[FloatArray, float, int], FloatArray] | None = None


class Fusion(Artefact):
    """Text vectors and a `Signal` to one vector per item.

    A subclass binds ``settings`` and ``needs``, and implements `_learn` and `_fused`.

    Args:
        config: settings.
    """

    room: ClassVar[str] = "fusion"
    settings: ClassVar[type[Any]]
    needs: ClassVar[Literal["vectors", "graph"]]

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.settings()
        self._ids: list[str] = []
        self._arrays: Arrays = {}

    def _learn(self, text: FloatArray, signal: Signal) -> Arrays:
        """What is kept of N items and of the space: rows in the order of the items."""
        raise NotImplementedError

    def _fused(self, text: FloatArray, rows: IntArray) -> FloatArray:
        """Vectors of M items by what `_learn` kept, and the row of each at fit, -1 for a new one: (M, F) float32."""
        raise NotImplementedError

    def fit(self, text: FloatArray, signal: Signal, item_ids: Sequence[str]) -> Self:
        """Learn from all items there are.

        Args:
            text: (N, D) float32.
            signal: of the same items, from training histories alone.
            item_ids: of the same items.

        Raises:
            DataError: numbers of items differ, values are not finite, or the signal lacks what this fusion needs.
        """
        table = checked("text", text, len(item_ids))
        self._arrays = {**self._learn(table, signal), "text_dim": np.array([table.shape[1]])}
        self._ids = list(item_ids)
        return self

    def transform(self, text: FloatArray, item_ids: Sequence[str] | None = None) -> FloatArray:
        """Vectors of M items: (M, D) float32 -> (M, F) float32.

        Args:
            text: by the encoder of fit.
            item_ids: of each; items of fit get what histories say of them. Without ids, all items are new, and their
                texts are all that is known of them.

        Raises:
            DataError: `fit` was not called, or text vectors have another dimension, number or are not finite.
        """
        self._check_fitted()
        table = checked("text", text, dimension=int(self._arrays["text_dim"][0]))
        if item_ids is not None and len(item_ids) != len(table):
            raise DataError(f"{len(item_ids)} item ids belong to {len(table)} text vectors; expected as many")
        place = {item: row for row, item in enumerate(self._ids)}
        rows = [-1] * len(table) if item_ids is None else [place.get(item, -1) for item in item_ids]
        return self._fused(table, np.array(rows, np.int64))

    def _check_fitted(self) -> None:
        if not self._ids:
            raise DataError(f"{self.method} knows no items yet; call fit(text, signal, item_ids) first")

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings, ids of the items, and what was learnt.

        Raises:
            DataError: `fit` was not called.
        """
        self._check_fitted()
        return {**plain(self.config), "item_ids": self._ids}, self._arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`.

        Raises:
            ArtefactError: rows and ids differ in number.
        """
        made = cls(from_mapping(cls.settings, {name: value for name, value in config.items() if name != "item_ids"}))
        made._ids, made._arrays = list(config["item_ids"]), dict(arrays)
        if len(arrays["vectors"]) != len(made._ids):
            raise ArtefactError(
                f"the saved {cls.method} has {len(arrays['vectors'])} rows for {len(made._ids)} items; expected as "
                "many, so fit it again"
            )
        return made


def checked(name: str, vectors: Any, rows: int | None = None, dimension: int | None = None) -> FloatArray:
    """Vectors as (N, D) float32.

    Raises:
        DataError: they have another shape, or values that are not finite.
    """
    table = np.asarray(vectors, dtype=np.float32)
    if table.ndim != 2 or not table.size or rows not in (None, len(table)) or dimension not in (None, table.shape[1]):
        wanted = f"({'N' if rows is None else rows}, {'D' if dimension is None else dimension})"
        raise DataError(f"{name} vectors have shape {table.shape}; expected {wanted}, one row per item")
    if not np.isfinite(table).all():
        row = int((~np.isfinite(table).all(axis=1)).argmax())
        raise DataError(f"{name} vectors hold values that are not finite, the first in row {row}; expected numbers")
    return table


def signal_vectors(signal: Signal, items: int, method: str) -> FloatArray:
    """The collaborative vectors of a signal: (N, C) float32.

    Raises:
        DataError: there are none, they are of another number of items, or nothing is known of any item.
    """
    if signal.vectors is None:
        raise DataError(f"{method} needs collaborative vectors and was given none; expected Signal(vectors=...)")
    table = checked("collaborative", signal.vectors, items)
    if not table.any():
        raise DataError(
            "the training histories say nothing of any item: no two items occur together more often than by chance; "
            "expected histories of several items, so use collaborative='none'"
        )
    return table


def deviation(rows: FloatArray) -> float:
    """Root mean squared distance of rows to their mean; their length where they are all alike: (N, D) -> above 0."""
    table = rows.astype(np.float64)
    found = float(np.sqrt(((table - table.mean(axis=0)) ** 2).sum(axis=1).mean()))
    length = float(np.sqrt((table**2).sum(axis=1).mean()))
    return found if found > CONSTANT * length else length or 1.0


def joined(text: Any, other: Any, weight: float) -> FloatArray:
    """Two parts of deviation 1 side by side: (N, D), (N, C) -> (N, D + C) float32.

    Args:
        text: the first.
        other: the second.
        weight: the share of the variance that the second has, 0 to 1; a part without a share is left out.
    """
    shares = ((1 - weight, text), (weight, other))
    parts = [np.sqrt(share) * part for share, part in shares if share > 0]
    joined: FloatArray = np.concatenate(parts, axis=1).astype(np.float32)
    return joined
