"""Inside a vLLM engine of this process: constraints that a request brings along, and log-probabilities without copies.

A request carries a number, its ticket, under which the engine's owner has put down what it wants: a `Job` to be held
to, or the log-probabilities of one level's tokens behind its prompt. These are taken where the logits are, so that
vLLM neither sorts nor wraps them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from agentrec.decoding.asked import Served
from agentrec.decoding.children.normaliser import log_total
from agentrec.decoding.stepping import Job
from agentrec.decoding.vllm import ConstrainedProcessor, moved, swapped

TICKET = "agentrec_ticket"

_numbers = itertools.count()


@dataclass
class Score:
    """Log-probabilities that are wanted.

    Attributes:
        level: whose tokens.
        logprobs: (K,) float32 once they are there.
    """

    level: int
    logprobs: torch.Tensor | None = None


@dataclass(frozen=True)
class LocalServed(Served):
    """`Served` with what tickets stand for."""

    tickets: dict[int, Job | Score] = field(default_factory=dict)

    def wanted(self, extra_args: Mapping[str, Any] | None) -> Job | Score | None:
        """What a request's ticket stands for."""
        return None if not extra_args else self.tickets.get(extra_args.get(TICKET, -1))

    def job(self, extra_args: Mapping[str, Any] | None) -> Job | None:
        """See `Served`; a ticket comes first."""
        found = self.wanted(extra_args)
        if found is None:
            return super().job(extra_args)
        return found if isinstance(found, Job) else None


class ScoringProcessor(ConstrainedProcessor):
    """Holds requests to sets, and takes down the log-probabilities that others want; ``served`` is a `LocalServed`."""

    def __init__(self, vllm_config: Any, *rest: Any) -> None:
        super().__init__(vllm_config, *rest)
        assert isinstance(self.served, LocalServed)
        self._local = self.served
        self._scores: dict[int, Score] = {}
        self._columns = [torch.from_numpy(np.ascontiguousarray(ids)) for ids in self._local.layout.token_ids]

    def update_state(self, batch_update: Any | None) -> None:
        """V1: follow the batch."""
        super().update_state(batch_update)
        if batch_update is None:
            return
        for slot in batch_update.removed:
            self._scores.pop(slot, None)
        for slot, params, _, _ in batch_update.added:
            self._note(slot, params)
        for one, other, direction in batch_update.moved:
            (swapped if direction.name == "SWAP" else moved)(self._scores, one, other)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """V2: a request enters the batch."""
        held = super().add_request(req_idx, sampling_params)
        return self._note(req_idx, sampling_params) or held

    def _note(self, slot: int, params: Any) -> bool:
        self._scores.pop(slot, None)
        wanted = self._local.wanted(params.extra_args)
        if isinstance(wanted, Score):
            self._scores[slot] = wanted
        return isinstance(wanted, Score)

    def apply(self, logits: torch.Tensor, ctx: Any | None = None) -> torch.Tensor:
        """Take down what is wanted, then hold what is held."""
        if self._scores:
            slots = range(len(logits)) if ctx is None else ctx.idx_mapping_np.tolist()
            rows: dict[int, list[tuple[int, Score]]] = {}
            for row, slot in enumerate(slots):
                score = self._scores.get(slot)
                if score is not None:
                    rows.setdefault(score.level, []).append((row, score))
            for level, pairs in rows.items():
                self._take(logits[[row for row, _ in pairs]], level, [score for _, score in pairs])
        return super().apply(logits, ctx)

    def _take(self, lines: torch.Tensor, level: int, scores: list[Score]) -> None:
        """Log-probabilities of a level's tokens; those of a prompt that was read in part are replaced later."""
        columns = self._columns[level] = self._columns[level].to(lines.device)
        found = (lines[:, columns].float() - log_total(lines)[:, None]).cpu()
        for score, line in zip(scores, found, strict=True):
            score.logprobs = line


def own_processor(served: LocalServed) -> type[ScoringProcessor]:
    """A class for one engine, so that two engines of a process do not share sets; vLLM pickles it by its name."""
    name = f"OwnProcessor{next(_numbers)}"
    made = type(name, (ScoringProcessor,), {"served": served, "__module__": __name__})
    globals()[name] = made
    return made
