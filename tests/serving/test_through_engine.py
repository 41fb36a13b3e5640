"""An engine as a recommender: one that is busy is asked again, one that fails ends everything at once."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Histories
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.protocol import Engine, EngineBusyError
from agentrec.serving.engines.tree import TreeConfig, TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.engines import Served
from agentrec.serving.through_engine import EngineRecommender
from agentrec.testing.generators import random_codes, tiny_generator

HISTORIES = Histories.from_lists([[user, (7 * user) % 60, 3] for user in range(40)])


@pytest.fixture(scope="module")
def recommender() -> GenerativeRecommender:
    codes = random_codes(80, (8, 6, 10))
    vocabulary = SIDVocabulary(codes[:60], (8, 6, 10))
    model, tokenizer = tiny_generator(vocabulary)
    form = build_form({"form": "sequence", "max_items": 10}, tokenizer, vocabulary.item_token_ids(tokenizer), [], [])
    return GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=8)


def behind(recommender: GenerativeRecommender, build: Callable[[], Engine]) -> Served:
    return Served(recommender.vocabulary, recommender.form, recommender.num_beams, build)


def test_a_busy_engine_is_asked_again(recommender: GenerativeRecommender) -> None:
    made: list[TreeEngine] = []

    def narrow() -> TreeEngine:
        made.append(TreeEngine(recommender, config=TreeConfig(max_waiting=1, max_rows=8)))
        return made[0]

    with EngineRecommender(behind(recommender, narrow)) as engine:
        found = engine.recommend(HISTORIES, 5)
        told = made[0].stats()
    own = recommender.recommend(HISTORIES, 5)
    np.testing.assert_array_equal(found.items, own.items)
    assert told["requests"] == len(HISTORIES)
    narrow_again = behind(recommender, lambda: TreeEngine(recommender, config=TreeConfig(max_waiting=1)))
    with EngineRecommender(narrow_again, patience=0.0) as engine, pytest.raises(EngineBusyError, match="fewer than 1"):
        engine.recommend(HISTORIES, 5)


def test_the_first_failure_takes_back_the_rest(recommender: GenerativeRecommender) -> None:
    """One history has a token that does not exist; who waits behind it is not searched any more."""
    made: list[TreeEngine] = []

    def build() -> TreeEngine:
        made.append(TreeEngine(recommender, config=TreeConfig(max_rows=8)))
        return made[0]

    class Form:
        def prompt(self, history: np.ndarray) -> list[int]:
            return [10**6] if history[0] == 4 else recommender.form.prompt(history)

    wrong = replace(behind(recommender, build), form=Form())  # type: ignore[arg-type]
    with EngineRecommender(wrong) as engine, pytest.raises(ConfigError, match="the prompt has token 1000000"):
        engine.recommend(HISTORIES, 5)
    told = made[0].stats()
    assert told["waiting"] == 0
    assert told["alive"] == 0
    assert told["batches"] < len(HISTORIES) - 1
