"""A generator as a recommender: contract, round trip, damaged folders, and items that always exist."""

import json
from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, ConfigError, DataError
from agentrec.core.types import Catalogue, Histories
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.collisions import Problem, solve
from agentrec.semantic_ids.collisions.keep import SharedCodes
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.load import load_recommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import tiny_world


def make(num_items: int, *, form: str = "sequence", num_beams: int = 64) -> GenerativeRecommender:
    codes = random_codes(num_items * 8, (6, 6, 6))[:num_items]
    vocabulary = SIDVocabulary(codes, (6, 6, 6), [f"item-{item:02d}" for item in range(num_items)])
    model, tokenizer = tiny_generator(vocabulary)
    tokens = vocabulary.item_token_ids(tokenizer)
    sids = [vocabulary.text(item) for item in range(num_items)]
    made = build_form(
        {"form": form, "max_items": 10}, tokenizer, tokens, sids, [f"title {i}" for i in range(num_items)]
    )
    return GenerativeRecommender(model, tokenizer, vocabulary, made, num_beams=num_beams)


class TestGenerative(RecommenderTests):
    def make(self, train: Histories, num_items: int) -> GenerativeRecommender:
        return make(num_items)


def test_any_saved_recommender_opens_by_its_folder(tmp_path: Path) -> None:
    world = tiny_world()
    model = make(world.num_items, form="instruction")
    model.stamp({"seed": 7}).save_pretrained(tmp_path / "model")
    again = load_recommender(tmp_path / "model", catalogue=world.catalogue)
    assert isinstance(again, GenerativeRecommender)
    assert again.provenance == {"seed": 7}
    assert "agentrec" in (tmp_path / "model" / "README.md").read_text()
    history = Histories.from_lists([[1, 2]])
    assert again.recommend(history, 3).items.shape == (1, 3)
    with pytest.raises(ArtefactError, match="no catalogue was given"):
        load_recommender(tmp_path / "model")


def test_a_generator_over_groups_gives_their_items_in_the_order_of_the_tie_break() -> None:
    codes = random_codes(10, (3, 3))[np.array([0, 1, 2, 3, 0, 1, 0, 2])]  # 8 items, 4 rows of codes
    counts = np.array([1, 5, 2, 9, 3, 5, 2, 8])
    with pytest.raises(DataError, match=r"item 0 and item 6 .* resolve collisions first"):
        SIDVocabulary(codes)
    shared = SharedCodes.of(solve(Problem(codes, popularity=counts), "keep"))
    vocabulary = SIDVocabulary(shared.codes)
    model, tokenizer = tiny_generator(vocabulary)
    tokens, sids = vocabulary.item_token_ids(tokenizer), [vocabulary.text(group) for group in range(4)]
    form = build_form({"form": "sequence", "max_items": 5}, tokenizer, tokens, sids, [""] * 4)
    recommender = GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=4)
    histories = Histories.from_lists([shared.group_of[[0, 3]].tolist(), shared.group_of[[5]].tolist()])
    groups = recommender.recommend(histories, 4)
    found = shared.expand(groups, 8)
    for user in range(2):
        assert sorted(found.items[user].tolist()) == list(range(8))
        expected = [
            item
            for group in groups.items[user]
            for item in sorted(np.flatnonzero(shared.group_of == group).tolist(), key=lambda row: (-counts[row], row))
        ]
        assert found.items[user].tolist() == expected
        assert (np.diff(found.scores[user]) <= 0).all()


def test_another_catalogue_is_refused(tmp_path: Path) -> None:
    make(24).save_pretrained(tmp_path / "model")
    with pytest.raises(ArtefactError, match="another catalogue"):
        load_recommender(tmp_path / "model", catalogue=Catalogue(tuple(f"other-{i}" for i in range(24))))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"truncated", "truncated or incomplete"),
        ("model.safetensors", None, "truncated or incomplete"),
        ("agentrec.json", b'{"format": 1, "ro', "not valid JSON"),
        ("agentrec.json", b'{"format": 99}', "format 99"),
        ("sids/arrays.safetensors", b"x", "truncated or damaged"),
        ("sids/agentrec.json", None, "holds no agentrec.json"),
    ],
)
def test_damage_is_named(tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    folder = tmp_path / "model"
    make(24).save_pretrained(folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ArtefactError, match=message):
        load_recommender(folder, catalogue=tiny_world().catalogue)


def test_tokens_of_other_semantic_ids_are_noticed(tmp_path: Path) -> None:
    make(24).save_pretrained(tmp_path / "model")
    SIDVocabulary(random_codes(400, (9, 9, 9))[:24], (9, 9, 9)).save_pretrained(tmp_path / "model" / "sids")
    with pytest.raises(ArtefactError, match="does not match these semantic IDs"):
        load_recommender(tmp_path / "model")


def test_a_foreign_method_cannot_choose_code(tmp_path: Path) -> None:
    make(24).save_pretrained(tmp_path / "model")
    manifest = {"format": 1, "room": "os", "method": "system", "config": {}, "provenance": {}}
    (tmp_path / "model" / "agentrec.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="expected a recommender"):
        load_recommender(tmp_path / "model")


def test_beam_width_bounds_the_list() -> None:
    model, history = make(24), Histories.from_lists([[1]])
    with pytest.raises(ConfigError, match="num_beams 2"):
        model.recommend(history, 5, num_beams=2)
    assert model.recommend(history, 5, num_beams=5).items.shape == (1, 5)


def test_seen_items_take_no_place_in_the_list() -> None:
    model = make(24, num_beams=6)
    own = model.recommend(Histories.from_lists([[1, 2]]), 6).items[0]
    history = Histories.from_lists([[int(item) for item in own]])
    found = model.recommend(history, 6, exclude_seen=True).items[0]
    assert (found >= 0).all()
    assert set(found.tolist()).isdisjoint(own.tolist())


def test_tokens_are_counted() -> None:
    model = make(24, num_beams=4)
    model.recommend(Histories.from_lists([[1, 2], [3]]), 2)
    prompts = sum(len(model.form.prompt(np.array(history))) for history in ([1, 2], [3]))
    assert model.usage == {"prompt_tokens": prompts, "beam_tokens": 2 * 4 * 3}
