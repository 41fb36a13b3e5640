"""A tiny generator that the engines' tests share."""

import numpy as np
import pytest

from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (8, 6, 10)


@pytest.fixture(scope="session")
def recommender() -> GenerativeRecommender:
    """200 items, a random model, prompts as item sequences."""
    codes = random_codes(400, SIZES)
    codes = codes[np.random.default_rng(0).permutation(len(codes))[:200]]
    vocabulary = SIDVocabulary(codes, SIZES, [f"item-{item}" for item in range(len(codes))])
    model, tokenizer = tiny_generator(vocabulary)
    tokens = vocabulary.item_token_ids(tokenizer)
    sids = [vocabulary.text(item) for item in range(len(codes))]
    form = build_form({"form": "sequence", "max_items": 20}, tokenizer, tokens, sids, [""] * len(codes))
    return GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=12)
