"""Residual k-means: cluster the vectors, subtract the centres, cluster what remains, level by level.

The hard-assignment baseline of RQ-GMM (arXiv:2602.12593) and OneRec (arXiv:2502.18965). Plain residual k-means wears
out after the first level: squared error is a matter of length, residuals of dense regions are short and those of rare
items long, so the short ones crowd into a single cluster while outliers take a code each (on 4,344 Amazon items with
256 codes, the largest level-2 cluster holds 859 items and 48 codes hold one). With ``normalise_residuals``, the
default, each level clusters the *directions* of the residuals (spherical k-means), and a code's vector is the mean
residual of its members, so that `decode` stays a sum of code vectors and each level still lowers the error of the
training vectors. It costs a little reconstruction and returns nearly even codes and fewer collisions. With ``joint``,
the default, whole codes are decoded by codebooks that were fitted together once the codes were known
(`agentrec.semantic_ids.residual.fit_jointly`, the codebook update of additive quantisation): fewer levels are decoded
by the nested ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ArtefactError, ConfigError, DataError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.balance import balanced_centres
from agentrec.semantic_ids.kmeans import (
    check_vectors,
    directions,
    distinct_rows,
    flat_centres,
    means,
    nearest,
    sampled,
    spherical_centres,
)
from agentrec.semantic_ids.residual import (
    NOTHING,
    check_level_sizes,
    decode_sum,
    encode_levels,
    fit_jointly,
    fit_levels,
    longest,
    tell_small_levels,
)


@dataclass(frozen=True)
class Config:
    """Settings of `RQKMeans`."""

    num_levels: int = setting(3, "L, codes per item")
    codebook_size: int = setting(256, "K, codes per level")
    level_sizes: tuple[int, ...] = setting((), "K of each level, where levels differ; empty: codebook_size everywhere")
    normalise_residuals: bool = setting(True, "cluster directions rather than positions")
    balance: float = setting(0.0, "fit centres to even use, at prices up to this many squared distances; 0: do not")
    joint: bool = setting(True, "decode whole codes by codebooks fitted together, for less error and the same codes")
    max_iter: int = setting(25, "Lloyd iterations per level, at most")
    points_per_code: int = setting(256, "vectors per code to learn from, at most; the others are only encoded")
    n_init: int = setting(1, "k-means++ starts per level, of which the best is kept")
    seed: int = setting(0, "seed of the starts")

    def __post_init__(self) -> None:
        object.__setattr__(self, "level_sizes", tuple(self.level_sizes))
        for name in ("num_levels", "codebook_size", "max_iter", "n_init", "points_per_code"):
            if getattr(self, name) < 1:
                raise ConfigError(f"rq_kmeans setting {name!r} is {getattr(self, name)}; expected 1 or more")
        if not 0 <= self.balance < np.inf:
            raise ConfigError(f"rq_kmeans setting 'balance' is {self.balance}; expected 0 or a price above it")
        check_level_sizes("rq_kmeans", self.num_levels, self.level_sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return self.level_sizes or (self.codebook_size,) * self.num_levels


class Level(NamedTuple):
    """One level of the quantiser.

    Attributes:
        centres: (K, D) float32, what residuals (or their directions) are compared with.
        codebook: (K, D) float32, what a code stands for.
    """

    centres: FloatArray
    codebook: FloatArray


def cluster(points: FloatArray, size: int, config: Config, level: int) -> FloatArray:
    """Centres of the best start, at most ``size``, each with at least one point: (N, D) float32 -> (K, D) float32."""
    from threadpoolctl import threadpool_limits

    possible = distinct_rows(points, size)
    if possible == 1:
        return points[:1].copy()
    rng = generator(config.seed, "rq_kmeans", level)
    method = spherical_centres if config.normalise_residuals else flat_centres
    best, lowest = points[:1], np.inf
    with threadpool_limits(1):  # sums in one order, so that a seed decides the codes
        for _ in range(config.n_init):
            centres = method(points, possible, max_iter=config.max_iter, seed=int(rng.integers(2**31)))
            if config.balance:
                centres = balanced_centres(
                    points, centres, highest=config.balance, spherical=config.normalise_residuals
                )
            codes = nearest(points, centres)
            error = float(((points - centres[codes]) ** 2).sum(dtype=np.float64))
            if error < lowest:
                best, lowest = centres[np.unique(codes)], error
    return best


class RQKMeans(Artefact):
    """Residual k-means quantiser.

    Args:
        config: settings.

    Example:
        >>> vectors = np.array([[0, 0], [0, 1], [4, 0], [4, 1]], dtype=np.float32)
        >>> quantiser = RQKMeans(Config(num_levels=2, codebook_size=2)).fit(vectors)
        >>> quantiser.encode(vectors).shape
        (4, 2)
    """

    room: ClassVar[str] = "semantic_ids"
    method: ClassVar[str] = "rq_kmeans"

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._levels: list[Level] = []
        self._joint: list[FloatArray] = []
        self._shortest = 0.0

    def fit(self, vectors: FloatArray) -> Self:
        """Learn the codebooks: (N, D) float32.

        Warns:
            DataWarning: a level has fewer distinct residuals than codes and gets a smaller codebook.

        Raises:
            DataError: the vectors are not (N, D) finite numbers.
        """
        table = check_vectors(vectors)
        rows = sampled(len(table), self.config.points_per_code * max(self.config.sizes), self.config.seed)
        self._shortest = NOTHING * longest(table, rows)
        self._levels, codes = fit_levels(table[rows], self.config.num_levels, self._fit_level)
        self._joint = fit_jointly(table, codes, self.codebooks, rows) if self.config.joint else []
        tell_small_levels("rq_kmeans", self.codebooks, self.config.sizes)
        return self

    def _fit_level(self, residuals: FloatArray, number: int) -> tuple[Level, IntArray]:
        points = self._points(residuals)
        moving = points.any(axis=1) if self.config.normalise_residuals and points.any() else slice(None)
        centres = cluster(points[moving], self.config.sizes[number], self.config, number)
        codebook = means(residuals[moving], nearest(points[moving], centres), len(centres))
        codes = self._codes(residuals, Level(centres, codebook))
        return Level(centres, means(residuals, codes, len(centres))), codes

    def _points(self, residuals: FloatArray) -> FloatArray:
        if self.config.normalise_residuals:
            return directions(residuals, self._shortest)
        return np.where(np.abs(residuals).max(axis=1, keepdims=True) > self._shortest, residuals, np.float32(0))

    def _codes(self, residuals: FloatArray, level: Level) -> IntArray:
        points = self._points(residuals)
        codes = nearest(points, level.centres)
        if self.config.normalise_residuals:  # nothing remains, so no direction: take the code that changes least
            codes[~points.any(axis=1)] = np.linalg.norm(level.codebook, axis=1).argmin()
        return codes

    @property
    def codebooks(self) -> list[FloatArray]:
        """L arrays (K_l, D) float32, nested: each for what the levels before it left.

        Raises:
            DataError: `fit` was not called.
        """
        if not self._levels:
            raise DataError("rq_kmeans has no codebooks yet; call fit(vectors) first")
        return [level.codebook for level in self._levels]

    def encode(self, vectors: FloatArray) -> IntArray:
        """Codes of vectors: (N, D) float32 -> (N, L) int64.

        Raises:
            DataError: `fit` was not called, or the vectors are not (N, D) finite numbers.
        """
        table = check_vectors(vectors, self.codebooks[0].shape[1])
        return encode_levels(
            table, self.codebooks, lambda residuals, level: self._codes(residuals, self._levels[level])
        )

    def decode(self, codes: IntArray) -> FloatArray:
        """Sum of the code vectors: (N, L) int64 -> (N, D) float32; fewer levels give the coarser vectors.

        Raises:
            DataError: the codes have another shape, or lie outside their level.
        """
        return decode_sum(codes, self.codebooks, self._joint)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        arrays: Arrays = {"shortest": np.array([self._shortest])}
        for number, level in enumerate(self._levels):
            arrays[f"centres.{number}"], arrays[f"codebook.{number}"] = level.centres, level.codebook
        arrays |= {f"joint.{number}": book for number, book in enumerate(self._joint)}
        return plain(self.config), arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`.

        Raises:
            ArtefactError: a level is missing.
        """
        quantiser = cls(from_mapping(Config, config))
        try:
            quantiser._shortest = float(arrays["shortest"][0])
            quantiser._levels = [
                Level(arrays[f"centres.{level}"], arrays[f"codebook.{level}"])
                for level in range(quantiser.config.num_levels)
            ]
            if quantiser.config.joint:
                quantiser._joint = [arrays[f"joint.{level}"] for level in range(quantiser.config.num_levels)]
        except KeyError as error:
            raise ArtefactError(
                f"the saved rq_kmeans lacks {error}; it was not fitted or is incomplete, so fit it again"
            ) from error
        return quantiser


METHOD = RQKMeans
