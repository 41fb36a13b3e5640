"""Which of the requests that wait share the next pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WASTE = 0.25  # padded places of a batch that may hold nothing
SHORT = 512  # so many of them never count


@dataclass(frozen=True)
class Budget:
    """Bounds of one batch; a single request may exceed them.

    Attributes:
        rows: beams of all requests together.
        tokens: of padded prompts and all beams together.
    """

    rows: int
    tokens: int


def choose(lengths: Sequence[int], widths: Sequence[int], num_levels: int, budget: Budget) -> list[int]:
    """Places in the queue of the next batch: the oldest request, and those most like it.

    All have its width, because the width decides what is found. Those of the most similar length come first, while the
    budget lasts and padding stays below a quarter.

    Args:
        lengths: tokens of each prompt that waits, oldest first; at least one.
        widths: beams of each.
        num_levels: L.
        budget: of the batch.

    Example:
        >>> choose([10, 400, 12, 10], [20, 20, 20, 50], 3, Budget(rows=100, tokens=1000))
        [0, 2]
    """
    oldest, width = lengths[0], widths[0]
    alike = [place for place in range(len(lengths)) if widths[place] == width]
    alike.sort(key=lambda place: (abs(lengths[place] - oldest), place))
    taken: list[int] = []
    longest = total = 0
    for place in alike:
        most, count = max(longest, lengths[place]), len(taken) + 1
        padding = most * count - total - lengths[place]
        too_much = count * width > budget.rows or count * (most + width * num_levels) > budget.tokens
        if taken and (too_much or padding > max(SHORT, WASTE * most * count)):
            break
        taken.append(place)
        longest, total = most, total + lengths[place]
    return taken
