"""Ways of decoding: the constrained one keeps its promises, and the controls show what breaking them looks like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError
from agentrec.core.types import HeldOut
from agentrec.decoding.index.traced import Traced
from agentrec.evaluation.validity import WAYS, Asked, check_lists, compacted, decode, items_of, measure_way
from agentrec.metrics.ranking import target_ranks
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import tiny_world

SIZES = (5, 6, 4)
WORLD = tiny_world()
SUBSET = np.arange(0, WORLD.num_items, 2)


def make(form="sequence", **kwargs):
    vocabulary = SIDVocabulary(random_codes(200, SIZES)[: WORLD.num_items], SIZES)
    model, tokenizer = tiny_generator(vocabulary, **kwargs)
    sids = [vocabulary.text(item) for item in range(WORLD.num_items)]
    tokens = vocabulary.item_token_ids(tokenizer)
    made = build_form({"form": form, "max_items": 10}, tokenizer, tokens, sids, WORLD.catalogue.titles)
    return GenerativeRecommender(model, tokenizer, vocabulary, made, num_beams=12)


@pytest.fixture(scope="module")
def model():
    return make()


def asked(n=8, users=20):
    held = WORLD.reveal("test")
    return Asked(HeldOut("test", held.histories.take(slice(0, users)), held.targets[:users]), n, SUBSET)


@pytest.fixture(scope="module")
def measured(model):
    return {way: measure_way(model, way, asked()) for way in WAYS}


def test_constrained_decoding_keeps_every_promise(measured):
    table = measured["constrained"]
    assert (table[["valid", "distinct", "full", "seen_left_out", "in_subset"]] == 1.0).all(axis=None)


def test_the_controls_break_them(measured):
    for way in ("unconstrained", "free", "greedy"):
        assert measured[way]["valid"].mean() < 0.9, way
        assert len(measured[way]) == 20
    assert measured["unconstrained"]["valid"].mean() > measured["free"]["valid"].mean()  # no tokens of wrong levels
    assert measured["unconstrained"]["full"].mean() < 1.0
    assert measured["unconstrained"]["seen_left_out"].mean() < 1.0
    assert measured["unconstrained"]["in_subset"].mean() < 1.0


def test_the_constrained_list_is_the_one_that_is_served(model, measured):
    ask = asked()
    served = model.recommend(ask.held.histories, ask.n)
    lists = decode(model, "constrained", ask.held.histories, ask.n)
    assert items_of(model.vocabulary, lists).tolist() == served.items.tolist()
    ranks = target_ranks(served.items, ask.held.targets)
    assert measured["constrained"]["rank"].tolist() == ranks.tolist()
    assert measured["constrained"]["ndcg@8"].tolist() == [1 / np.log2(r + 2) if r < 8 else 0.0 for r in ranks]


def test_one_greedy_sequence_scores_one_or_nothing(model, measured):
    items = items_of(model.vocabulary, decode(model, "greedy", asked().held.histories, 8))[:, 0]
    hit = items == asked().held.targets
    assert measured["greedy"]["ndcg@8"].tolist() == hit.astype(float).tolist()
    assert measured["greedy"]["rank"].tolist() == np.where(hit, 0, 8).tolist()


def test_a_constraint_that_lets_everything_through_is_noticed():
    broken = make()
    broken.constraint = Traced(SIZES)
    lists = decode(broken, "constrained", asked().held.histories, 8)
    assert check_lists(lists, items_of(broken.vocabulary, lists))["valid"].mean() < 0.9


def test_unconstrained_search_finds_the_best_of_all_sequences(model):
    """Against every sequence scored on its own, with beams wide enough to be exact."""
    wide = make()
    wide.num_beams = int(np.prod(SIZES))
    held = asked(users=2).held
    found = decode(wide, "unconstrained", held.histories, 10)
    sequences = np.array(list(np.ndindex(*SIZES)))
    ids = wide.vocabulary.token_ids(wide.tokenizer)
    tokens = np.stack([ids[level][sequences[:, level]] for level in range(3)], axis=1)
    for row, history in enumerate(held.histories):
        prompt = wide.form.prompt(history)
        rows = torch.tensor(np.concatenate([np.tile(prompt, (len(tokens), 1)), tokens], axis=1))
        with torch.inference_mode():
            scores = wide.model(rows).logits.log_softmax(-1)[:, len(prompt) - 1 : -1]
        total = scores.gather(2, torch.tensor(tokens)[:, :, None]).sum(dim=(1, 2)).numpy()
        best = sequences[np.argsort(-total, kind="stable")[:10]]
        assert found[row].tolist() == best.tolist()


@pytest.mark.parametrize("form", ["sequence", "instruction"])
def test_greedy_takes_the_likeliest_token_of_the_whole_vocabulary(form):
    one = make(form, family="llama")
    histories = asked(users=5).held.histories
    found = decode(one, "greedy", histories, 8, batch_size=2)
    assert found.shape == (5, 1, 3)
    ids = one.vocabulary.token_ids(one.tokenizer)
    for row, history in enumerate(histories):
        prompt = one.form.prompt(history)
        for level in range(3):
            with torch.inference_mode():
                token = int(one.model(torch.tensor([prompt])).logits[0, -1].argmax())
            place = np.flatnonzero(ids[level] == token)
            assert found[row, 0, level] == (place[0] if len(place) else -3 - token)
            prompt = [*prompt, token]
            if token == one.tokenizer.eos_token_id:
                break


def test_tokens_of_a_wrong_level_are_no_codes():
    model = make()
    free = decode(model, "free", asked().held.histories, 8)
    assert (free < -2).any()
    assert len({tuple(row) for row in free[0].tolist()}) == 8  # beams differ, so their numbers do


def test_a_list_longer_than_the_catalogue_is_full_with_the_catalogue(model):
    small = Asked(asked(users=3).held, WORLD.num_items + 6, SUBSET)
    table = measure_way(model, "constrained", small)
    assert (table[["valid", "distinct", "full", "in_subset"]] == 1.0).all(axis=None)


def test_a_subset_of_one_item_gives_that_item(model):
    table = measure_way(model, "constrained", Asked(asked(users=3).held, 5, np.array([7])))
    assert table["in_subset"].tolist() == [1.0] * 3


rows = st.lists(st.integers(-2, 6), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_lists_are_checked_as_a_person_would(row):
    row = [item for item in row if item != -1] + [-1] * row.count(-1)  # nothing generated comes last
    items = np.array([row])
    lists = np.array([[[item, item] if item != -2 else [-2, place] for place, item in enumerate(row)]])
    made = [tuple(sequence) for item, sequence in zip(row, lists[0].tolist(), strict=True) if item != -1]
    shares = check_lists(lists, items)
    assert shares["valid"][0] == pytest.approx(sum(item >= 0 for item in row) / max(1, len(made)))
    assert shares["distinct"][0] == pytest.approx(len(set(made)) / max(1, len(made)))
    kept = []
    for item in row:
        if item >= 0 and item not in kept:
            kept.append(item)
    assert compacted(items)[0].tolist() == kept + [-1] * (len(row) - len(kept))


def test_what_cannot_be_asked_is_refused(model):
    with pytest.raises(ConfigError, match="'sampled'; expected one of constrained"):
        decode(model, "sampled", asked().held.histories, 3)
    with pytest.raises(ConfigError, match="the subset has 0 items"):
        Asked(asked().held, 3, np.zeros(0, np.int64))
