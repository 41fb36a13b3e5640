"""The network of a residual-quantised autoencoder (torch), and where its training starts.

The descent starts where residual k-means ends: the linear path begins as principal components, the perceptron beside
it at zero, and each codebook as k-means on encoded vectors. So the first step already has an even, useful codebook,
and the classic failure, a handful of codes that take everything before the encoder has learnt, has nowhere to start.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from agentrec.core.rng import generator
from agentrec.core.types import FloatArray
from agentrec.semantic_ids import autoencoder
from agentrec.semantic_ids.kmeans import directions, distinct_rows, flat_centres, means, nearest, spherical_centres
from agentrec.semantic_ids.vq_layers import Codebook, Rules

if TYPE_CHECKING:
    from agentrec.semantic_ids.rq_vae import Config

START_ROWS = 65_536  # vectors that k-means starts the codebooks on
START_ROUNDS = 30
NOTHING = 1e-6  # residuals shorter than this share of the longest latent are rounding


class Training(NamedTuple):
    """Everything that training depends on.

    Attributes:
        config: settings of network and descent.
        method: name of the quantiser, which names its random streams too.
        rules: how its codebooks learn.
        uniformity_weight: λ of `agentrec.semantic_ids.vq_layers.uniformity_loss`; 0: off.
        uniformity_margin: its margin, as a share of the root mean square length of a level's residuals.
    """

    config: Config
    method: str
    rules: Rules
    uniformity_weight: float = 0.0
    uniformity_margin: float = 0.0


class Quantised(NamedTuple):
    """What quantising a batch gives.

    Attributes:
        codes: (B, L) int64.
        latents: (B, d), sums of code vectors.
        commitment: how far residuals are from their code vectors, with a gradient to the encoder.
        codebook: the same with a gradient to the codebooks.
        lengths: root mean square length of the residuals of each level.
    """

    codes: Tensor
    latents: Tensor
    commitment: Tensor
    codebook: Tensor
    lengths: list[float]


class Coder(nn.Module):
    """See `agentrec.semantic_ids.autoencoder.Coder`; with a linear path the perceptron starts at zero."""

    def __init__(self, sizes: list[int], linear: Tensor | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.linear = None if linear is None else nn.Parameter(linear.clone())
        if linear is not None:
            nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, rows: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        hidden = rows
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden.relu() if number else hidden)
        return hidden if self.linear is None else hidden + rows @ self.linear.T

    @classmethod
    def thawed(cls, frozen: autoencoder.Coder) -> Self:
        """The trainable twin of a numpy coder."""
        sizes = [frozen.layers[0][0].shape[1], *(len(bias) for _, bias in frozen.layers)]
        coder = cls(sizes, None if frozen.linear is None else torch.from_numpy(frozen.linear.copy()))
        with torch.no_grad():
            for layer, (weight, bias) in zip(coder.layers, frozen.layers, strict=True):
                assert isinstance(layer, nn.Linear)
                layer.weight.copy_(torch.from_numpy(weight.copy()))
                layer.bias.copy_(torch.from_numpy(bias.copy()))
        return coder

    def frozen(self) -> autoencoder.Coder:
        """The same in numpy."""
        layers = tuple((array(layer.weight), array(layer.bias)) for layer in self.layers)  # type: ignore[arg-type]
        return autoencoder.Coder(layers, None if self.linear is None else array(self.linear))


class Network(nn.Module):
    """Encoder, codebooks and decoder."""

    def __init__(self, encoder: Coder, decoder: Coder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.books = nn.ModuleList()

    def quantise(self, latents: Tensor, draws: torch.Generator | None = None) -> Quantised:
        """Choose codes level by level; (B, d). In training mode codebooks take note, with restarts by ``draws``."""
        residuals, total = latents, torch.zeros_like(latents)
        commitment = codebook = latents.new_zeros(())
        codes, lengths = [], []
        for book in self.books:
            assert isinstance(book, Codebook)
            chosen = book.choose(residuals.detach())
            picked = book.vectors[chosen]
            lengths.append(float(residuals.detach().pow(2).sum(dim=1).mean().sqrt()))
            commitment = commitment + (residuals - picked.detach()).pow(2).mean()
            codebook = codebook + (residuals.detach() - picked).pow(2).mean()
            total = total + picked.detach()
            codes.append(chosen)
            if draws is not None:
                book.learn(residuals.detach(), chosen, draws)
            residuals = residuals - picked.detach()
        return Quantised(torch.stack(codes, dim=1), total, commitment, codebook, lengths)


def start_coders(rows: Tensor, config: Config) -> Network:
    """A network without codebooks, whose linear path, if any, is a principal component analysis."""
    dimension = rows.shape[1]
    width = min(config.latent_dim, dimension)
    inward = outward = None
    if config.linear_path:
        inward, outward = principal_components(rows, width)
    return Network(
        Coder([dimension, *config.hidden_sizes, width], inward),
        Coder([width, *reversed(config.hidden_sizes), dimension], outward),
    )


def start_codebooks(network: Network, rows: Tensor, training: Training) -> None:
    """Add the codebooks, as residual k-means on encoded vectors."""
    config = training.config
    draws = generator(config.seed, training.method, "start")
    some = np.sort(draws.choice(len(rows), min(len(rows), START_ROWS), replace=False))
    with torch.no_grad():
        latents = network.encoder(rows[torch.from_numpy(some)]).numpy()
    for level, centres in enumerate(first_codebooks(latents, config, int(draws.integers(2**31)))):
        last = config.sinkhorn_last_level and level == config.num_levels - 1
        rules = training.rules if last else replace(training.rules, sinkhorn_epsilon=None)
        network.books.append(Codebook(torch.from_numpy(centres), rules))


def principal_components(rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Matrices to ``width`` principal components of mean variance 1 and back: (B, D) -> (width, D), (D, width)."""
    exact = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for part in torch.split(rows, START_ROWS):
        exact += part.double().T @ part.double()
    values, axes = torch.linalg.eigh(exact / len(rows))
    kept, spread = axes[:, -width:].flip(1), values[-width:].clamp_min(0).mean().sqrt().item() or 1.0
    return (kept.T / spread).float().contiguous(), (kept * spread).float().contiguous()


def first_codebooks(latents: FloatArray, config: Config, seed: int) -> list[FloatArray]:
    """Residual k-means on latents, (N, d) -> L arrays (K_l, d), K_l no more than there are distinct residuals."""
    residuals = latents.copy()
    books = []
    shortest = NOTHING * float(np.linalg.norm(residuals, axis=1).max())
    for level, size in enumerate(config.sizes):
        residuals[np.linalg.norm(residuals, axis=1) <= shortest] = 0
        points = directions(residuals, 0.0) if config.normalise_residuals else residuals
        possible = distinct_rows(points, size)
        if possible > 1:
            method = spherical_centres if config.normalise_residuals else flat_centres
            centres = method(points, possible, max_iter=START_ROUNDS, seed=(seed + level) % 2**31)
            codes = nearest(points, centres)
        else:
            codes = np.zeros(len(points), np.int64)
        book = means(residuals, codes, possible)
        residuals -= book[codes]
        books.append(book)
    return books


def array(tensor: Tensor) -> FloatArray:
    """A copy as numpy float32."""
    return tensor.detach().numpy().astype(np.float32, copy=True)
