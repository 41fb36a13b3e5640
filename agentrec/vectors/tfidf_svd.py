"""TF-IDF of words and word pairs, reduced by a truncated SVD: vectors without a download or a GPU.

Latent semantic analysis (Deerwester et al., 1990) with sublinear term frequencies. Single characters count as words,
since sizes and models ("1/2 inch", "type C") are often all that tells two products apart. A text is split where
``\\w`` ends, so languages written without spaces need `sentence_transformer` instead. Saved, it gives texts that come
later the vectors that the same texts had before.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray

WORD = r"(?u)\b\w+\b"


@dataclass(frozen=True)
class Config:
    """Settings of `TfidfSvd`."""

    embedding_dim: int = setting(128, "D, at most; fewer where the texts have fewer independent directions")
    longest_phrase: int = setting(2, "count phrases of up to this many words")
    max_features: int = setting(100_000, "keep this many of the most frequent words and phrases")
    seed: int = setting(0, "seed of the randomised SVD")

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "longest_phrase", "max_features"):
            if getattr(self, name) < 1:
                raise ConfigError(f"tfidf_svd setting {name!r} is {getattr(self, name)}; expected 1 or more")


def unit_rows(table: Any) -> FloatArray:
    """Scale every row to length 1; rows of zeros stay zeros: (N, D) -> (N, D) float32."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    scaled: FloatArray = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    return scaled


class TfidfSvd(Artefact):
    """TF-IDF vectors reduced to D dimensions, each of length 1.

    Args:
        config: settings.

    Example:
        >>> encoder = TfidfSvd(Config(embedding_dim=2)).fit(["red shoe", "red hat", "green hat"])
        >>> encoder.encode(["green shoe"]).shape
        (1, 2)
    """

    room: ClassVar[str] = "vectors"
    method: ClassVar[str] = "tfidf_svd"

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._words: Any = None
        self._components: Any = None

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn words, their weights and the D directions.

        Warns:
            DataWarning: the texts allow fewer than ``embedding_dim`` directions.

        Raises:
            DataError: no text holds a word.
        """
        from sklearn.utils.extmath import randomized_svd
        from threadpoolctl import threadpool_limits

        self._words = self._counter()
        if not any(self._words.build_tokenizer()(text) for text in texts):
            raise DataError(
                f"{len(texts)} item texts hold no word; expected titles or descriptions, so check the text columns"
            )
        table = self._words.fit_transform(texts)
        dimension = self._dimension(*table.shape)
        with threadpool_limits(1):  # sums in one fixed order, so that a seed gives the same vectors again
            _, _, self._components = randomized_svd(table, dimension, random_state=self.config.seed)
        return self

    def _counter(self, words: Sequence[str] | None = None) -> Any:
        """scikit-learn's TF-IDF, of any words or of these."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(
            token_pattern=WORD,
            ngram_range=(1, self.config.longest_phrase),
            sublinear_tf=True,
            max_features=self.config.max_features,
            vocabulary=words,
            dtype=np.float32,
        )

    def _dimension(self, texts: int, words: int) -> int:
        possible = min(texts, words)
        if possible < self.config.embedding_dim:
            warnings.warn(
                f"tfidf_svd: {texts} texts with {words} words and phrases allow {possible} dimensions, fewer than "
                f"embedding_dim={self.config.embedding_dim}; going on with {possible}",
                DataWarning,
                stacklevel=3,
            )
        return min(possible, self.config.embedding_dim)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, each of length 1 (0 where no word is known): N texts -> (N, D) float32.

        Raises:
            DataError: `fit` was not called.
        """
        if self._components is None:
            raise DataError("tfidf_svd has no vocabulary yet; call fit(texts) first")
        return unit_rows(np.asarray(self._words.transform(texts) @ self._components.T, np.float32))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config, words, their weights and the directions.

        Raises:
            DataError: `fit` was not called.
        """
        if self._components is None:
            raise DataError("tfidf_svd has no vocabulary yet; call fit(texts) before saving it")
        words = self._words.get_feature_names_out().tolist()
        return {**plain(self.config), "words": words}, {"weights": self._words.idf_, "components": self._components}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`.

        Raises:
            ArtefactError: words and arrays do not fit together.
        """
        lengths = {len(config["words"]), len(arrays["weights"]), arrays["components"].shape[1]}
        if len(lengths) > 1:
            raise ArtefactError(
                f"the saved tfidf_svd has parts for {sorted(lengths)} words; expected one number, so fit it again"
            )
        encoder = cls(from_mapping(Config, {name: value for name, value in config.items() if name != "words"}))
        encoder._words = encoder._counter(config["words"])
        encoder._words.idf_ = arrays["weights"]
        encoder._components = arrays["components"]
        return encoder


METHOD = TfidfSvd
