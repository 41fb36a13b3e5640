"""Slates are exact: a beam that holds all of them ranks them like brute force, and none names an item twice."""

from itertools import permutations

import numpy as np
import pytest
import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.prompt import read_prompts
from agentrec.decoding.search.slates import search_slates
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (3, 4)


@pytest.mark.parametrize("separator", [None, 3])
def test_a_wide_beam_ranks_slates_like_brute_force(separator: int | None) -> None:
    vocabulary = SIDVocabulary(random_codes(6, SIZES), SIZES)
    model, tokenizer = tiny_generator(vocabulary)
    prompts = torch.tensor([[5, 9, 6], [0, 7, 8]])
    mask = (prompts != 0).long()
    index = StaticIndex.build(vocabulary.codes, SIZES)
    columns = [torch.from_numpy(ids) for ids in vocabulary.token_ids(tokenizer)]
    found = search_slates(
        read_prompts(model, prompts, mask), index, columns, 2, num_beams=60, n=40, separator=separator
    )
    tokens = vocabulary.item_token_ids(tokenizer).tolist()
    between = [] if separator is None else [separator]
    slates = list(permutations(range(vocabulary.num_items), 2))
    for row in range(2):
        prompt = prompts[row][mask[row].bool()].tolist()
        rows = torch.tensor([prompt + tokens[a] + between + tokens[b] for a, b in slates])
        with torch.inference_mode():
            logprobs = model(input_ids=rows).logits.log_softmax(-1)[:, len(prompt) - 1 : -1]
        truth = logprobs.gather(2, rows[:, len(prompt) :, None]).sum(dim=(1, 2)).numpy()
        order = np.argsort(-truth, kind="stable")
        assert found.items[row, : len(slates)].tolist() == [list(slates[at]) for at in order]
        assert np.allclose(found.scores[row, : len(slates)], truth[order], atol=1e-4)
        assert (found.items[row, len(slates) :] == -1).all()


def test_a_slate_longer_than_the_set_is_an_error() -> None:
    vocabulary = SIDVocabulary(random_codes(6, SIZES), SIZES)
    model, tokenizer = tiny_generator(vocabulary)
    index = StaticIndex.build(vocabulary.codes, SIZES, np.array([1]))
    columns = [torch.from_numpy(ids) for ids in vocabulary.token_ids(tokenizer)]
    prompt = read_prompts(model, torch.tensor([[5]]), torch.tensor([[1]]))
    with pytest.raises(ConfigError, match="a slate has 2 items and 1 are allowed"):
        search_slates(prompt, index, columns, 2)
