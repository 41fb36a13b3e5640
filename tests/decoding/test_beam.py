"""Beam search is exact: equal to brute force, to Hugging Face `generate`, and blind to padding and neighbours."""

from typing import Any

import numpy as np
import pytest
import torch

from agentrec.decoding.index.trie import Trie
from agentrec.decoding.search.beam import beam_search
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (5, 4, 6)


class Case:
    """A model, a catalogue and padded prompts."""

    def __init__(self, family: str, num_items: int = 40) -> None:
        self.vocabulary = SIDVocabulary(random_codes(num_items, SIZES), SIZES)
        self.model, self.tokenizer = tiny_generator(self.vocabulary, family=family)
        self.trie = Trie.build(self.vocabulary.codes, SIZES)
        self.token_ids = [torch.from_numpy(ids) for ids in self.vocabulary.token_ids(self.tokenizer)]
        rng = np.random.default_rng(1)
        self.prompts = [rng.integers(5, len(self.tokenizer), length).tolist() for length in (3, 9, 1, 6)]

    def padded(self, side: str = "left") -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, self.prompts))
        ids, mask = (
            torch.zeros(len(self.prompts), width, dtype=torch.long),
            torch.zeros(len(self.prompts), width).long(),
        )
        for row, prompt in enumerate(self.prompts):
            place = slice(width - len(prompt), width) if side == "left" else slice(0, len(prompt))
            ids[row, place], mask[row, place] = torch.tensor(prompt), 1
        return ids, mask

    def search(self, side: str = "left", **options: Any) -> Any:
        ids, mask = self.padded(side)
        return beam_search(self.model, ids, mask, self.trie, self.token_ids, **options)

    def brute_force(self) -> np.ndarray:
        """Log-probability of every item after every prompt, one plain forward pass each."""
        items = torch.from_numpy(self.vocabulary.item_token_ids(self.tokenizer))
        scores = np.zeros((len(self.prompts), len(items)))
        with torch.inference_mode():
            for row, prompt in enumerate(self.prompts):
                rows = torch.cat([torch.tensor(prompt).expand(len(items), -1), items], dim=1)
                logprobs = self.model(input_ids=rows).logits.log_softmax(-1)[:, len(prompt) - 1 : -1]
                scores[row] = logprobs.gather(2, items[:, :, None]).sum(dim=(1, 2))
        return scores


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_beam_as_wide_as_the_catalogue_ranks_like_brute_force(family: str, side: str) -> None:
    case = Case(family)
    found = case.search(side, num_beams=200, n=case.trie.num_items)
    truth = case.brute_force()
    assert np.array_equal(found.items.numpy(), np.argsort(-truth, axis=1, kind="stable"))
    assert np.allclose(found.scores.numpy(), -np.sort(-truth, axis=1), atol=1e-4)


def test_a_narrow_beam_equals_generate_with_a_prefix_function() -> None:
    case = Case("qwen3", num_items=100)
    ids, mask = case.padded()
    tokens = case.vocabulary.item_token_ids(case.tokenizer).tolist()

    def allowed(_: int, sequence: torch.Tensor) -> list[int]:
        so_far = sequence[ids.shape[1] :].tolist()
        return sorted({row[len(so_far)] for row in tokens if row[: len(so_far)] == so_far})

    out = case.model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=3,
        num_beams=5,
        num_return_sequences=5,
        do_sample=False,
        length_penalty=0.0,
        eos_token_id=None,
        prefix_allowed_tokens_fn=allowed,
    )
    expected = [tokens.index(row[ids.shape[1] :].tolist()) for row in out]
    found = case.search(num_beams=5)
    assert found.items.flatten().tolist() == expected


def test_a_row_does_not_depend_on_its_batch() -> None:
    case = Case("qwen3")
    together = case.search(num_beams=7)
    for row, prompt in enumerate(case.prompts):
        one = torch.tensor([prompt])
        alone = beam_search(case.model, one, torch.ones_like(one), case.trie, case.token_ids, num_beams=7)
        assert torch.equal(alone.items[0], together.items[row])
        assert torch.allclose(alone.scores[0], together.scores[row], atol=1e-5)


def test_beam_width_and_list_length_are_separate() -> None:
    case = Case("qwen3")
    assert torch.equal(case.search(num_beams=12, n=3).items, case.search(num_beams=12).items[:, :3])


def test_excluded_items_are_gone_and_the_rest_keeps_its_order() -> None:
    case = Case("qwen3")
    everything = case.search(num_beams=200, n=40).items
    barred = torch.full((len(case.prompts), 3), -1)
    barred[0] = everything[0, :3]
    barred[1, 0] = everything[1, 5]
    found = case.search(num_beams=200, n=40, exclude=barred).items
    assert [item for item in everything[0].tolist() if item not in barred[0].tolist()][:30] == found[0, :30].tolist()
    assert int(everything[1, 5]) not in found[1].tolist()
    assert torch.equal(found[2], everything[2])


def test_a_subset_of_one_item_fills_the_list_with_padding() -> None:
    case = Case("qwen3")
    case.trie = Trie.build(case.vocabulary.codes, SIZES, np.array([17]))
    found = case.search(num_beams=4)
    assert found.items.tolist() == [[17, -1, -1, -1]] * 4
    assert torch.isneginf(found.scores[:, 1:]).all()
    assert torch.isfinite(found.scores[:, 0]).all()


def test_adversarial_logits_never_leave_the_trie() -> None:
    case = Case("qwen3", num_items=12)
    with torch.no_grad():  # every token is pushed towards codes that no item has
        case.model.get_input_embeddings().weight.mul_(50)
    found = case.search(num_beams=30)
    assert sorted(set(found.items.flatten().tolist()) - {-1}) == list(range(case.trie.num_items))
