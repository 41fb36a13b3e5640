"""One constraint per batch row, so that requests with different sets share a batch and one pass of the model.

Rows that share a constraint, the same object, are asked together. What each row finds is what it finds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from agentrec.core.errors import DataError
from agentrec.core.protocols import Constraint
from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import Candidates, Frontier, best

Rows = slice | torch.Tensor


class PerRow:
    """The constraints of B batch rows; follows `agentrec.core.protocols.Constraint` and `candidates.Searchable`.

    Where a search splits its rows, so that R = B x m rows come, the first m belong to the first constraint, and so on.
    States mean something only in their own row.

    Args:
        constraints: one per row; the same object for rows that share a set. `advance` and `allowed` need constraints
            that have them (`agentrec.core.protocols.Walkable`).

    Raises:
        DataError: there is no constraint, or their levels differ.

    Example:
        >>> from agentrec.decoding.index.trie import Trie
        >>> import numpy as np
        >>> one, other = Trie.build(np.array([[0], [1]]), (3,)), Trie.build(np.array([[2]]), (3,))
        >>> PerRow([one, other]).children(0, torch.tensor([0, 0])).tolist()
        [[0, 1, -1], [-1, -1, 0]]
    """

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        self.constraints = tuple(constraints)
        if not self.constraints:
            raise DataError("a batch has no constraints; expected one per row")
        self._sizes = [tuple(constraint.level_sizes) for constraint in self.constraints]
        wrong = next((row for row, sizes in enumerate(self._sizes) if sizes != self._sizes[0]), None)
        if wrong is not None:
            raise DataError(
                f"the constraint of row {wrong} has level sizes {self._sizes[wrong]} and that of row 0 "
                f"{self._sizes[0]}; expected one model's levels, so build both on the same semantic IDs"
            )
        self._groups: dict[tuple[int, torch.device], list[tuple[Any, Rows]]] = {}
        self._back: dict[tuple[int, torch.device], torch.Tensor | None] = {}  # from the order of groups to that of rows

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return self._sizes[0]

    @property
    def num_items(self) -> int:
        """How many items every row can reach at least."""
        return min(constraint.num_items for constraint in self.constraints)

    def take(self, rows: IntArray | Sequence[int]) -> PerRow:
        """The constraints of the chosen rows, in that order."""
        return PerRow([self.constraints[row] for row in rows])

    def check_rows(self, rows: int) -> None:
        """Refuse another number of rows.

        Raises:
            DataError: it is not the number of constraints.
        """
        if rows != len(self.constraints):
            raise DataError(f"{rows} histories meet {len(self.constraints)} constraints; expected one for each")

    def children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Next state of every code: states (R, ...) int64 -> (R, ..., K_level) int64, ``-1`` where not allowed."""
        found = states.new_empty(*states.shape, self.level_sizes[level])
        for constraint, rows in self._parts(states):
            found[rows] = constraint.children(level, states[rows])
        return found

    def allowed(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Which codes may follow: states (R, ...) int64 -> (R, ..., K_level) bool."""
        found = torch.empty(*states.shape, self.level_sizes[level], dtype=torch.bool, device=states.device)
        for constraint, rows in self._parts(states):
            found[rows] = constraint.allowed(level, states[rows])
        return found

    def advance(self, level: int, states: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The states behind one code each: (R, ...) int64 and (R, ...) int64 -> (R, ...) int64, ``-1`` if barred."""
        found = torch.empty_like(states)
        for constraint, rows in self._parts(states):
            found[rows] = constraint.advance(level, states[rows], codes[rows])
        return found

    def top_candidates(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
    ) -> Candidates:
        """See `agentrec.decoding.children.candidates.best`."""
        groups = self._parts(beams.states)
        if len(groups) == 1:
            return best(groups[0][0], beams, logprobs, k, columns=columns, barred=barred)
        parts = []
        for constraint, rows in groups:
            own = Frontier(beams.level, beams.states[rows], beams.scores[rows])
            lines, wanted = logprobs[rows], columns
            if columns is not None and not isinstance(rows, slice):
                # the codes alone, because a copy of the whole vocabulary costs more than the search
                width = torch.arange(beams.states.shape[1], device=logprobs.device)[:, None]
                lines, wanted = logprobs[rows[:, None, None], width, columns], None
            skip = None if barred is None else barred[rows]
            parts.append(best(constraint, own, lines, k, columns=wanted, barred=skip)[:4])
        found = [torch.cat(column) for column in zip(*parts, strict=True)]
        back = self._back[len(beams.states), beams.states.device]
        return Candidates(*(found if back is None else [column[back] for column in found]))

    def _parts(self, states: torch.Tensor) -> list[tuple[Any, Rows]]:
        """Every constraint with its rows; those that lie side by side as a slice, which copies nothing.

        Raises:
            DataError: the rows do not divide among the constraints.
        """
        key = (len(states), states.device)
        if key not in self._groups:
            times, rest = divmod(len(states), len(self.constraints))
            if rest or not times:
                raise DataError(
                    f"{len(states)} batch rows meet {len(self.constraints)} constraints; expected one constraint per "
                    "row, so take those of the batch (`PerRow.take`)"
                )
            found: dict[int, list[int]] = {}
            for row in range(len(states)):
                found.setdefault(id(self.constraints[row // times]), []).append(row)
            order = [row for rows in found.values() for row in rows]
            back = torch.tensor(order, device=states.device).argsort()
            self._back[key] = None if order == sorted(order) else back
            self._groups[key] = [
                (self.constraints[rows[0] // times], _side_by_side(rows) or torch.tensor(rows, device=states.device))
                for rows in found.values()
            ]
        return self._groups[key]


def _side_by_side(rows: list[int]) -> slice | None:
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else None
