"""K-means refinement of a trained autoencoder (GCB, arXiv:2601.18213).

Training moves code vectors batch by batch while the encoder moves away beneath them. With the encoder frozen, k-means
over the residuals of all vectors, begun at the learnt code vectors, puts each into the middle of its members; a few
epochs of the decoder alone follow. The paper's abstract says no more; keeping it only where nothing gets worse is ours.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.autoencoder import Autoencoder, utilisation
from agentrec.semantic_ids.kmeans import SETTLED, directions, means, nearest
from agentrec.semantic_ids.residual import decode_sum
from agentrec.semantic_ids.vae_network import Coder, Training
from agentrec.semantic_ids.vae_training import batches, distinct, one_thread

ROUNDS = 30
PACE = 0.5  # of the peak learning rate of training


def refine(vectors: FloatArray, made: Autoencoder, training: Training) -> tuple[Autoencoder, dict[str, Any]]:
    """Refine the codebooks, then the decoder, and keep both only where nothing gets worse.

    Args:
        vectors: (N, D) float32, those of training.
        made: the trained autoencoder.
        training: its settings.

    Returns:
        The refined autoencoder or ``made`` itself, and a JSON-able report: ``accepted``, and ``error`` (relative
        squared error) and ``utilisation`` (per level) ``before`` and ``after``.
    """
    with one_thread():
        books = refined_codebooks(made.latents(vectors).astype(np.float32), made.codebooks, made.normalised)
        candidate = replace(made, codebooks=tuple(distinct(book) for book in books))
        candidate = replace(candidate, decoder=refined_decoder(vectors, candidate, training))
        before, after = _quality(vectors, made), _quality(vectors, candidate)
    accepted = after["error"] <= before["error"] and all(
        later >= earlier for earlier, later in zip(before["utilisation"], after["utilisation"], strict=True)
    )
    return (candidate if accepted else made), {"accepted": accepted, "before": before, "after": after}


def refined_codebooks(latents: FloatArray, codebooks: tuple[FloatArray, ...], normalised: bool) -> list[FloatArray]:
    """K-means of each level's residuals, begun at the codebooks: (N, d), L arrays (K_l, d) -> L arrays (K_l, d)."""
    residuals, refined = latents.copy(), []
    for book in codebooks:
        centres = lloyd(residuals, book, normalised)
        refined.append(centres)
        residuals -= centres[_assigned(residuals, centres, normalised)]
    return refined


def lloyd(points: FloatArray, centres: FloatArray, normalised: bool, rounds: int = ROUNDS) -> FloatArray:
    """Lloyd's iterations from given centres; a centre without members restarts at a point that fits worst.

    Args:
        points: (N, d) float32.
        centres: (K, d) float32.
        normalised: members go by direction; a centre is the mean of its members all the same.
        rounds: at most.

    Returns:
        (K, d) float32.
    """
    codes = _assigned(points, centres, normalised)
    for _ in range(rounds):
        unused = np.setdiff1d(np.arange(len(centres)), codes)
        if len(unused):
            distances = ((points - centres[codes]) ** 2).sum(axis=1)
            worst = np.argsort(-distances, kind="stable")[: len(unused)]
            codes[worst] = unused[: len(worst)]
        members = np.bincount(codes, minlength=len(centres)) > 0
        centres = np.where(members[:, None], means(points, codes, len(centres)), centres)
        before, codes = codes, _assigned(points, centres, normalised)
        if (before != codes).mean() < SETTLED:
            break
    return centres


def refined_decoder(vectors: FloatArray, made: Autoencoder, training: Training) -> Any:
    """Train the decoder alone on the sums of code vectors, and return it as numpy."""
    config = training.config
    sums = torch.from_numpy(decode_sum(made.encode(vectors), made.codebooks))
    rows = torch.from_numpy(((vectors - made.mean) / np.float32(made.scale)).astype(np.float32))
    decoder = Coder.thawed(made.decoder)
    optimiser = torch.optim.AdamW(
        decoder.parameters(), lr=PACE * config.learning_rate, weight_decay=config.weight_decay
    )
    draws = torch.Generator().manual_seed(int(generator(config.seed, training.method, "refine").integers(2**31)))
    steps = config.refine_epochs * math.ceil(len(rows) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / (steps + 1))
    for _ in range(config.refine_epochs):
        for chosen in batches(len(rows), config.batch_size, draws):
            loss = (decoder(sums[chosen]) - rows[chosen]).pow(2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return decoder.frozen()


def _assigned(points: FloatArray, centres: FloatArray, normalised: bool) -> IntArray:
    return nearest(points, directions(centres, 0.0) if normalised else centres)


def _quality(vectors: FloatArray, made: Autoencoder) -> dict[str, Any]:
    from agentrec.semantic_ids.health import relative_error

    codes = made.encode(vectors)
    return {
        "error": relative_error(vectors, made.decode(codes)),
        "utilisation": utilisation(codes, made.codebooks),
    }
