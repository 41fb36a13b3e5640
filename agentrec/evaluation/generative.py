"""What evaluations ask of a generator beyond lists of items: its model, its tokens, and beams within a constraint."""

from __future__ import annotations

from typing import Any, Protocol

from agentrec.core.protocols import Constraint
from agentrec.core.types import Histories, Recommendations
from agentrec.prompts.forms import Form
from agentrec.semantic_ids.vocabulary import SIDVocabulary


class Generative(Protocol):
    """What is asked of a generator; `agentrec.serving.generative.GenerativeRecommender` has it."""

    model: Any
    tokenizer: Any
    vocabulary: SIDVocabulary
    form: Form
    num_beams: int
    constraint: Constraint

    @property
    def num_items(self) -> int:
        """N."""

    @property
    def device(self) -> Any:
        """Where the model lies."""

    def recommend(
        self,
        histories: Histories,
        n: int,
        *,
        exclude_seen: bool = False,
        num_beams: int | None = None,
        constraint: Constraint | None = None,
    ) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; ``constraint`` replaces the catalogue."""
