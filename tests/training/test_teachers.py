"""Teachers: which may teach, and that places of histories are scored from what came before alone."""

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, ConfigError, UnknownNameError
from agentrec.core.types import Histories
from agentrec.models.popularity import Popularity
from agentrec.models.sasrec import Config, SASRec
from agentrec.testing.worlds import tiny_world
from agentrec.training import cf
from agentrec.training.saved_scores import SavedScores, top_scores
from agentrec.training.teachers import Teacher, open_teacher, prefixes

WORLD = tiny_world()


def sasrec(max_length: int = 6) -> SASRec:
    settings = Config(embedding_dim=8, num_layers=1, num_heads=1, max_length=max_length, dropout=0.5)
    return SASRec.build(WORLD.num_items, settings).stamp({"split": WORLD.fingerprint})


def every_place() -> tuple[np.ndarray, np.ndarray]:
    lengths = WORLD.train.lengths
    owners = np.repeat(np.arange(len(lengths)), lengths - 1)
    return owners, np.concatenate([np.arange(1, length) for length in lengths])


def test_one_pass_scores_every_place_as_prefix_by_prefix() -> None:
    """Histories up to 8 items on a model that reads 6: the longest prefixes go the long way."""
    model, (owners, places) = sasrec(), every_place()
    assert places.max() > model.reach
    found = Teacher(model, False, {}).logits(WORLD.train, owners, places)
    wanted = np.concatenate([model.score(prefixes(WORLD.train, owners[[k]], places[[k]])) for k in range(len(owners))])
    assert np.allclose(found, wanted, atol=1e-4)


def test_what_comes_later_changes_nothing() -> None:
    row, place = 0, 2
    for scorer in (sasrec(), cf.train_cf("transitions", WORLD)):
        teacher = open_teacher(scorer, WORLD)
        changed = WORLD.train.items.copy()
        changed[WORLD.train.offsets[row] + place :] = 0
        later = Histories(WORLD.train.users, WORLD.train.offsets, changed)
        one, two = (teacher.logits(rows, np.array([row]), np.array([place])) for rows in (WORLD.train, later))
        assert np.array_equal(one, two)


def test_weights_become_logits_by_their_logarithm() -> None:
    model = cf.train_cf("popularity", WORLD)
    logits = open_teacher(model, WORLD).logits(WORLD.train, np.array([0]), np.array([1]))[0]
    assert np.allclose(np.exp(logits), model.item_counts)
    plain = open_teacher(model, WORLD, scale="logit").logits(WORLD.train, np.array([0]), np.array([1]))[0]
    assert np.array_equal(plain, model.item_counts)
    with pytest.raises(ConfigError, match="scale is 'odds'"):
        open_teacher(model, WORLD, scale="odds")


def test_methods_folders_files_and_objects_teach(tmp_path: Path) -> None:
    model = cf.train_cf("transitions", WORLD)
    model.save_pretrained(tmp_path / "folder")
    owners, places = every_place()
    users = WORLD.train.users[owners]
    scores = model.score(prefixes(WORLD.train, owners, places))
    file = SavedScores(users, places, *top_scores(scores, 24), WORLD.num_items, WORLD.fingerprint)
    file.save(tmp_path / "scores.npz")
    answers = [
        open_teacher(source, WORLD, scale="weight").logits(WORLD.train, owners, places)
        for source in ("transitions", tmp_path / "folder", tmp_path / "scores.npz", model)
    ]
    for answer in answers[1:]:
        assert np.allclose(answer, answers[0], atol=1e-5)
    assert open_teacher("transitions", WORLD).identity == open_teacher(tmp_path / "folder", WORLD).identity


def test_a_teacher_of_another_split_or_catalogue_is_refused(tmp_path: Path) -> None:
    other = tiny_world(seed=1)
    stranger = cf.train_cf("popularity", other)
    with pytest.raises(ArtefactError, match=f"made from {other.fingerprint}.*{WORLD.fingerprint}"):
        open_teacher(stranger, WORLD)
    stranger.save_pretrained(tmp_path / "other")
    with pytest.raises(ArtefactError, match="train it on this split"):
        open_teacher(tmp_path / "other", WORLD)
    with pytest.raises(ArtefactError, match="does not say which split"):
        open_teacher(Popularity(np.ones(WORLD.num_items, np.float32)), WORLD)
    with pytest.raises(ArtefactError, match=f"knows 5 items and the catalogue has {WORLD.num_items}"):
        open_teacher(Popularity(np.ones(5, np.float32)).stamp({"split": WORLD.fingerprint}), WORLD)
    with pytest.raises(ArtefactError, match="no method `score`"):
        open_teacher(WORLD.oracle(), WORLD)
    with pytest.raises(UnknownNameError, match="the teacher 'sasrek'"):
        open_teacher("sasrek", WORLD)


def test_a_teacher_by_name_sees_training_rows_only() -> None:
    """Held-out items never occur in training here: a model counted on more than training rows would know them."""
    seen = open_teacher("popularity", WORLD).scorer.score(WORLD.train.take(slice(0, 1)))[0]
    assert np.array_equal(seen, np.bincount(WORLD.train.items, minlength=WORLD.num_items))
    assert seen.sum() == len(WORLD.train.items) < len(WORLD.sequences.items)
