"""RQ-VAE: the conformance suite for each way of training, what defaults guard against, and refinement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray
from agentrec.semantic_ids.health import levels, relative_error
from agentrec.semantic_ids.rq_vae import RQVAE, Config
from agentrec.testing.quantisers import QuantizerTests, clustered_vectors

torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {
    "codebook_size": 8,
    "hidden_sizes": (16,),
    "latent_dim": 6,
    "epochs": 8,
    "batch_size": 64,
}


class TestDefaults(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL))


class TestGradientCodebooksRefined(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL, num_levels=2, codebook_update="gradient", refine=True, seed=3))


class TestPositionsWithoutLinearPath(QuantizerTests):
    coarse_to_fine = False  # nothing trains the decoder on sums of fewer levels

    def make(self) -> Any:
        settings = {**SMALL, "epochs": 15, "warmup_epochs": 5, "learning_rate": 5e-3}
        return RQVAE(Config(**settings, linear_path=False, normalise_residuals=False))


class TestSinkhornAndLevelsOfTheirOwnSize(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL, num_levels=2, level_sizes=(16, 4), sinkhorn_last_level=True))

    def test_sizes(self, quantiser: Any) -> None:
        assert [len(book) for book in quantiser.codebooks] == [16, 4]
