"""Residual mixtures of Gaussians: fit a diagonal mixture, subtract the mean of the likeliest component, level by level.

RQ-GMM (arXiv:2602.12593). Clusters have widths of their own: a mixture tells a dense group inside a wide one, where
k-means cuts across both. Each level is fitted softly (`agentrec.semantic_ids.diagonal_mixture`), codes are hard: the
likeliest component, in fitting as in encoding. How we differ from the paper:

- In hundreds of dimensions every posterior is 0 or 1 and a variance rests on too few points, so a level looks at the
  ``pca_dimension`` widest directions of *its* residuals; codes come from there, code vectors have all D dimensions.
- A code's vector is the mean residual of the training vectors that carry it, not the soft mean of its component: the
  likeliest component need not be the nearest, and with soft means a level may raise the error of training vectors.
  With means of members it cannot, and fewer levels give a coarser vector. Whole codes are decoded by codebooks that
  were then fitted together (``joint``), as in `agentrec.semantic_ids.rq_kmeans`.
- From the second level on, the directions of residuals are modelled (``normalise_residuals``), for even codes and
  fewer collisions, as in `agentrec.semantic_ids.rq_kmeans`. The first level sees the vectors as they are.
- Variances are drawn a little towards the common one (``variance_prior``), and posteriors are sharpened while fitting
  (``sharpness``). A likely mixture is not always a good quantiser: where there are far more groups than codes, EM
  proper lets a few wide components take most vectors. Raise both there; 0 and 1 are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ArtefactError, ConfigError, DataError, require
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.kmeans import check_vectors, sampled
from agentrec.semantic_ids.mixture_level import Level, fit_level, level_of, one_thread
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
    """Settings of `RQGMM`."""

    num_levels: int = setting(3, "L, codes per item")
    codebook_size: int = setting(256, "K, codes per level")
    level_sizes: tuple[int, ...] = setting((), "K of each level, where levels differ; empty: codebook_size everywhere")
    normalise_residuals: bool = setting(True, "from the second level on, model directions rather than positions")
    pca_dimension: int = setting(128, "directions that a level looks at, the widest; 0: all")
    variance_floor: float = setting(0.01, "smallest variance, as a share of the level's; above 0")
    variance_prior: float = setting(
        0.1,
        "weight of the common variance in each component's, against the points of a component of mean size; 0: none",
    )
    sharpness: float = setting(2.0, "power of the posteriors while fitting: 1 is EM, more is closer to hard codes")
    points_per_code: int = setting(256, "vectors per code to learn from, at most; the others are only encoded")
    n_init: int = setting(1, "starts per level, of which the one that EM takes highest is kept")
    start_iter: int = setting(20, "Lloyd iterations of the k-means start, at most")
    joint: bool = setting(True, "decode whole codes by codebooks fitted together, for less error and the same codes")
    max_iter: int = setting(20, "EM iterations per level, at most")
    tolerance: float = setting(0.001, "stop when the log likelihood per vector rises by less")
    device: str = setting("cpu", "torch device that fits and encodes")
    seed: int = setting(0, "seed of samples, starts and re-seeding")

    def __post_init__(self) -> None:
        object.__setattr__(self, "level_sizes", tuple(self.level_sizes))
        bounds = {"pca_dimension": 0, "variance_prior": 0, "sharpness": 1, "tolerance": 0}
        for name in ("num_levels", "codebook_size", "points_per_code", "n_init", "start_iter", "max_iter", *bounds):
            if not getattr(self, name) >= bounds.get(name, 1):
                raise ConfigError(
                    f"rq_gmm setting {name!r} is {getattr(self, name)}; expected {bounds.get(name, 1)} or more"
                )
        if not 1e-9 <= self.variance_floor <= 1:
            raise ConfigError(
                f"rq_gmm setting 'variance_floor' is {self.variance_floor}; expected 1e-9 to 1, since a component on "
                "one point would otherwise have no width and an endless density"
            )
        check_level_sizes("rq_gmm", self.num_levels, self.level_sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return self.level_sizes or (self.codebook_size,) * self.num_levels


class SoftCodes(NamedTuple):
    """The likeliest codes of vectors on one level, likeliest first.

    Attributes:
        codes: (N, m) int64.
        shares: (N, m) float32, posterior probabilities; a row sums to 1 where m is K, to less otherwise.
    """

    codes: IntArray
    shares: FloatArray


class RQGMM(Artefact):
    """Residual quantiser by diagonal Gaussian mixtures.

    Args:
        config: settings.

    Raises:
        MissingExtraError: torch is not installed.

    Example:
        >>> vectors = np.array([[0, 0], [0, 1], [4, 0], [4, 1]], dtype=np.float32)
        >>> quantiser = RQGMM(Config(num_levels=2, codebook_size=2)).fit(vectors)
        >>> quantiser.encode(vectors).shape
        (4, 2)
    """

    room: ClassVar[str] = "semantic_ids"
    method: ClassVar[str] = "rq_gmm"

    def __init__(self, config: Config | None = None) -> None:
        require("torch", "train")
        self.config = config or Config()
        self._levels: list[Level] = []
        self._joint: list[FloatArray] = []

    def fit(self, vectors: FloatArray) -> Self:
        """Learn the mixtures: (N, D) float32.

        Warns:
            DataWarning: a level has fewer distinct residuals than codes, or codes that no vector gets, and is smaller.

        Raises:
            DataError: the vectors are not (N, D) finite numbers.
        """
        table = check_vectors(vectors)
        rows = sampled(len(table), self.config.points_per_code * max(self.config.sizes), self.config.seed)
        shortest = NOTHING * longest(table, rows)
        with one_thread():
            self._levels, codes = fit_levels(
                table[rows],
                self.config.num_levels,
                lambda residuals, number: fit_level(residuals, number, self.config, shortest),
            )
            self._joint = fit_jointly(table, codes, self.codebooks, rows) if self.config.joint else []
        tell_small_levels("rq_gmm", self.codebooks, self.config.sizes)
        return self

    @property
    def codebooks(self) -> list[FloatArray]:
        """L arrays (K_l, D) float32, nested: each for what the levels before it left.

        Raises:
            DataError: `fit` was not called.
        """
        if not self._levels:
            raise DataError("rq_gmm has no codebooks yet; call fit(vectors) first")
        return [level.codebook for level in self._levels]

    def encode(self, vectors: FloatArray) -> IntArray:
        """Codes of vectors: (N, D) float32 -> (N, L) int64.

        Raises:
            DataError: `fit` was not called, or the vectors are not (N, D) finite numbers.
        """
        table = check_vectors(vectors, self.codebooks[0].shape[1])
        return encode_levels(table, self.codebooks, lambda residuals, level: self._levels[level].codes(residuals))

    def decode(self, codes: IntArray) -> FloatArray:
        """Sum of the code vectors: (N, L) int64 -> (N, D) float32; fewer levels give the coarser vectors.

        Raises:
            DataError: the codes have another shape, or lie outside their level.
        """
        return decode_sum(codes, self.codebooks, self._joint)

    def soft_codes(self, vectors: FloatArray, level: int, top: int = 8) -> SoftCodes:
        """How likely each code of a level is, for what the codes of the levels before it left of the vectors.

        A ranking model may take sum_k share_k e_k as a soft embedding in place of the embedding of one code.

        Args:
            vectors: (N, D) float32.
            level: 0..L-1.
            top: m, codes per vector, at most K.

        Raises:
            DataError: as `encode`; or there is no such level, or ``top`` is below 1.
        """
        if not 0 <= level < len(self.codebooks) or top < 1:
            raise DataError(
                f"soft_codes was asked for the top {top} of level {level}; expected a level from 0 to "
                f"{len(self.codebooks) - 1} and a top of 1 or more"
            )
        residuals = check_vectors(vectors, self.codebooks[0].shape[1]).copy()
        for earlier in self._levels[:level]:
            residuals -= earlier.codebook[earlier.codes(residuals)]
        return SoftCodes(*self._levels[level].likeliest(residuals, top))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        arrays: Arrays = {f"joint.{number}": book for number, book in enumerate(self._joint)}
        for number, level in enumerate(self._levels):
            arrays |= level.arrays(str(number))
        return plain(self.config), arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`.

        Raises:
            ArtefactError: a level is missing.
        """
        quantiser = cls(from_mapping(Config, config))
        try:
            numbers = range(quantiser.config.num_levels)
            quantiser._levels = [level_of(arrays, str(number), quantiser.config.device) for number in numbers]
            if quantiser.config.joint:
                quantiser._joint = [arrays[f"joint.{number}"] for number in numbers]
        except KeyError as error:
            raise ArtefactError(
                f"the saved rq_gmm lacks {error}; it was not fitted or is incomplete, so fit it again"
            ) from error
        return quantiser


METHOD = RQGMM
