"""Generators that have never met some items: nothing of these reaches IDs, encoder or training, and work is kept."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from agentrec.core.types import Catalogue
from agentrec.data.dataset import Dataset
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import leave_one_out
from agentrec.evaluation.withhold import draw_items, withhold
from agentrec.models.presets import build_tokenizer
from agentrec.pipeline.cold_start import ColdGenerator, ColdStart
from agentrec.pipeline.recipe import read_recommender
from agentrec.pipeline.semantic_ids import load_quantiser
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.training import sft

RECIPE = """
sids: {num_levels: 2, codebook_size: 16, settings: {vectors: {embedding_dim: 16}}}
recommenders:
  generator: {method: generative, config: {max_items: 8}, training: {max_steps: 2, per_device_train_batch_size: 8}}
"""
DATA = Shop.generate(ShopConfig(num_users=60, num_items=72)).dataset
ITEMS = draw_items(72, 0.2, 0)
KNOWN = np.setdiff1d(np.arange(72), ITEMS)


@pytest.fixture
def chosen(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return read_recommender(f"{tmp_path / 'recipe.yaml'}:generator")


def cold(data=DATA, items=ITEMS):
    return ColdStart(data, withhold(data, leave_one_out(data), items), items)


class Stop(Exception):
    """Training was reached."""


@pytest.fixture
def trained_with(monkeypatch):
    """What training is given, instead of training."""
    found = []

    def catch(split, vocabulary, catalogue, out, **_):
        found.append((split, vocabulary, catalogue))
        raise Stop

    monkeypatch.setattr(sft, "train_sft", catch)
    return found


def reach_training(made, seed=0):
    with pytest.raises(Stop):
        made.open(seed)


def test_no_token_sequence_of_a_withheld_item_is_trained_on(chosen, trained_with, tmp_path):
    reach_training(ColdGenerator(chosen, cold(), tmp_path))
    split, vocabulary, catalogue = trained_with[0]
    assert vocabulary.item_ids == DATA.catalogue.ids
    tokenizer = build_tokenizer(vocabulary.all_tokens, None)
    form = sft.make_form(sft.Config(max_items=8), tokenizer, vocabulary, catalogue)
    tokens = vocabulary.item_token_ids(tokenizer)

    def met(histories):
        """Items whose codes stand anywhere in the rows of training."""
        rows = [f" {' '.join(map(str, row))} " for row in (one.input_ids for one in form.examples(histories))]
        names = [f" {' '.join(map(str, ids))} " for ids in tokens.tolist()]
        return {item for item, name in enumerate(names) if any(name in row for row in rows)}

    assert met(split.train) == set(split.train.items.tolist())
    assert not met(split.train) & set(ITEMS.tolist())
    assert met(leave_one_out(DATA).train) & set(ITEMS.tolist())


def test_texts_of_withheld_items_change_nobody_else(chosen, trained_with, tmp_path):
    columns = {
        name: tuple("an unheard-of thing" if item in ITEMS else text for item, text in enumerate(values))
        for name, values in DATA.catalogue.columns.items()
    }
    other = Dataset(DATA.name, DATA.user_ids, Catalogue(DATA.catalogue.ids, columns), DATA.interactions)
    made = [ColdGenerator(chosen, cold(data), tmp_path / name) for name, data in (("a", DATA), ("b", other))]
    for one in made:
        reach_training(one)
    first, second = (vocabulary for _, vocabulary, _ in trained_with)
    assert first.codes[KNOWN].tolist() == second.codes[KNOWN].tolist()
    assert first.codes[ITEMS].tolist() != second.codes[ITEMS].tolist()
    vectors = [one.text_vectors() for one in made]
    np.testing.assert_array_equal(vectors[0][KNOWN], vectors[1][KNOWN])
    books = [load_quantiser(one.folder(0) / "known-sids").codebooks for one in made]
    for left, right in zip(*books, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("collisions", ["next_best", "append"])
def test_withheld_items_get_codes_of_their_own_by_the_quantiser_of_the_others(
    chosen, trained_with, tmp_path, collisions
):
    made = ColdGenerator(chosen, cold(), tmp_path, collisions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that tokens are lacking is no news before training
        reach_training(made)
    vocabulary = trained_with[0][1]
    before = SIDVocabulary.from_pretrained(made.folder(0) / "known-sids")
    assert vocabulary.codes[KNOWN].tolist() == before.codes.tolist()
    assert len(np.unique(vocabulary.codes, axis=0)) == 72
    if collisions == "append":
        from agentrec.pipeline.semantic_ids import load_text_encoder

        texts = DATA.require_texts()
        table = load_text_encoder(made.folder(0) / "known-sids").encode([texts[item] for item in ITEMS])
        codes = load_quantiser(made.folder(0) / "known-sids").encode(table)
        assert vocabulary.codes[ITEMS, :2].tolist() == codes.tolist()
    else:
        assert (vocabulary.codes[ITEMS, 2:] == 0).all()
        assert vocabulary.level_sizes == before.level_sizes


def test_a_run_that_was_stopped_goes_on_and_what_is_trained_is_opened(chosen, tmp_path, monkeypatch):
    made = ColdGenerator(chosen, cold(), tmp_path)
    real = sft.train_sft
    monkeypatch.setattr(sft, "train_sft", lambda *_, **__: (_ for _ in ()).throw(Stop))
    reach_training(made)
    ids = (made.folder(0) / "all-sids" / "agentrec.json").stat().st_mtime_ns
    monkeypatch.setattr(sft, "train_sft", real)
    first = made.open(0)
    assert (made.folder(0) / "all-sids" / "agentrec.json").stat().st_mtime_ns == ids
    monkeypatch.setattr(sft, "train_sft", lambda *_, **__: pytest.fail("it was trained before"))
    second = made.open(0)
    histories = made.cold.split.train.take(slice(0, 5))
    assert first.recommend(histories, 4).items.tolist() == second.recommend(histories, 4).items.tolist()
    assert first.num_items == 72


def test_folders_differ_where_training_does(chosen, tmp_path):
    made = ColdGenerator(chosen, cold(), tmp_path)
    others = [
        replace(made, collisions="next_best"),
        replace(made, cold=cold(items=ITEMS[1:])),
        replace(made, chosen=chosen._replace(identity={**chosen.identity, "config": {"max_items": 4}})),
    ]
    assert len({one.folder(0) for one in (made, *others)}) == 4
    assert made.folder(0) != made.folder(1)
    assert made.folder(0) == replace(made, collisions="append").folder(0)  # which is the recipe's
    assert made.folder(0) == ColdGenerator(chosen, cold(), tmp_path).folder(0)


def test_known_items_are_the_catalogue_without_the_withheld():
    known = cold().known
    assert known.catalogue.ids == tuple(DATA.catalogue.ids[item] for item in KNOWN.tolist())
    assert known.require_texts() == [DATA.require_texts()[item] for item in KNOWN.tolist()]
    assert len(known.interactions) == 0
    assert isinstance(known.summary(), dict)
    assert pd.Index(known.catalogue.ids).is_unique
