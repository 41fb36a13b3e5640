"""The tree in one row is the replicated search, for every family of models, with adapters, compiled, and when wide."""

from typing import Any

import numpy as np
import pytest
import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.beam import beam_search, search
from agentrec.decoding.search.plan import BeamPlan
from agentrec.decoding.search.prompt import read_prompts
from agentrec.decoding.search.replicated import replicated_search
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (6, 5, 4, 3)


class Case:
    """A model, a catalogue and prompts of several lengths, padded on the left."""

    def __init__(self, family: Any = "qwen3", num_items: int = 150) -> None:
        self.vocabulary = SIDVocabulary(random_codes(num_items, SIZES), SIZES)
        self.model, self.tokenizer = tiny_generator(self.vocabulary, family=family)
        self.index = StaticIndex.build(self.vocabulary.codes, SIZES)
        self.columns = [torch.from_numpy(ids) for ids in self.vocabulary.token_ids(self.tokenizer)]
        rng = np.random.default_rng(1)
        self.prompts = [rng.integers(5, len(self.tokenizer), length).tolist() for length in (3, 9, 1, 6)]
        self.ids, self.mask = torch.zeros(4, 9).long(), torch.zeros(4, 9).long()
        for row, prompt in enumerate(self.prompts):
            self.ids[row, 9 - len(prompt) :], self.mask[row, 9 - len(prompt) :] = torch.tensor(prompt), 1

    def check(self, model: Any, num_beams: int) -> None:
        found = beam_search(model, self.ids, self.mask, self.index, self.columns, num_beams=num_beams)
        for row, prompt in enumerate(self.prompts):
            expected = replicated_search(self.model, prompt, self.index, self.columns, num_beams)
            alive = found.items[row] >= 0
            assert found.items[row][alive].tolist() == [item for item, _ in expected]
            assert np.allclose(found.scores[row][alive], [score for _, score in expected], atol=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("num_beams", [10, 512])
def test_the_tree_is_the_replicated_search(family: str, num_beams: int) -> None:
    case = Case(family)
    case.check(case.model, num_beams)


def test_adapters_are_part_of_the_model() -> None:
    from peft import LoraConfig, get_peft_model

    case = Case()
    plain = beam_search(case.model, case.ids, case.mask, case.index, case.columns).items
    adapted: Any = get_peft_model(case.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_alpha=64))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    case.model = adapted.eval()
    case.check(adapted, 20)
    assert not torch.equal(beam_search(adapted, case.ids, case.mask, case.index, case.columns).items, plain)


def test_eager_attention_is_the_same() -> None:
    case = Case()
    case.model.set_attn_implementation("eager")
    case.check(case.model, 20)


def test_a_compiled_model_is_the_same() -> None:
    case = Case()
    case.check(torch.compile(case.model, backend="aot_eager"), 20)


def test_attention_without_a_mask_per_beam_is_refused() -> None:
    case = Case()
    case.model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="attn_implementation"):
        read_prompts(case.model, case.ids, case.mask)


def test_a_sliding_window_is_refused() -> None:
    from transformers import AutoModelForCausalLM, Qwen3Config

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen3Config(
        vocab_size=40, **shape, num_key_value_heads=1, head_dim=16, use_sliding_window=True, sliding_window=4,
        max_window_layers=0,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="sliding window"):
        read_prompts(AutoModelForCausalLM.from_config(config), torch.ones(1, 3).long(), torch.ones(1, 3).long())


def test_searches_of_one_prompt_do_not_disturb_each_other() -> None:
    case = Case()
    prompt = read_prompts(case.model, case.ids, case.mask)
    before = [layer.keys.clone() for layer in prompt.cache.layers]
    wide, narrow = (search(prompt, case.index, case.columns, plan=BeamPlan((width,)), n=5) for width in (50, 5))
    again = search(prompt, case.index, case.columns, plan=BeamPlan((50,)), n=5)
    assert torch.equal(wide.items, again.items)
    assert narrow.items.shape == wide.items.shape
    assert all(torch.equal(old, layer.keys) for old, layer in zip(before, prompt.cache.layers, strict=True))


def test_what_a_search_keeps_grows_with_beams_and_levels_not_with_their_product_with_the_prompt() -> None:
    case = Case()
    prompt = read_prompts(case.model, case.ids, case.mask)
    kept = []
    forward = case.model.forward

    def watched(*args: Any, **named: Any) -> Any:
        out = forward(*args, **named)
        kept.append(named["past_key_values"].layers[0].keys.shape[2])
        return out

    case.model.forward = watched
    search(prompt, case.index, case.columns, plan=BeamPlan((20,)))
    assert kept == [9 + 6, 9 + 6 + 20, 9 + 6 + 20 + 20]
