"""Ways to name new items: what the constraint promises, what filtering is, and references for texts and chance."""

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Histories
from agentrec.evaluation.cold_start import Constrained, Filtered, FirstPurchases, NearestText, Shuffled
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import tiny_world

SIZES = (5, 6, 4)
WORLD = tiny_world()
NEW = np.array([1, 4, 5, 11, 17, 20, 23])
OLD = np.setdiff1d(np.arange(WORLD.num_items), NEW)
HISTORIES = Histories.from_lists(
    [[item for item in row.tolist() if item in OLD] for row in WORLD.sequences.take(slice(0, 15))], list(range(15))
)


@pytest.fixture(scope="module")
def model():
    vocabulary = SIDVocabulary(random_codes(200, SIZES)[: WORLD.num_items], SIZES)
    made, tokenizer = tiny_generator(vocabulary)
    sids = [vocabulary.text(item) for item in range(WORLD.num_items)]
    form = build_form(
        {"form": "sequence", "max_items": 10}, tokenizer, vocabulary.item_token_ids(tokenizer), sids, [""] * len(sids)
    )
    return GenerativeRecommender(made, tokenizer, vocabulary, form, num_beams=8)


def test_with_beams_as_wide_as_the_catalogue_filtering_is_as_good_as_the_constraint(model):
    constrained = Constrained(model, NEW, 24).recommend(HISTORIES, 7)
    filtered = Filtered(model, NEW, 24).recommend(HISTORIES, 7)
    assert constrained.items.tolist() == filtered.items.tolist()
    np.testing.assert_allclose(constrained.scores, filtered.scores, atol=1e-4)
    assert (np.sort(constrained.items, axis=1) == NEW).all()


def test_narrow_beams_are_full_under_the_constraint_and_short_after_filtering(model):
    constrained = Constrained(model, NEW, 6).recommend(HISTORIES, 4).items
    found = Filtered(model, NEW, 6).recommend(HISTORIES, 4)
    assert np.isin(constrained, NEW).all()
    whole = model.recommend(HISTORIES, 6, num_beams=6)
    for row, (items, scores) in enumerate(zip(found.items, found.scores, strict=True)):
        kept = [place for place, item in enumerate(whole.items[row].tolist()) if item in NEW][:4]
        assert items.tolist() == [*whole.items[row, kept].tolist(), *[-1] * (4 - len(kept))]
        assert scores[: len(kept)].tolist() == whole.scores[row, kept].tolist()
        assert np.isneginf(scores[len(kept) :]).all()
    assert (found.items == -1).any()


@pytest.mark.parametrize("latest", [1, 3])
def test_nearest_texts_against_a_loop(latest):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(24, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = NearestText(vectors, NEW, latest).recommend(HISTORIES, 9)
    for row, history in enumerate(HISTORIES):
        wanted = sum(vectors[item] for item in history[-latest:].tolist())
        ranked = sorted(NEW.tolist(), key=lambda item: -float(wanted @ vectors[item]))
        assert found.items[row].tolist() == [*ranked, -1, -1]
        assert np.isneginf(found.scores[row, 7:]).all()


def test_chance_is_even_and_depends_on_nobody_else():
    shuffled = Shuffled(24, NEW, seed=0)
    whole = shuffled.recommend(HISTORIES, 7).items
    assert (np.sort(whole, axis=1) == NEW).all()
    assert shuffled.recommend(HISTORIES.take(slice(3, 5)), 7).items.tolist() == whole[3:5].tolist()
    assert Shuffled(24, NEW, seed=1).recommend(HISTORIES, 7).items.tolist() != whole.tolist()
    many = Histories.from_lists([[0]] * 3000, list(range(3000)))
    first = shuffled.recommend(many, 1).items[:, 0]
    assert np.allclose([np.mean(first == item) for item in NEW], 1 / 7, atol=0.03)


@pytest.mark.parametrize("way", ["texts", "chance"])
def test_seen_items_can_be_left_out(way):
    vectors = np.eye(24, dtype=np.float32)
    recommender = NearestText(vectors, NEW) if way == "texts" else Shuffled(24, NEW, 0)
    lists = recommender.recommend(Histories.from_lists([[4, 11], [0]]), 7, exclude_seen=True).items
    assert sorted(lists[0].tolist()) == [-1, -1, 1, 5, 17, 20, 23]
    assert sorted(lists[1].tolist()) == NEW.tolist()


class Fixed:
    """Names what it is told."""

    num_items = 24

    def __init__(self, lists):
        self.lists = np.array(lists)

    def recommend(self, histories, n, *, exclude_seen=False):
        scores = np.where(self.lists >= 0, 0.0, -np.inf).astype(np.float32)
        return self.lists[histories.users], scores[histories.users]


def asked(**values):
    ask = {"histories": Histories.from_lists([[0], [2], [3]], [0, 1, 2]), "targets": np.array([4, 5, 1])}
    ask |= {"items": NEW, "n": 3, "names": ["a", "b", "c"], "catalogue": WORLD.catalogue, **values}
    return FirstPurchases(**ask)


@pytest.mark.parametrize("batch_size", [1, 2, 256])
def test_lists_are_scored_by_the_place_of_what_was_bought(batch_size):
    system = Fixed([[1, 4, -1], [-1, -1, -1], [11, 17, 20]])
    measured = asked(batch_size=batch_size).measure(system)
    table = measured.units
    assert table["unit"].tolist() == ["a", "b", "c"]
    assert table["recall@3"].tolist() == [1, 0, 0]
    assert table["ndcg@3"].tolist() == [pytest.approx(1 / np.log2(3)), 0, 0]
    assert table["empty"].tolist() == [0, 1, 0]
    assert table["length"].tolist() == [2, 0, 3]
    assert measured.problems == ()
    titles = WORLD.catalogue.titles
    assert measured.samples["a"]["about"] == {"history": [titles[0]], "target": titles[4]}
    assert measured.samples["a"]["answer"] == [titles[1], titles[4]]
    assert measured.samples["b"]["answer"] == ["nothing new"]


def test_naming_what_is_not_new_is_a_problem():
    measured = asked().measure(Fixed([[1, 0, -1], [4, 5, 11], [2, -1, -1]]))
    assert measured.problems == ("Fixed names items that are not new to 2 of 3 users; expected none",)


@pytest.mark.parametrize("values", [{"n": 0}, {"batch_size": 0}, {"targets": np.zeros(0, np.int64)}])
def test_nothing_to_ask_is_refused(values):
    with pytest.raises(ConfigError, match="expected at least 1 of each"):
        asked(**values)
