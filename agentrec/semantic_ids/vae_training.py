"""Training a residual-quantised autoencoder (torch): the descent, and what is kept.

One thread, so that sums have one order and a seed decides the codes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from tqdm.auto import tqdm

from agentrec.core.errors import AgentrecError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray
from agentrec.semantic_ids import autoencoder
from agentrec.semantic_ids.vae_network import Network, Training, array, start_codebooks, start_coders
from agentrec.semantic_ids.vq_layers import straight_through, uniformity_loss

if TYPE_CHECKING:
    from agentrec.semantic_ids.rq_vae import Config

JUDGED_ROWS = 16_384  # vectors that say which epoch is kept
WARM_STEPS = 20


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order; what torch was set to comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def train(vectors: FloatArray, training: Training, *, progress: bool = False) -> tuple[autoencoder.Autoencoder, Any]:
    """Train on all vectors and keep the best epoch, or the last where codes are balanced.

    Args:
        vectors: (N, D) float32, checked.
        training: the settings.
        progress: show a bar.

    Returns:
        The autoencoder, and a JSON-able report: ``epochs``, ``steps``, ``best_epoch``, ``restarts`` per level,
        ``start_error`` and ``error`` (relative squared error of the
        vectors that judge: at most 16,384 of training, or those held out).

    Raises:
        AgentrecError: the loss is no number any more.
    """
    config = training.config
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    table = vectors - mean
    scale = float(np.sqrt(np.mean(table.astype(np.float64) ** 2))) or 1.0
    table /= np.float32(scale)
    rows = torch.from_numpy(table)
    rows, judged = _parted(rows, training)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(int(generator(config.seed, training.method, "weights").integers(2**31)))
        network = start_coders(rows, config)
        if not config.linear_path:
            warm_up(network, rows, training)
        start_codebooks(network, rows, training)
        report = descend(network, rows, judged, training, progress=progress)
    books = tuple(distinct(array(book.vectors)) for book in network.books)  # type: ignore[arg-type]
    ends = network.encoder.frozen(), network.decoder.frozen()
    return autoencoder.Autoencoder(mean, scale, *ends, books, config.normalise_residuals), report


def batches(size: int, batch_size: int, draws: torch.Generator) -> tuple[Tensor, ...]:
    """All rows in a random order, in batches: each (B,) int64."""
    return torch.split(torch.randperm(size, generator=draws), batch_size)


def warm_up(network: Network, rows: Tensor, training: Training) -> None:
    """A few epochs without codes: there is nothing to cluster in what a random perceptron says."""
    config = training.config
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    draws = torch.Generator().manual_seed(config.seed)
    for _ in range(min(config.warmup_epochs, math.ceil(config.max_steps / math.ceil(len(rows) / config.batch_size)))):
        for chosen in batches(len(rows), config.batch_size, draws):
            loss = (network.decoder(network.encoder(rows[chosen])) - rows[chosen]).pow(2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def _parted(rows: Tensor, training: Training) -> tuple[Tensor, Tensor]:
    """Rows to train on, and rows to judge epochs by."""
    draws = generator(training.config.seed, training.method, "judged")
    kept_out = min(round(training.config.held_out * len(rows)), len(rows) - 1)
    if not kept_out:
        some = draws.permutation(len(rows))[:JUDGED_ROWS]
        return rows, rows[torch.from_numpy(np.sort(some))]
    order = torch.from_numpy(draws.permutation(len(rows)))
    return rows[order[kept_out:].sort().values], rows[order[:kept_out]]


def descend(
    network: Network, rows: Tensor, judged: Tensor, training: Training, *, progress: bool = False
) -> dict[str, Any]:
    """AdamW with warm-up and cosine decay; leaves the network at its best epoch and returns the report of `train`.

    Balance gives a little error for even codes. The epoch of the lowest error would take that back, often to the very
    start, so where codes are balanced the last epoch is kept.
    """
    config = training.config
    each = math.ceil(len(rows) / config.batch_size)
    epochs = min(config.epochs, math.ceil(config.max_steps / each))
    optimiser, schedule = _optimiser(network, config, min(config.max_steps, epochs * each))
    draws = torch.Generator().manual_seed(int(generator(config.seed, training.method, "batches").integers(2**31)))
    error = started = judge(network, judged)
    best, best_epoch, steps = _copy(network), 0, 0
    with tqdm(range(1, epochs + 1), disable=not progress, desc="epochs") as bar:
        for epoch in bar:
            for chosen in batches(len(rows), config.batch_size, draws):
                if steps == config.max_steps:
                    break
                _step(network, rows[chosen], training, optimiser, draws)
                schedule.step()
                steps += 1
            found = judge(network, judged)
            bar.set_postfix(error=f"{found:.4f}")
            if found < error or training.rules.balance_strength:
                best, best_epoch, error = _copy(network), epoch, found
            elif epoch - best_epoch >= config.patience:
                break
    network.load_state_dict(best)
    network.eval()
    restarts = [book.restarts for book in network.books]
    return {
        "epochs": epoch,
        "steps": steps,
        "best_epoch": best_epoch,
        "restarts": restarts,
        "start_error": started,
        "error": error,
    }


@torch.no_grad()
def judge(network: Network, rows: Tensor) -> float:
    """Relative squared error with plain, unbalanced codes, as they will be used."""
    network.eval()
    found = network.decoder(network.quantise(network.encoder(rows)).latents)
    spread = (rows - rows.mean(dim=0)).double().pow(2).sum().item()
    error = float((rows - found).double().pow(2).sum().item() / (spread or 1.0))
    if not math.isfinite(error):
        raise AgentrecError(
            "training of the quantiser diverged, its error is no number; expected it to fall, so lower learning_rate"
        )
    return error


def _step(
    network: Network, rows: Tensor, training: Training, optimiser: torch.optim.Optimizer, draws: torch.Generator
) -> None:
    network.train()
    latents = network.encoder(rows)
    found = network.quantise(latents, draws)
    rebuilt = network.decoder(straight_through(latents, found.latents))
    loss = (rebuilt - rows).pow(2).mean() + training.config.commitment * found.commitment
    if training.rules.ema_decay is None:
        loss = loss + found.codebook
    if training.uniformity_weight:
        for book, length in zip(network.books, found.lengths, strict=True):
            loss = loss + training.uniformity_weight * uniformity_loss(
                book.vectors,  # type: ignore[arg-type]
                training.uniformity_margin * length,
            )
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def _optimiser(network: Network, config: Config, steps: int) -> tuple[Any, Any]:
    ends = [*network.encoder.parameters(), *network.decoder.parameters()]
    books = [book.vectors for book in network.books if book.vectors.requires_grad]
    groups: list[dict[str, Any]] = [{"params": ends}]
    if books:
        groups.append({"params": books, "weight_decay": 0.0})
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def distinct(book: FloatArray) -> FloatArray:
    """Without code vectors that occur twice: of equals, rounding would choose."""
    _, first = np.unique(book, axis=0, return_index=True)
    return book[np.sort(first)]
