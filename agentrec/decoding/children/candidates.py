"""The best continuations of a set of beams: what every constrained search asks at every level.

`best` asks the constraint itself where it knows a fast way (`StaticIndex`), and else looks at the children of every
beam (`best_by_children`), which is the readable definition of the answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from agentrec.core.errors import DataError
from agentrec.core.protocols import Constraint

DEAD = float("-inf")


class Frontier(NamedTuple):
    """The beams of B batch rows, M each, all on one level.

    Attributes:
        level: how many codes they have.
        states: (B, M) int64, negative for dead beams.
        scores: (B, M) float32, by which they are ranked.
        logprobs: (B, M) float32 log-probabilities, where scores are something else.
    """

    level: int
    states: torch.Tensor
    scores: torch.Tensor
    logprobs: torch.Tensor | None = None


class Candidates(NamedTuple):
    """k continuations per batch row, best first; where there are fewer, the rest is dead.

    Attributes:
        scores: (B, k) float32, ``-inf`` for the dead.
        parents: (B, k) int64, the beam that is continued; 0 for the dead.
        codes: (B, k) int64, the code that continues it; 0 for the dead.
        states: (B, k) int64, the next states; ``-1`` for the dead.
        logprobs: (B, k) float32, see `Frontier`.
    """

    scores: torch.Tensor
    parents: torch.Tensor
    codes: torch.Tensor
    states: torch.Tensor
    logprobs: torch.Tensor | None = None


@runtime_checkable
class Searchable(Protocol):
    """A constraint with a fast way of its own."""

    def top_candidates(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
    ) -> Candidates:
        """See `best`."""


def best(
    constraint: Constraint,
    beams: Frontier,
    logprobs: torch.Tensor,
    k: int,
    *,
    columns: torch.Tensor | None = None,
    barred: torch.Tensor | None = None,
) -> Candidates:
    """The k best allowed continuations of each batch row, exactly.

    Args:
        constraint: what is allowed.
        beams: to be continued.
        logprobs: (B, M, V), added to the scores.
        k: how many.
        columns: (K,) int64, where in ``logprobs`` a code lies; at its own number by default.
        barred: (B, X) int64 items that a row may not get, ``-1`` for none; for the last level.

    Raises:
        DataError: on CPUs, if a log-probability of a candidate is not a number. On other devices nothing is checked,
            because looking would wait for the device; a NaN then ranks first and reaches the scores.
    """
    if hasattr(constraint, "top_candidates"):  # as isinstance would look, which takes as long as a search of one row
        found: Candidates = constraint.top_candidates(beams, logprobs, k, columns=columns, barred=barred)
        return found
    return best_by_children(constraint, beams, logprobs, k, columns=columns, barred=barred)


def best_by_children(
    constraint: Constraint,
    beams: Frontier,
    logprobs: torch.Tensor,
    k: int,
    *,
    columns: torch.Tensor | None = None,
    barred: torch.Tensor | None = None,
) -> Candidates:
    """`best`, by the children of every beam; of equal scores any."""
    children = constraint.children(beams.level, beams.states)
    size = children.shape[-1]
    added = logprobs[..., :size] if columns is None else logprobs[..., columns]
    values = (beams.scores[..., None] + added.float()).masked_fill(children < 0, DEAD).flatten(1)
    reached = children.flatten(1)
    if barred is not None and barred.shape[1]:
        values = values.masked_fill((reached[:, :, None] == barred[:, None, :]).any(dim=-1), DEAD)
    return chosen(values, reached, torch.arange(values.shape[1], device=values.device).expand_as(values), size, k)


def masked(logits: torch.Tensor, allowed: torch.Tensor, columns: torch.Tensor | None = None) -> torch.Tensor:
    """Logits (..., V) with ``-inf`` everywhere but at the allowed codes.

    Args:
        logits: (..., V).
        allowed: (..., K) bool.
        columns: (K,) int64, where a code lies; at its own number by default.
    """
    where = torch.arange(allowed.shape[-1], device=logits.device) if columns is None else columns
    found = torch.full_like(logits, DEAD)
    found[..., where] = logits[..., where].masked_fill(~allowed, DEAD)
    return found


def chosen(values: torch.Tensor, states: torch.Tensor, places: torch.Tensor, num_codes: int, k: int) -> Candidates:
    """The k best of a flat list: values, next states and places (beam x K + code), each (B, C)."""
    found, at = values.topk(min(k, values.shape[1]), dim=1)
    check_numbers(found)
    dead = found == DEAD
    where = places.gather(1, at).masked_fill(dead, 0)
    ends = states.gather(1, at).masked_fill(dead, -1)
    short = k - found.shape[1]
    if short > 0:
        pad: Any = torch.nn.functional.pad
        found, where, ends = pad(found, (0, short), value=DEAD), pad(where, (0, short)), pad(ends, (0, short), value=-1)
    return Candidates(found, where // num_codes, where % num_codes, ends)


def check_numbers(scores: torch.Tensor) -> None:
    """Refuse scores that are not numbers, on CPUs.

    Raises:
        DataError: there is one.
    """
    if scores.device.type == "cpu" and bool(scores.isnan().any()):
        not_a_number()


def not_a_number() -> None:
    """Raise the one sentence about NaN."""
    raise DataError(
        "the model gave a log-probability that is not a number (NaN); expected numbers or -inf, so check the weights, "
        "or run it in float32 or bfloat16 instead of float16"
    )
