"""Any sentence-transformers model, by its hub name or its folder.

What it does not know: prompts that some models expect (E5's ``"passage: "``); give them by ``prompt``. Code shipped
inside a model's repository is never run. Saving keeps the settings, not the model: its name must still lead to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, require
from agentrec.core.types import FloatArray


@dataclass(frozen=True)
class Config:
    """Settings of `SentenceTransformerEncoder`."""

    model: str = setting(
        "sentence-transformers/all-MiniLM-L6-v2", "hub name or folder of a sentence-transformers model"
    )
    revision: str | None = setting(None, "commit, tag or branch of the hub repository")
    prompt: str = setting("", "put in front of every text")
    batch_size: int = setting(64, "texts per forward pass")
    normalise: bool = setting(True, "scale every vector to length 1")
    device: str | None = setting(None, "torch device; by default a GPU where there is one")
    progress: bool = setting(False, "show a progress bar")

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"sentence_transformer setting 'batch_size' is {self.batch_size}; expected 1 or more")


class SentenceTransformerEncoder(Artefact):
    """Vectors by a sentence-transformers model, loaded at first use.

    Args:
        config: settings.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """

    room: ClassVar[str] = "vectors"
    method: ClassVar[str] = "sentence_transformer"

    def __init__(self, config: Config | None = None) -> None:
        require("sentence_transformers", "text")
        self.config = config or Config()

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(self.config.model, device=self.config.device, revision=self.config.revision)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the sentence-transformers model {self.config.model!r} could not be loaded "
                f"({str(error).strip().splitlines()[0]}); expected a hub name or the folder of a saved model"
            ) from error

    def fit(self, texts: Sequence[str]) -> Self:
        """Nothing is learnt from the texts: the model is pre-trained."""
        return self

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts: N texts -> (N, D) float32.

        Raises:
            ConfigError: the model could not be loaded.
        """
        found = self._model.encode(
            [self.config.prompt + text for text in texts],
            batch_size=self.config.batch_size,
            show_progress_bar=self.config.progress,
            normalize_embeddings=self.config.normalise,
            convert_to_numpy=True,
        )
        return np.asarray(found, dtype=np.float32).reshape(len(texts), -1)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The settings that decide the vectors; device and progress belong to a machine and a moment."""
        return {name: value for name, value in plain(self.config).items() if name not in ("device", "progress")}, {}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`; the model is loaded at first use."""
        return cls(from_mapping(Config, config))


METHOD = SentenceTransformerEncoder
