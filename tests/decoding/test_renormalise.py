"""Renormalised scores are those of the masked distribution that generation samples from, and carry its gradient."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from agentrec.core.errors import DataError
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.hf import ConstrainedLogitsProcessor
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.sequences import SequenceGrammar, SequenceTrie
from agentrec.decoding.renormalise import renormalised_logprobs
from agentrec.testing.generators import random_codes

SIZES, EOS, MARKER, SIZE = (5, 4, 6), 0, 1, 24
CODES = random_codes(30, SIZES)
TOKEN_IDS = [torch.arange(size) + 4 + start for start, size in zip((0, 5, 9), SIZES, strict=True)]
INDEX = StaticIndex.build(CODES, SIZES)
OUTLINES = {
    "item": Outline(ItemGrammar(INDEX, TOKEN_IDS, EOS)),
    "slate": Outline(ItemGrammar(INDEX, TOKEN_IDS, EOS, items_per_output=3, separator=2, unique=True)),
    "text": Outline(ItemGrammar(INDEX, TOKEN_IDS, EOS), MARKER),
    "short text": Outline(ItemGrammar(INDEX, TOKEN_IDS, EOS), MARKER, max_text=3, barred=(3,)),
    "titles": Outline(SequenceGrammar(SequenceTrie.build([[4, 5], [4], [6, 5, 4], [4, 5, 6, 7]], EOS))),
}


def rollout(outline: Outline, rows: int = 6, temperature: float = 1.0, width: int = 14) -> Any:
    """Outputs sampled token by token under the processor, with logits and the log-probabilities of each draw."""
    generator = torch.Generator().manual_seed(0)
    held = ConstrainedLogitsProcessor(outline, prompt_length=0)
    logits = 2 * torch.randn(rows, width, SIZE, generator=generator)
    tokens, drawn = torch.zeros(rows, 0, dtype=torch.long), []
    mask = torch.ones(rows, width, dtype=torch.bool)
    for column in range(width):
        logprobs = (held(tokens, logits[:, column]) / temperature).log_softmax(dim=-1)
        token = torch.multinomial(logprobs.exp(), 1, generator=generator)
        drawn.append(logprobs.gather(1, token)[:, 0])
        mask[:, column] = ~(tokens == EOS).any(dim=1)
        tokens = torch.cat([tokens, token], dim=1)
    return logits, tokens, mask, torch.stack(drawn, dim=1) * mask


@pytest.mark.parametrize("name", OUTLINES)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_scores_are_those_of_the_draws(name: str, temperature: float) -> None:
    logits, tokens, mask, drawn = rollout(OUTLINES[name], temperature=temperature)
    scored = renormalised_logprobs(logits, tokens, OUTLINES[name], mask=mask, temperature=temperature)
    assert torch.allclose(scored.logprobs, drawn, atol=1e-5)
    assert (drawn < -0.1).sum() > 5
    full = (logits / temperature).log_softmax(dim=-1).gather(2, tokens[:, :, None])[:, :, 0] * mask
    assert ((full - scored.logprobs).sum(dim=1) < -0.1).all()  # the full vocabulary sees another policy


def test_entropies_are_those_of_the_masked_distribution() -> None:
    outline = OUTLINES["slate"]
    logits, tokens, mask, _ = rollout(outline)
    scored = renormalised_logprobs(logits, tokens, outline, mask=mask)
    for column in range(tokens.shape[1]):
        allowed = outline.mask(tokens[:, :column], SIZE)
        probabilities = logits[:, column].masked_fill(~allowed, -torch.inf).softmax(dim=-1)
        expected = torch.special.entr(probabilities).sum(dim=-1) * mask[:, column]
        assert torch.allclose(scored.entropies[:, column], expected, atol=1e-5)


@pytest.mark.parametrize("name", OUTLINES)
def test_gradients_are_those_of_the_masked_distribution(name: str) -> None:
    outline = OUTLINES[name]
    logits, tokens, mask, _ = rollout(outline)
    logits.requires_grad_()
    scored = renormalised_logprobs(logits, tokens, outline, mask=mask)
    weights = torch.randn(tokens.shape)
    (gradient,) = torch.autograd.grad((weights * scored.logprobs + scored.entropies).sum(), logits)
    assert gradient.isfinite().all()
    total = torch.zeros(())
    for column in range(tokens.shape[1]):
        allowed = outline.mask(tokens[:, :column], SIZE)
        line = logits[:, column].masked_fill(~allowed, -1e9).log_softmax(dim=-1)
        total = total + (weights * mask)[:, column] @ line.gather(1, tokens[:, column, None])[:, 0]
        total = total - (mask[:, column, None] * line.exp() * line).sum()
    (expected,) = torch.autograd.grad(total, logits)
    assert torch.allclose(gradient, expected, atol=1e-5)


def test_half_precision_logits_are_scored_in_float32() -> None:
    logits, tokens, mask, _ = rollout(OUTLINES["item"])
    half = renormalised_logprobs(logits.bfloat16(), tokens, OUTLINES["item"], mask=mask)
    assert half.logprobs.dtype == torch.float32
    expected = renormalised_logprobs(logits.bfloat16().float(), tokens, OUTLINES["item"], mask=mask)
    assert torch.equal(half.logprobs, expected.logprobs)


def test_one_code_and_the_end_are_certain() -> None:
    index = StaticIndex.build(np.array([[2, 1, 3]]), SIZES)
    outline = Outline(ItemGrammar(index, TOKEN_IDS, EOS))
    tokens = torch.tensor([[6, 10, 16, EOS]])
    scored = renormalised_logprobs(torch.randn(1, 4, SIZE), tokens, outline)
    assert scored.logprobs.tolist() == [[0.0] * 4]
    assert scored.entropies.abs().max() < 1e-6
    two = Outline(ItemGrammar(StaticIndex.build(np.array([[2, 1, 3], [0, 1, 3]]), SIZES), TOKEN_IDS, EOS))
    assert renormalised_logprobs(torch.zeros(1, 4, SIZE), tokens, two).logprobs[0, 0] == pytest.approx(-math.log(2))


@pytest.mark.parametrize("name", ["item", "text", "titles"])
def test_outputs_of_another_constraint_are_an_error(name: str) -> None:
    outline = OUTLINES[name]
    logits, tokens, mask, _ = rollout(outline)
    row = 3
    place = int(mask[row].sum()) - 2
    tokens[row, place] = 23
    with pytest.raises(DataError, match=f"output {row} has token 23 at place {place}"):
        renormalised_logprobs(logits, tokens, outline, mask=mask)
    mask[row] = False
    assert (renormalised_logprobs(logits, tokens, outline, mask=mask).logprobs[row] == 0).all()
    logits[0, 0] = torch.nan
    with pytest.raises(DataError, match="not a number"):
        renormalised_logprobs(logits, tokens, outline, mask=mask)
    with pytest.raises(DataError, match="the model scores 4 tokens"):
        renormalised_logprobs(logits[..., :4], tokens, outline, mask=mask)
