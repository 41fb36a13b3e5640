"""SASRec: self-attention over the history, full softmax over the catalogue (Kang and McAuley, arXiv:1808.09781).

Differences from the paper, each because it ranks better: cross entropy over all items instead of one sampled negative,
cosine logits with a temperature instead of dot products, pre-norm blocks of `torch.nn.TransformerEncoderLayer`.
The item table serves as input embedding and as output head.

What it does not know: item texts, user ids, time gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from agentrec.core.artefact import Arrays, Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import FloatArray, Histories, Recommendations
from agentrec.models.ranking import recommend_by_scores


@dataclass(frozen=True)
class Config:
    """Architecture of `SASRec`."""

    embedding_dim: int = setting(64, "width of item vectors and of the network")
    num_layers: int = setting(2, "self-attention blocks")
    num_heads: int = setting(2, "attention heads")
    max_length: int = setting(50, "latest items read from a history")
    dropout: float = setting(0.3, "dropout on embeddings and inside the blocks")
    temperature: float = setting(0.07, "cosine similarities are divided by this")


class Network(nn.Module):
    """The trainable part: item indexes in, one vector per position out."""

    def __init__(self, num_items: int, config: Config) -> None:
        super().__init__()
        if config.embedding_dim % config.num_heads:
            raise ConfigError(
                f"embedding_dim {config.embedding_dim} is no multiple of num_heads {config.num_heads}; choose one"
            )
        self.config = config
        self.items = nn.Embedding(num_items, config.embedding_dim)
        self.positions = nn.Embedding(config.max_length, config.embedding_dim)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.embedding_dim,
                config.num_heads,
                4 * config.embedding_dim,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.embedding_dim)
        nn.init.normal_(self.items.weight, std=config.embedding_dim**-0.5)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Encode histories padded on the right.

        Right padding needs no padding mask: under the causal mask no real position sees a later one.

        Args:
            items: (B, T) int64, ``-1`` behind the last item; T at most ``max_length``.

        Returns:
            (B, T, D) float32; position t predicts item t + 1.
        """
        length = items.shape[1]
        hidden = self.items(items.clamp_min(0)) * self.config.embedding_dim**0.5
        hidden = self.drop(hidden + self.positions(torch.arange(length, device=items.device)))
        causal = nn.Transformer.generate_square_subsequent_mask(length, device=items.device)
        for block in self.blocks:
            hidden = block(hidden, src_mask=causal, is_causal=True)
        return self.norm(hidden)  # type: ignore[no-any-return]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Cosine similarity to every item over the temperature: (..., D) -> (..., N)."""
        users = nn.functional.normalize(hidden, dim=-1) / self.config.temperature
        return users @ nn.functional.normalize(self.items.weight, dim=-1).T

    def loss(self, items: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy of every next item of a batch: (B, T) padded on the right with ``-1`` -> scalar."""
        hidden = self(items[:, :-1])
        targets = items[:, 1:]
        real = targets >= 0
        return nn.functional.cross_entropy(self.logits(hidden[real]), targets[real])


class SASRec(Artefact):
    """Self-attentive sequential recommender with a full softmax.

    Args:
        network: trained weights; `agentrec.training.cf` trains them.
    """

    room: ClassVar[str] = "models"
    method: ClassVar[str] = "sasrec"

    def __init__(self, network: Network) -> None:
        self.network = network.eval()

    @classmethod
    def build(cls, num_items: int, config: Config | None = None, *, seed: int = 0) -> Self:
        """An untrained model with seeded weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(Network(num_items, config or Config()))

    @property
    def num_items(self) -> int:
        """N."""
        return int(self.network.items.num_embeddings)

    @torch.inference_mode()
    def score(self, histories: Histories) -> FloatArray:
        """Logits of the next item: (U, N) float32; zeros for an empty history."""
        self.network.eval()
        device = self.network.items.weight.device
        scores = np.zeros((len(histories), self.num_items), np.float32)
        known = np.flatnonzero(histories.lengths)
        if len(known):
            batch = left_aligned(histories.take(known), self.network.config.max_length)
            ends = torch.from_numpy((batch >= 0).sum(axis=1) - 1).to(device)
            hidden = self.network(torch.from_numpy(batch).to(device))
            last = hidden[torch.arange(len(known), device=device), ends]
            scores[known] = self.network.logits(last).float().cpu().numpy()
        return scores

    @property
    def reach(self) -> int:
        """Items of the longest history that `score_positions` takes."""
        return self.network.config.max_length

    @torch.inference_mode()
    def score_positions(self, histories: Histories) -> FloatArray:
        """Logits of what follows each item, in one pass per history.

        Args:
            histories: R items in all, at most `reach` in each history.

        Returns:
            (R, N) float32; row r is what `score` says of the history that ends with item r.

        Raises:
            DataError: a history is longer.
        """
        longest = int(histories.lengths.max(initial=0))
        if longest > self.reach:
            raise DataError(
                f"a history has {longest} items, and this model reads {self.reach}; expected no more, so score longer "
                "ones by `score`"
            )
        if not len(histories.items):
            return np.zeros((0, self.num_items), np.float32)
        self.network.eval()
        batch = torch.from_numpy(left_aligned(histories, longest)).to(self.network.items.weight.device)
        return self.network.logits(self.network(batch)[batch >= 0]).float().cpu().numpy()

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        return recommend_by_scores(self, histories, n, exclude_seen=exclude_seen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Config and arrays for saving."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return {"num_items": self.num_items, **plain(self.network.config)}, arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from `state`."""
        settings = {name: value for name, value in config.items() if name != "num_items"}
        network = Network(config["num_items"], from_mapping(Config, settings))
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
        return cls(network)


def left_aligned(histories: Histories, max_length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The last items of each history, padded on the right with ``-1``: (U, T), T at most ``max_length``."""
    kept = np.minimum(histories.lengths, max_length)
    columns = np.arange(max(1, int(kept.max(initial=1))))[None, :]
    source = (histories.offsets[1:] - kept)[:, None] + columns
    table = np.full((len(histories), columns.shape[1]), -1, np.int64)
    real = columns < kept[:, None]
    table[real] = histories.items[source[real]]
    return table


METHOD = SASRec
