"""The seams: what one room may expect of another, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agentrec.core.types import FloatArray, Histories, IntArray, Recommendations


@runtime_checkable
class Recommender(Protocol):
    """Anything that ranks items for histories."""

    @property
    def num_items(self) -> int:
        """N, the number of items it knows."""

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """Rank the best ``n`` items of the whole catalogue for each history, without duplicates.

        Args:
            histories: U users.
            n: list length.
            exclude_seen: leave out the items of the user's own history.
        """


@runtime_checkable
class Scorer(Protocol):
    """A recommender that can score the whole catalogue at once."""

    def score(self, histories: Histories) -> FloatArray:
        """Score all items: (U, N) float32, higher is better."""


@runtime_checkable
class TextEncoder(Protocol):
    """Item texts to vectors."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return one vector per text: (N, D) float32."""


@runtime_checkable
class Quantiser(Protocol):
    """Item vectors to codes, level by level, coarse to fine."""

    @property
    def codebooks(self) -> list[FloatArray]:
        """L arrays (K_l, D) float32."""

    def encode(self, vectors: FloatArray) -> IntArray:
        """Codes of vectors: (N, D) float32 -> (N, L) int64."""

    def decode(self, codes: IntArray) -> FloatArray:
        """Reconstruct vectors: (N, L) int64 -> (N, D) float32."""


class Saved(Protocol):
    """Anything with the one artefact format: a folder of JSON and safetensors."""

    def save_pretrained(self, save_directory: str | Path) -> Any:
        """Write the folder; nothing half-written remains if that fails."""


class Constraint(Protocol):
    """The set of code sequences that may be generated, walked level by level.

    States are opaque integers; every state of one call lies on the same level. At the last level the next state *is*
    the item index, so that a finished walk names its item. Arrays are torch tensors.
    """

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """K_l per level."""

    @property
    def num_items(self) -> int:
        """N, the number of items that can be reached."""

    def children(self, level: int, states: Any) -> Any:
        """Next state of every code: states (...,) int64 -> (..., K_level) int64, ``-1`` where a code is not allowed."""


class Walkable(Constraint, Protocol):
    """A constraint that also answers for single codes, to replay what was written and to mask what may come next."""

    def advance(self, level: int, states: Any, codes: Any) -> Any:
        """The states behind one code each: (...,) int64 and (...,) int64 -> (...,) int64, ``-1`` where not allowed.

        A code outside the level is not allowed, and a dead state stays dead.
        """

    def allowed(self, level: int, states: Any) -> Any:
        """Which codes may follow: states (...,) int64 -> (..., K_level) bool."""
