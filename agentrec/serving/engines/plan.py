"""What a request comes down to: a constraint that stays the same, a width, and the items to strike out.

All engines plan alike, so that the same request ranks the same items whoever answers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrec.core.errors import ConfigError, EmptySetError
from agentrec.core.protocols import Walkable
from agentrec.decoding.sets.named import ALL, ConstraintSets
from agentrec.decoding.stepping import Job
from agentrec.serving.engines.protocol import BeamRequest, BeamResult, TextRequest
from agentrec.serving.generative import widened

MOST_WIDENED = 512  # beams; where striking out would need more, the set itself is cut


@dataclass(frozen=True)
class Limits:
    """What a model can take.

    Attributes:
        vocabulary_size: token ids go up to one less.
        max_length: tokens of prompt and output together.
        num_levels: L, tokens of one item.
        max_beams: the widest beam.
    """

    vocabulary_size: int
    max_length: int
    num_levels: int
    max_beams: int

    def check(self, request: BeamRequest | TextRequest) -> None:
        """Refuse what the model cannot take.

        Raises:
            ConfigError: the prompt is too long, holds a token that does not exist, or the beam is too wide.
        """
        prompt = request.prompt
        wrong = next((token for token in prompt if not 0 <= token < self.vocabulary_size), None)
        if wrong is not None:
            raise ConfigError(f"the prompt has token {wrong}; expected ids from 0 to {self.vocabulary_size - 1}")
        if isinstance(request, BeamRequest):
            output, beams = self.num_levels, request.num_beams
        else:
            output, beams = room_of(request, self.num_levels), 1
        if len(prompt) + output > self.max_length:
            raise ConfigError(
                f"the prompt has {len(prompt)} tokens and the output up to {output}; expected at most "
                f"{self.max_length} together, so send a shorter history"
            )
        if beams > self.max_beams:
            raise ConfigError(f"num_beams is {beams}; expected at most {self.max_beams}")


@dataclass(frozen=True)
class Plan:
    """A beam request as it is carried out.

    Attributes:
        prompt: token ids.
        n: items wanted.
        width: beams, more than the request's where items are struck out.
        constraint: the allowed items; None where nothing is left.
        exclude: item indexes that a search strikes out.
    """

    prompt: tuple[int, ...]
    n: int
    width: int
    constraint: Walkable | None
    exclude: tuple[int, ...]


def plan_beam(request: BeamRequest, sets: ConstraintSets) -> Plan:
    """Fix what a request is held to.

    A beam grows by the items to strike out, as in `GenerativeRecommender.recommend`. Where that would take more than
    `MOST_WIDENED` beams, the items are taken out of the set instead, and the beam stays as it is.

    Raises:
        EmptySetError: the constraint holds no item.
        UnknownNameError: it names a set that does not exist.
        ConfigError: it is malformed.
    """
    constraint = allowed_items(request.constraint, sets)
    seen = np.array(request.exclude, np.int64)
    width = int(widened(request.num_beams, np.array([len(seen)]))[0])
    if width <= max(MOST_WIDENED, request.num_beams):
        return Plan(request.prompt, request.n, width, constraint, request.exclude)
    return Plan(request.prompt, request.n, request.num_beams, _without(request, sets), ())


def nothing_left(plan: Plan) -> BeamResult:
    """The answer where no item is allowed any more."""
    return BeamResult(np.zeros(0, np.int64), np.zeros(0, np.float32), len(plan.prompt), 0)


def allowed_items(expression: str, sets: ConstraintSets) -> Walkable:
    """The items that an expression describes now; raises as `ConstraintSets.get`."""
    return sets.index if expression.strip() in ("", ALL) else sets.get(expression)


def _without(request: BeamRequest, sets: ConstraintSets) -> Walkable | None:
    from agentrec.decoding.sets.subset import Subset

    chosen = sets.get(request.constraint or ALL)
    mask = np.zeros(int(sets.index.items.max()) + 1, np.bool_)
    mask[chosen.items()] = True
    known = [item for item in request.exclude if 0 <= item < len(mask)]
    mask[known] = False
    try:
        return Subset.build(sets.index, mask, name=f"{chosen.name} without {len(known)} items")
    except EmptySetError:
        return None


@dataclass(frozen=True)
class TextPlan:
    """A text request as it is carried out.

    Attributes:
        request: as it came.
        job: what the output is held to; None for free text alone.
    """

    request: TextRequest
    job: Job | None

    @property
    def room(self) -> int:
        """Tokens of output at most; see `room_of`."""
        return room_of(self.request, 0 if self.job is None else len(self.job.allowed.level_sizes))


def plan_text(request: TextRequest, sets: ConstraintSets, tokenizer: Any) -> TextPlan:
    """Fix what a request is held to.

    Raises:
        ConfigError: the marker is no token, there are fewer items than wanted, or the expression is malformed.
        EmptySetError: the constraint holds no item.
        UnknownNameError: it names a set that does not exist.
    """
    if not request.wants_items:
        return TextPlan(request, None)
    allowed = sets.get(request.constraint or ALL)
    if not request.marker:
        return TextPlan(request, Job(allowed, request.num_items))
    marker = token_of(tokenizer, request.marker)
    if marker is None:
        raise ConfigError(f"the marker is {request.marker!r}; expected the text of one token of the model")
    return TextPlan(request, Job(allowed, request.num_items, marker, request.max_tokens))


def token_of(tokenizer: Any, text: str) -> int | None:
    """The id of one token by its text; None where the tokenizer has none. A whole vocabulary is never copied."""
    found = tokenizer.convert_tokens_to_ids(text)
    return found if found is not None and tokenizer.convert_ids_to_tokens(found) == text else None


def room_of(request: TextRequest, num_levels: int) -> int:
    """Tokens that an output has at most: text, marker, items and the end."""
    if not request.wants_items:
        return request.max_tokens
    items = request.num_items * num_levels + 1
    return items + (request.max_tokens + 1 if request.marker else 0)
