"""A generator held to sets of items: one for all histories, or one for each."""

import numpy as np
import pytest

from agentrec.core.errors import DataError
from agentrec.core.types import Histories, IntArray
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.trie import Trie
from agentrec.decoding.search import batches
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.sets.subset import Subset
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (6, 6, 6)
HISTORIES = Histories.from_lists([[1, 2, 3, 4, 5], [7], [9, 8, 1], [4, 4], [11, 3, 2, 1]])


@pytest.fixture(scope="module")
def codes() -> IntArray:
    return random_codes(400, SIZES)[:60]


@pytest.fixture(scope="module")
def model(codes: IntArray) -> GenerativeRecommender:
    vocabulary = SIDVocabulary(codes, SIZES)
    made, tokenizer = tiny_generator(vocabulary)
    sids = [vocabulary.text(item) for item in range(len(codes))]
    tokens = vocabulary.item_token_ids(tokenizer)
    form = build_form({"form": "sequence", "max_items": 10}, tokenizer, tokens, sids, [""] * len(codes))
    return GenerativeRecommender(made, tokenizer, vocabulary, form, num_beams=64)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_a_subset_recommends_what_its_own_trie_does(
    model: GenerativeRecommender, codes: IntArray, exclude_seen: bool
) -> None:
    items = np.arange(0, len(codes), 4)
    subset = Subset.build(StaticIndex.build(codes, SIZES), items)
    found = model.recommend(HISTORIES, 12, constraint=subset, exclude_seen=exclude_seen)
    trie = Trie.build(codes, SIZES, items)
    expected = model.recommend(HISTORIES, 12, constraint=trie, exclude_seen=exclude_seen)
    assert np.array_equal(found.items, expected.items)
    assert np.allclose(found.scores, expected.scores, atol=1e-5)
    for row, history in zip(found.items, HISTORIES, strict=True):
        wanted = set(items.tolist()) - (set(history.tolist()) if exclude_seen else set())
        assert set(row.tolist()) <= wanted | {-1}
        assert len(set(row.tolist()) - {-1}) == min(12, len(wanted))


def test_every_history_has_its_own_set_whatever_batches_are_made(
    model: GenerativeRecommender, codes: IntArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ConstraintSets(StaticIndex.build(codes, SIZES))
    sets.put("even", np.arange(0, len(codes), 2))
    sets.put("few", [3, 5, 8])
    wanted = ["even", "few", "all", "few", "all - even"]
    alone = [
        model.recommend(HISTORIES.take(slice(row, row + 1)), 10, constraint=sets.get(one))
        for row, one in enumerate(wanted)
    ]
    for budget in (100_000, 500):  # all in one batch, sorted by length; batches of few
        monkeypatch.setattr(batches, "TOKENS_PER_BATCH", budget)
        together = model.recommend(HISTORIES, 10, constraint=sets.rows(wanted))
        for row, single in enumerate(alone):
            assert together.items[row].tolist() == single.items[0].tolist()
            assert np.allclose(together.scores[row], single.scores[0], atol=1e-4)
    assert set(together.items[1].tolist()) == {3, 5, 8, -1}


def test_as_many_constraints_as_histories(model: GenerativeRecommender, codes: IntArray) -> None:
    subset = Subset.build(StaticIndex.build(codes, SIZES), [1, 2])
    with pytest.raises(DataError, match="5 histories meet 2 constraints; expected one for each"):
        model.recommend(HISTORIES, 2, constraint=PerRow([subset, subset]))
