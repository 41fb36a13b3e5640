"""Where many outputs stand at once, advanced by the tokens as they come: what a server's logits processor asks.

An output may begin with free text; behind a marker, or at once, it consists of items, no item twice, and then of the
end token. `agentrec.decoding.grammar` says the same by replaying what was written; here each output has a slot, a token
moves it one edge down the trie, and slots may be moved and swapped as a server reorders its batch. Everything runs on
the host in compiled loops, so that the model's device gets one list of allowed tokens per step.

What it does not know: tokens between items, and beams that share a past; a search has a slot per beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import IntArray
from agentrec.decoding import stepping_kernels as kernels
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.subset import Subset

UNLIMITED = -1


@dataclass(frozen=True, eq=False)
class TokenLayout:
    """The items of an index as a model writes them.

    Attributes:
        index: of the catalogue, on the host.
        token_ids: per level, (K_l,) int64 token id of each code.
        eos: tokens that end an output; the first one is written behind the last item.
    """

    index: StaticIndex
    token_ids: tuple[IntArray, ...]
    eos: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = tuple(len(ids) for ids in self.token_ids)
        if sizes != tuple(self.index.level_sizes):
            raise DataError(
                f"token ids have levels of {sizes} codes; expected those of the index, {tuple(self.index.level_sizes)}"
            )
        if not self.eos:
            raise ConfigError("the model has no end token; expected one, which closes the items, so set it")

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.token_ids)

    @cached_property
    def table(self) -> tuple[IntArray, ...]:
        """For the kernels: token of every edge, first edge of every node, and where a level begins in both."""
        tokens = [ids[codes.numpy()] for ids, codes in zip(self.token_ids, self.index.tokens, strict=True)]
        counts = [1, *(len(level) for level in tokens[:-1])]
        firsts = [
            row.at(torch.arange(nodes + 1)).numpy() for row, nodes in zip(self.index.offsets, counts, strict=True)
        ]
        edge_at = np.concatenate([[0], np.cumsum([len(level) for level in tokens])])
        node_at = np.concatenate([[0], np.cumsum([len(first) for first in firsts])])
        return np.concatenate(tokens), np.concatenate(firsts), edge_at, node_at


@dataclass(frozen=True, eq=False)
class Job:
    """What one output is held to.

    Attributes:
        allowed: the items that may be written.
        num_items: how many; `UNLIMITED` for items without an end, which may repeat.
        marker: token behind which items begin; ``-1`` for at once.
        max_text: tokens of free text at most, then the marker is written; `UNLIMITED` by default.

    Raises:
        ConfigError: there are fewer allowed items than are wanted.
    """

    allowed: Subset
    num_items: int = 1
    marker: int = -1
    max_text: int = UNLIMITED

    def __post_init__(self) -> None:
        if self.num_items != UNLIMITED and not 1 <= self.num_items <= self.allowed.num_items:
            raise ConfigError(
                f"num_items is {self.num_items} and {self.allowed.name!r} has {self.allowed.num_items}; expected at "
                "least 1 and no more than these, because none comes twice"
            )


class Cut(NamedTuple):
    """What a step does to logits, as pairs of a row and a token.

    Attributes:
        held: (H,) int64 rows in which only ``allowed`` stays.
        allowed: (2, A) int64.
        barred: (2, X) int64, taken from rows that are otherwise free.
    """

    held: IntArray
    allowed: IntArray
    barred: IntArray

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Set everything else to ``-inf``, in place: logits (R, V) on any device; nothing is raised that was lower."""
        if len(self.held):
            rows, tokens = torch.from_numpy(self.allowed).to(logits.device, non_blocking=True)
            kept = logits[rows, tokens]
            logits[torch.from_numpy(self.held).to(logits.device, non_blocking=True)] = -torch.inf
            logits[rows, tokens] = kept
        if self.barred.shape[1]:
            rows, tokens = torch.from_numpy(self.barred).to(logits.device, non_blocking=True)
            logits[rows, tokens] = -torch.inf
        return logits


class OutputStates:
    """The outputs of a batch, one per slot.

    Args:
        layout: of the items.
        size: slots; more are made when they are needed.
    """

    def __init__(self, layout: TokenLayout, size: int = 16) -> None:
        self.layout = layout
        self._state = np.zeros((size, kernels.FIELDS), np.int64)
        self._paths = np.zeros((size, 1, layout.num_levels), np.int64)
        self._jobs: dict[int, Job] = {}
        self._groups: list[tuple[tuple[Any, ...], set[int]]] | None = None

    def __contains__(self, slot: int) -> bool:
        return slot in self._jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def job(self, slot: int) -> Job:
        """What the output in a slot is held to."""
        return self._jobs[slot]

    def begin(self, slot: int, job: Job) -> None:
        """Put a new output into a slot, whatever was there."""
        self._grow(slot + 1, max(1, job.num_items))
        self._jobs[slot] = job
        self._groups = None
        level = 0 if job.marker < 0 else kernels.TEXT
        self._state[slot] = [level, 0, 0, job.num_items, 0, job.max_text, job.marker]

    def stop(self, slot: int) -> None:
        """Let an output write its end token and nothing else."""
        self._state[slot, kernels.LEVEL] = self.layout.num_levels

    def end(self, slot: int) -> None:
        """Empty a slot; it may be empty."""
        if self._jobs.pop(slot, None) is not None:
            self._groups = None

    def move(self, source: int, target: int) -> None:
        """Move what is in a slot, which may be nothing, into another, whose output is over."""
        self.end(target)
        if source in self._jobs:
            self._grow(target + 1, 1)
            self._jobs[target] = self._jobs.pop(source)
            self._groups = None
            self._state[target], self._paths[target] = self._state[source], self._paths[source]

    def swap(self, one: int, other: int) -> None:
        """Exchange two slots."""
        self._grow(max(one, other) + 1, 1)
        jobs = {slot: self._jobs.pop(slot) for slot in (one, other) if slot in self._jobs}
        self._jobs.update({other if slot == one else one: job for slot, job in jobs.items()})
        self._groups = None
        for part in (self._state, self._paths):
            part[[one, other]] = part[[other, one]]

    def _grow(self, slots: int, items: int) -> None:
        have, most = self._paths.shape[:2]
        if slots > have or items > most:
            more = max(have, 2 * slots if slots > have else have)
            paths = np.zeros((more, max(most, items), self.layout.num_levels), np.int64)
            paths[:have, :most] = self._paths
            state = np.zeros((more, kernels.FIELDS), np.int64)
            state[:have] = self._state
            self._paths, self._state = paths, state

    def push(self, slots: Sequence[int], tokens: Sequence[int]) -> None:
        """Advance outputs by tokens, in this order; a slot may come several times."""
        where, what = np.array(slots, np.int64), np.array(tokens, np.int64)
        groups = self._grouped()
        for bits, members in groups:
            own = slice(None) if len(groups) == 1 else [slot in members for slot in slots]
            kernels.advance(where[own], what[own], (self._state, self._paths), self.layout.table, bits)

    def cut(self, slots: Sequence[int], rows: Sequence[int] | None = None) -> Cut:
        """What may come next.

        Args:
            slots: of outputs.
            rows: the row of the logits that belongs to each; the slot's number by default.
        """
        where = np.array(slots, np.int64)
        lines = where if rows is None else np.array(rows, np.int64)
        groups = self._grouped()
        parts = []
        for bits, members in groups:
            own = slice(None) if len(groups) == 1 else [slot in members for slot in slots]
            parts.append(self._cut(where[own], lines[own], bits))
        if not parts:
            return Cut(where[:0], np.zeros((2, 0), np.int64), np.zeros((2, 0), np.int64))
        return (
            parts[0] if len(parts) == 1 else Cut(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))
        )

    def _cut(self, slots: IntArray, rows: IntArray, bits: Any) -> Cut:
        room = kernels.room(slots, self._state, self.layout.table) + len(slots)
        allowed = np.empty((2, room), np.int64)
        eos = np.array(self.layout.eos, np.int64)
        barred = np.empty((2, len(slots) * len(eos)), np.int64)
        held = np.empty(len(slots), np.int64)
        out = (held, allowed, barred)
        counts = kernels.choices((slots, rows), (self._state, self._paths), (self.layout.table, bits), eos, out)
        return Cut(held[: counts[0]], allowed[:, : counts[1]], barred[:, : counts[2]])

    def _grouped(self) -> list[tuple[tuple[Any, ...], set[int]]]:
        """The slots that are held to the same set, with its bits."""
        if self._groups is None:
            found: dict[int, tuple[tuple[Any, ...], set[int]]] = {}
            for slot, job in self._jobs.items():
                known = found.get(id(job.allowed))
                if known is None:
                    known = found[id(job.allowed)] = (tuple(part.cpu().numpy() for part in job.allowed.bits), set())
                known[1].add(slot)
            self._groups = list(found.values())
        return self._groups

    def is_over(self, slot: int) -> bool:
        """Whether nothing but the end token may follow."""
        return bool(self._state[slot, kernels.LEVEL] == self.layout.num_levels)

    def in_text(self, slot: int) -> bool:
        """Whether the marker is still to come."""
        return bool(self._state[slot, kernels.LEVEL] == kernels.TEXT)

    def items(self, slot: int) -> list[int]:
        """The items that an output has written so far; none of an output without an end."""
        if self._state[slot, kernels.WANTED] == UNLIMITED:
            return []
        leaves = self._paths[slot, : self._state[slot, kernels.COUNT], -1]
        found: list[int] = self.layout.index.items.numpy()[leaves].tolist()
        return found
