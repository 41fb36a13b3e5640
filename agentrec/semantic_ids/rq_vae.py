"""RQ-VAE: an autoencoder whose latent space is quantised level by level, with k-means refinement.

TIGER (arXiv:2305.05065) on the quantiser of arXiv:2203.01941. Differences from common practice, each because it keeps
codebooks from collapsing or loses less of the vectors:

- vectors are centred and scaled by one number, so that the loss is the error that is reported;
- a linear path beside the perceptrons, started as principal components (``linear_path``);
- residual k-means on encoded vectors starts all codebooks, not a single batch;
- codes are chosen by direction (``normalise_residuals``, as in `agentrec.semantic_ids.rq_kmeans`);
- plain nearest codes decide which epoch is kept, whatever training does to balance them.

``refine`` adds the step of GCB (arXiv:2601.18213): encoder frozen, k-means per level on the residuals of all vectors
from the learnt code vectors on, then a few epochs of the decoder alone. It is kept only where reconstruction does not
get worse and no level uses fewer of its codes; `RQVAE.report` says which.

What it does not know: items. Fitting needs torch, encoding and decoding do not. The perceptrons learn a small catalogue
by heart if they are let: on 4,344 Amazon items (3 x 256) the error of the catalogue falls to .31 in the 50 epochs of
the defaults, where that of unseen items is .52, as with residual k-means; after 100 epochs at twice the rate they are
.23 and .57. Where new items matter, judge by some that are ``held_out``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, DataError, require
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.autoencoder import Autoencoder
from agentrec.semantic_ids.kmeans import check_vectors
from agentrec.semantic_ids.residual import check_level_sizes, tell_small_levels

if TYPE_CHECKING:
    from agentrec.semantic_ids.vae_network import Training

SMALLEST: dict[str, float] = {
    "num_levels": 1,
    "codebook_size": 1,
    "latent_dim": 1,
    "restart_after": 0,
    "epochs": 1,
    "max_steps": 1,
    "batch_size": 1,
    "warmup_epochs": 0,
    "patience": 1,
    "refine_epochs": 0,
    "commitment": 0,
    "weight_decay": 0,
}


@dataclass(frozen=True)
class Config:
    """Settings of `RQVAE`."""

    num_levels: int = setting(3, "L, codes per item")
    codebook_size: int = setting(256, "K, codes per level")
    level_sizes: tuple[int, ...] = setting((), "K of each level, where levels differ; empty: codebook_size everywhere")
    hidden_sizes: tuple[int, ...] = setting((512, 256), "widths of the encoder's hidden layers; the decoder mirrors it")
    latent_dim: int = setting(128, "dimension of the code vectors, at most that of the vectors")
    linear_path: bool = setting(True, "principal components beside the perceptrons, trained with them")
    normalise_residuals: bool = setting(True, "choose codes by direction rather than position")
    codebook_update: Literal["ema", "gradient"] = setting("ema", "code vectors: running means, or by gradient")
    ema_decay: float = setting(0.99, "memory of the running means")
    commitment: float = setting(0.25, "β, weight of pulling latents to their code vectors")
    restart_after: int = setting(50, "steps without a user after which a code starts again; 0: never")
    sinkhorn_last_level: bool = setting(False, "in training, spread each batch evenly over the last level's codes")
    sinkhorn_epsilon: float = setting(0.003, "temperature of that spread")
    epochs: int = setting(50, "passes over the vectors, at most")
    max_steps: int = setting(10_000, "batches in all, at most; it is what ends training on a large catalogue")
    batch_size: int = setting(512, "vectors per batch")
    learning_rate: float = setting(1e-3, "peak rate of AdamW")
    weight_decay: float = setting(1e-4, "of encoder and decoder")
    warmup_epochs: int = setting(10, "epochs without codes before they start; with a linear path there are none")
    held_out: float = setting(0.0, "share of vectors that only judge epochs; 0: judge by those of training")
    patience: int = setting(15, "stop after this many epochs without a lower error")
    refine: bool = setting(False, "k-means refinement of the codebooks after training")
    refine_epochs: int = setting(10, "epochs of the decoder alone in refinement")
    seed: int = setting(0, "seed of weights, starts and batches")

    def __post_init__(self) -> None:
        object.__setattr__(self, "level_sizes", tuple(self.level_sizes))
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        for name, least in SMALLEST.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"rq_vae setting {name!r} is {getattr(self, name)}; expected {least} or more")
        for name in ("learning_rate", "sinkhorn_epsilon"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"rq_vae setting {name!r} is {getattr(self, name)}; expected a number above 0")
        for name in ("ema_decay", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"rq_vae setting {name!r} is {getattr(self, name)}; expected 0 or more, and below 1")
        if self.codebook_update not in ("ema", "gradient"):
            raise ConfigError(f"rq_vae setting 'codebook_update' is {self.codebook_update!r}; expected ema or gradient")
        if min(self.hidden_sizes, default=1) < 1:
            raise ConfigError(f"rq_vae setting 'hidden_sizes' is {list(self.hidden_sizes)}; expected widths above 0")
        check_level_sizes("rq_vae", self.num_levels, self.level_sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return self.level_sizes or (self.codebook_size,) * self.num_levels


class RQVAE(Artefact):
    """Residual-quantised autoencoder.

    Attributes:
        config: settings.
        report: what training saw, JSON-able; empty before `fit`. ``error`` and ``start_error`` are relative squared
            errors, ``restarts`` counts codes that started again per level, ``refinement`` says what refining did.

    Example:
        >>> vectors = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
        >>> small = Config(num_levels=2, codebook_size=4, hidden_sizes=(16,), latent_dim=4, epochs=2)
        >>> RQVAE(small).fit(vectors).encode(vectors).shape
        (64, 2)
    """

    room: ClassVar[str] = "semantic_ids"
    method: ClassVar[str] = "rq_vae"
    settings: ClassVar[type[Config]] = Config

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or self.settings()
        self.report: dict[str, Any] = {}
        self._fitted: Autoencoder | None = None

    def fit(self, vectors: FloatArray, *, progress: bool = False) -> Self:
        """Learn encoder, codebooks and decoder: (N, D) float32.

        Args:
            vectors: (N, D) float32.
            progress: show a bar over epochs.

        Warns:
            DataWarning: a level has fewer distinct residuals than codes and gets a smaller codebook.

        Raises:
            DataError: the vectors are not (N, D) finite numbers.
            MissingExtraError: torch is not installed.
        """
        require("torch", "train")
        from agentrec.semantic_ids.vae_refinement import refine
        from agentrec.semantic_ids.vae_training import train

        table = check_vectors(vectors)
        training = self._training()
        self._fitted, self.report = train(table, training, progress=progress)
        if self.config.refine:
            self._fitted, self.report["refinement"] = refine(table, self._fitted, training)
        tell_small_levels(self.method, self.codebooks, self.config.sizes)
        return self

    def _training(self) -> Training:
        """What training depends on; a method that trains otherwise overrides it."""
        from agentrec.semantic_ids.vae_network import Training
        from agentrec.semantic_ids.vq_layers import Rules

        config = self.config
        rules = Rules(
            normalised=config.normalise_residuals,
            ema_decay=config.ema_decay if config.codebook_update == "ema" else None,
            restart_after=config.restart_after,
            sinkhorn_epsilon=config.sinkhorn_epsilon if config.sinkhorn_last_level else None,
        )
        return Training(config, self.method, rules)

    @property
    def autoencoder(self) -> Autoencoder:
        """The trained parts.

        Raises:
            DataError: `fit` was not called.
        """
        if self._fitted is None:
            raise DataError(f"{self.method} has no codebooks yet; call fit(vectors) first")
        return self._fitted

    @property
    def codebooks(self) -> list[FloatArray]:
        """L arrays (K_l, latent_dim) float32, code vectors of the latent space.

        Raises:
            DataError: `fit` was not called.
        """
        return list(self.autoencoder.codebooks)

    def encode(self, vectors: FloatArray) -> IntArray:
        """Codes of vectors: (N, D) float32 -> (N, L) int64.

        Raises:
            DataError: `fit` was not called, or the vectors are not (N, D) finite numbers.
        """
        return self.autoencoder.encode(vectors)

    def latents(self, vectors: FloatArray) -> FloatArray:
        """What the codebooks cluster, for collision policies that weigh distances: (N, D) -> (N, latent_dim) float32.

        Raises:
            DataError: `fit` was not called, or the vectors are not (N, D) finite numbers.
        """
        made = self.autoencoder
        return made.latents(check_vectors(vectors, len(made.mean))).astype(np.float32)

    def decode(self, codes: IntArray) -> FloatArray:
        """Decoded sums of code vectors: (N, L) int64 -> (N, D) float32; fewer levels give the coarser vectors.

        Raises:
            DataError: `fit` was not called, or the codes have another shape or lie outside their level.
        """
        return self.autoencoder.decode(codes)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config, report and arrays for saving."""
        arrays = {"unfitted": np.zeros(0)} if self._fitted is None else self._fitted.arrays()
        return {**plain(self.config), "report": self.report}, arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`.

        Raises:
            ArtefactError: a part is missing.
        """
        values = dict(config)
        report = values.pop("report", {})
        quantiser = cls(from_mapping(cls.settings, values))
        quantiser.report = report
        chosen = quantiser.config
        quantiser._fitted = Autoencoder.from_arrays(
            arrays, num_levels=chosen.num_levels, normalised=chosen.normalise_residuals, method=cls.method
        )
        return quantiser


METHOD = RQVAE
