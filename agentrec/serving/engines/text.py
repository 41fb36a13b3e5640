"""Free text and items, written by a model in process: several requests at a time, one token of each per pass.

A request is a tree with a single beam, so that text and wide beams share one code path to the model. What may follow
is looked up in `agentrec.decoding.stepping`, where a vLLM engine looks it up too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from agentrec.decoding.search.prompt import read_prompts
from agentrec.decoding.search.tree import BeamTree
from agentrec.decoding.stepping import OutputStates, TokenLayout
from agentrec.prompts.forms import pad_left
from agentrec.serving.engines.parse import text_result
from agentrec.serving.engines.plan import TextPlan
from agentrec.serving.engines.protocol import TextResult


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
        return text_result(self.plans[row], self._written[row], self._layout, self._tokenizer)
