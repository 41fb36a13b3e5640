"""Hugging Face ``generate`` held to a set of items: a logits processor for greedy, sampled and beam search.

The processor masks and never rescales: beams rank by log-probabilities of the full vocabulary, as they do with
``prefix_allowed_tokens_fn``. It keeps no state of rows, so beams may be permuted freely.

What it does not know: encoder-decoder models. For semantic IDs alone `agentrec.decoding.search.beam` finds the same
items many times faster; this is for what only ``generate`` does, such as text before the items.
"""

from __future__ import annotations

import torch
from transformers import LogitsProcessor

from agentrec.core.errors import DataError
from agentrec.decoding.children.candidates import DEAD, not_a_number
from agentrec.decoding.grammar import Grammar, Outline


class ConstrainedLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Sets the scores of all tokens to ``-inf`` that may not come next.

    Args:
        outline: what may be written; a grammar where that is all.
        prompt_length: tokens of the padded prompts, behind which the output begins. By default the width at the first
            call, and again whenever prompts come that are not those seen before. Give it, or make a new processor for
            every ``generate``, where the next prompts are the last prompts with their outputs behind.

    Example::

        grammar = ItemGrammar(index, token_ids, tokenizer.eos_token_id)
        model.generate(**inputs, num_beams=20, logits_processor=[ConstrainedLogitsProcessor(grammar)])
    """

    def __init__(self, outline: Outline | Grammar, prompt_length: int | None = None) -> None:
        self.outline = outline if isinstance(outline, Outline) else Outline(outline)
        self.prompt_length = prompt_length
        self._prompts: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Mask scores.

        Args:
            input_ids: (R, T) int64 prompts with what was written so far.
            scores: (R, V) logits or log-probabilities of any floating type.

        Raises:
            DataError: a score that counts is not a number, the input is shorter than the prompt, or the vocabulary is
                too small.
        """
        written = input_ids[:, self._length(input_ids) :]
        masked = scores.masked_fill(~self.outline.mask(written, scores.shape[1]), DEAD)
        if bool(masked.isnan().any()):
            not_a_number()
        return masked

    def _length(self, input_ids: torch.Tensor) -> int:
        """Where the output begins."""
        if self.prompt_length is not None:
            if input_ids.shape[1] < self.prompt_length:
                raise DataError(
                    f"the input has {input_ids.shape[1]} tokens and prompt_length is {self.prompt_length}; expected "
                    "the width of the padded prompts, so leave it out or correct it"
                )
            return self.prompt_length
        seen = self._prompts
        if seen is None or len(seen) != len(input_ids) or not torch.equal(seen, input_ids[:, : seen.shape[1]]):
            seen = self._prompts = input_ids.clone()
        return seen.shape[1]
