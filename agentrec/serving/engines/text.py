"""Free text and items, written by a model in process: several requests at a time, one token of each per pass.

A request is a tree with a single beam, so that text and wide beams share one code path to the model. What may follow
is looked up in `agentrec.decoding.stepping`, where a vLLM engine looks it up too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.search.prompt import read_prompts
from agentrec.decoding.search.tree import BeamTree
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import Job, OutputStates, TokenLayout
from agentrec.prompts.forms import pad_left
from agentrec.serving.engines.protocol import TextRequest, TextResult


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
    allowed = sets.get(request.constraint or "all")
    if not request.marker:
        return TextPlan(request, Job(allowed, request.num_items))
    marker = tokenizer.get_vocab().get(request.marker)
    if marker is None:
        raise ConfigError(f"the marker is {request.marker!r}; expected the text of one token of the model")
    return TextPlan(request, Job(allowed, request.num_items, marker, request.max_tokens))


def room_of(request: TextRequest, num_levels: int) -> int:
    """Tokens that an output has at most: text, marker, items and the end."""
    if not request.wants_items:
        return request.max_tokens
    items = request.num_items * num_levels + 1
    return items + (request.max_tokens + 1 if request.marker else 0)


class TextBatch:
    """Outputs that are written together.

    Args:
        model: a Hugging Face causal language model in eval mode.
        tokenizer: of the model.
        layout: of its items, on the host.
        plans: one per output.
    """

    def __init__(self, model: Any, tokenizer: Any, layout: TokenLayout, plans: Sequence[TextPlan]) -> None:
        ids, mask = pad_left([plan.request.prompt for plan in plans], tokenizer.pad_token_id)
        device = torch.device(model.device)
        prompt = read_prompts(model, torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
        self.plans = list(plans)
        self._tokenizer, self._layout = tokenizer, layout
        self._tree = BeamTree(prompt, max(plan.room for plan in plans))
        self._states = OutputStates(layout, len(plans))
        for row, plan in enumerate(plans):
            if plan.job is not None:
                self._states.begin(row, plan.job)
        self._written: list[list[int]] = [[] for _ in plans]
        self._going = set(range(len(plans)))
        self._rng = [np.random.default_rng(plan.request.seed) for plan in plans]

    @property
    def is_over(self) -> bool:
        """Whether all outputs have ended."""
        return not self._going

    def drop(self, row: int) -> None:
        """Stop an output that nobody waits for."""
        self._going.discard(row)

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Write one token of every output; returns the rows that ended by it."""
        logits = self._tree.logits[:, 0].float().clone()
        held = [row for row in sorted(self._going) if row in self._states]
        self._states.cut(held).apply(logits)
        tokens = self._choose(logits)
        ended = []
        for row in sorted(self._going):
            self._written[row].append(tokens[row])
            if tokens[row] in self._layout.eos or len(self._written[row]) >= self.plans[row].room:
                ended.append(row)
        self._states.push(held, [tokens[row] for row in held])
        ended += [row for row in held if row not in ended and self._states.is_over(row)]
        self._going.difference_update(ended)
        if self._going:
            fed = torch.tensor(tokens, device=logits.device)[:, None]
            self._tree.grow(torch.zeros_like(fed), fed)
        return sorted(ended)

    def _choose(self, logits: torch.Tensor) -> list[int]:
        """The next token of every row: the likeliest, or one that is drawn by Gumbel noise of the row's own."""
        for row in self._going:
            temperature = self.plans[row].request.temperature
            if temperature > 0:
                noise = self._rng[row].gumbel(size=logits.shape[1]).astype(np.float32)
                logits[row] = logits[row] / temperature + torch.from_numpy(noise).to(logits.device)
        found: list[int] = logits.argmax(dim=-1).tolist()
        return found

    def result(self, row: int) -> TextResult:
        """What a row has written."""
        plan, written = self.plans[row], self._written[row]
        marker = -1 if plan.job is None else plan.job.marker
        text = written if plan.job is None else written[: written.index(marker)] if marker in written else []
        return TextResult(
            text=self._tokenizer.decode([token for token in text if token not in self._layout.eos]),
            items=() if plan.job is None else tuple(self._states.items(row)),
            prompt_tokens=len(plan.request.prompt),
            generated_tokens=len(written),
        )
