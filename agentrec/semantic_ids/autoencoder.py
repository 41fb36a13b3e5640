"""A residual-quantised autoencoder after training: numpy alone, in float64.

Torch is needed to train one, never to use one. Float64 keeps the codes of a vector from depending on its batch: how
BLAS sums a row changes with the number of rows, and in float32 that is enough to flip a close decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentrec.core.artefact import Arrays
from agentrec.core.errors import ArtefactError
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.kmeans import check_vectors, directions, nearest
from agentrec.semantic_ids.residual import decode_sum, encode_levels

CHUNK = 16_384


@dataclass(frozen=True)
class Coder:
    """A perceptron with ReLU between its layers, beside an optional linear path: y = mlp(x) + linear x.

    Attributes:
        layers: weight (out, in) and bias (out,) of each layer, float32.
        linear: (out, in) float32, or None.
    """

    layers: tuple[tuple[FloatArray, FloatArray], ...]
    linear: FloatArray | None = None

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Rows through the network: (N, in) -> (N, out) float64."""
        hidden = wide = np.asarray(rows, np.float64)
        for number, (weight, bias) in enumerate(self.layers):
            if number:
                hidden = np.maximum(hidden, 0)
            hidden = hidden @ weight.T.astype(np.float64) + bias
        return hidden if self.linear is None else hidden + wide @ self.linear.T.astype(np.float64)

    def arrays(self, name: str) -> Arrays:
        """Its arrays, each under a name that begins with ``name``."""
        found: Arrays = {} if self.linear is None else {f"{name}.linear": self.linear}
        for number, (weight, bias) in enumerate(self.layers):
            found[f"{name}.{number}.weight"], found[f"{name}.{number}.bias"] = weight, bias
        return found

    @classmethod
    def from_arrays(cls, name: str, arrays: Arrays) -> Self:
        """Rebuild from `arrays`."""
        layers = []
        for number in count():
            if f"{name}.{number}.weight" not in arrays:
                break
            layers.append((arrays[f"{name}.{number}.weight"], arrays[f"{name}.{number}.bias"]))
        if not layers:
            raise KeyError(f"{name}.0.weight")
        return cls(tuple(layers), arrays.get(f"{name}.linear"))


@dataclass(frozen=True)
class Autoencoder:
    """Encoder, codebooks of its latent space, decoder.

    Attributes:
        mean: (D,) float32, subtracted from vectors.
        scale: one number that vectors are divided by after that, so that distances keep their proportions.
        encoder: D -> d.
        decoder: d -> D.
        codebooks: L arrays (K_l, d) float32.
        normalised: a residual gets the code vector of the largest cosine; otherwise the nearest.
    """

    mean: FloatArray
    scale: float
    encoder: Coder
    decoder: Coder
    codebooks: tuple[FloatArray, ...]
    normalised: bool

    def latents(self, vectors: FloatArray) -> NDArray[np.float64]:
        """What is quantised: (N, D) -> (N, d) float64."""
        found = np.empty((len(vectors), self.codebooks[0].shape[1]))
        for start in range(0, len(vectors), CHUNK):
            rows = slice(start, start + CHUNK)
            found[rows] = self.encoder((vectors[rows].astype(np.float64) - self.mean) / self.scale)
        return found

    def encode(self, vectors: FloatArray) -> IntArray:
        """Codes level by level: (N, D) -> (N, L) int64.

        Raises:
            DataError: the vectors are not (N, D) finite numbers.
        """
        return self.encode_latents(self.latents(check_vectors(vectors, len(self.mean))))

    def encode_latents(self, latents: NDArray[Any]) -> IntArray:
        """Codes of latents: (N, d) -> (N, L) int64."""
        seekers = [directions(book, 0.0) if self.normalised else book for book in self.codebooks]
        return encode_levels(latents, self.codebooks, lambda residuals, level: nearest(residuals, seekers[level]))

    def decode(self, codes: IntArray) -> FloatArray:
        """Decoded sums of code vectors: (N, 1..L) int64 -> (N, D) float32.

        Raises:
            DataError: the codes have another shape, or lie outside their level.
        """
        sums = decode_sum(codes, self.codebooks)
        found = np.empty((len(sums), len(self.mean)), np.float32)
        for start in range(0, len(sums), CHUNK):
            rows = slice(start, start + CHUNK)
            found[rows] = self.decoder(sums[rows]) * self.scale + self.mean
        return found

    def arrays(self) -> Arrays:
        """Everything but ``normalised``, as arrays."""
        books = {f"codebook.{level}": book for level, book in enumerate(self.codebooks)}
        ends = {"mean": self.mean, "scale": np.array([self.scale])}
        return {**ends, **books, **self.encoder.arrays("encoder"), **self.decoder.arrays("decoder")}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, num_levels: int, normalised: bool, method: str) -> Self:
        """Rebuild from `arrays`.

        Raises:
            ArtefactError: an array is missing.
        """
        try:
            return cls(
                arrays["mean"],
                float(arrays["scale"][0]),
                Coder.from_arrays("encoder", arrays),
                Coder.from_arrays("decoder", arrays),
                tuple(arrays[f"codebook.{level}"] for level in range(num_levels)),
                normalised,
            )
        except KeyError as error:
            raise ArtefactError(
                f"the saved {method} lacks {error}; it was not fitted or is incomplete, so fit it again"
            ) from error


def utilisation(codes: IntArray, codebooks: Sequence[FloatArray]) -> list[float]:
    """Share of the codes of each level that some row uses."""
    return [len(np.unique(column)) / len(book) for column, book in zip(codes.T, codebooks, strict=True)]
