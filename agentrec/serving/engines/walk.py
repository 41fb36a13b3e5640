"""A beam search that asks somebody else for log-probabilities, level by level, by sending each beam as a prompt.

Which beams go on is decided by the same code as in the tree (`agentrec.decoding.children.candidates.best`), from
log-probabilities over the model's whole vocabulary; so the ranks are the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import torch

from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import DEAD, Frontier, best
from agentrec.decoding.search.plan import BeamPlan
from agentrec.decoding.stepping import TokenLayout
from agentrec.serving.engines.plan import Plan
from agentrec.serving.engines.protocol import BeamResult, EngineDeadError


async def walked(walk: Walk, step: Callable[[Walk], Awaitable[None]]) -> BeamResult:
    """Walk to the end; ``step`` goes on by one level."""
    while not walk.is_over:
        await step(walk)
    return walk.result()


class Walk:
    """One beam search.

    Args:
        plan: of a request that has allowed items.
        layout: the items as the model writes them, on the host.

    Attributes:
        level: how many codes the beams have.
        prompts: token ids of every beam.
    """

    def __init__(self, plan: Plan, layout: TokenLayout) -> None:
        self.plan, self.layout = plan, layout
        self.level = 0
        self.prompts: list[list[int]] = [list(plan.prompt)]
        self._states, self._scores = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1)
        self._beam_tokens = 0

    @property
    def is_over(self) -> bool:
        """Whether the beams are items, or none is left."""
        return self.level == self.layout.num_levels or not self.prompts

    def codes(self) -> IntArray:
        """The codes that any beam may go on with: (C,) int64, rising; log-probabilities of others are not needed."""
        assert self.plan.constraint is not None
        allowed = self.plan.constraint.allowed(self.level, self._states[0])
        found: IntArray = np.flatnonzero(allowed.any(dim=0).numpy())
        return found

    def take(self, logprobs: torch.Tensor) -> None:
        """Go on by one level.

        Args:
            logprobs: (M, K) float32, of every code of this level behind every beam; ``-inf`` where nobody asked.

        Raises:
            DataError: one is not a number.
        """
        assert self.plan.constraint is not None
        last = self.level == self.layout.num_levels - 1
        width = BeamPlan((self.plan.width,)).at(self.level, self.layout.index.level_sizes)
        barred = torch.tensor([self.plan.exclude], dtype=torch.long) if last and self.plan.exclude else None
        beams = Frontier(self.level, self._states, self._scores)
        found = best(self.plan.constraint, beams, logprobs[None], width, barred=barred)
        alive = found.scores[0] > DEAD
        self._states, self._scores = found.states[:, alive], found.scores[:, alive]
        tokens = self.layout.token_ids[self.level][found.codes[0, alive].numpy()].tolist()
        parents = found.parents[0, alive].tolist()
        self.prompts = [[*self.prompts[beam], token] for beam, token in zip(parents, tokens, strict=True)]
        self._beam_tokens += len(self.prompts)
        self.level += 1

    def take_all(self, logprobs: Sequence[torch.Tensor | None]) -> None:
        """`take` of one line (K,) per beam.

        Raises:
            EngineDeadError: a line is missing.
        """
        lines = [line for line in logprobs if line is not None]
        if len(lines) < len(logprobs):
            raise EngineDeadError(
                f"the engine gave log-probabilities of {len(lines)} beams; expected {len(logprobs)}, so start another"
            )
        self.take(torch.stack(lines))

    def result(self) -> BeamResult:
        """The best items, once it is over."""
        n = self.plan.n
        items, scores = self._states[0, :n].numpy(), self._scores[0, :n].numpy()
        return BeamResult(items, scores, len(self.plan.prompt), self._beam_tokens)
