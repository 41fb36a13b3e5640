"""Several teachers as one: the mean of their probabilities, of those that say anything, and better than each alone."""

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.types import FloatArray, Histories
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import leave_one_out
from agentrec.testing.worlds import tiny_world
from agentrec.training import cf
from agentrec.training.cross_fitting import CrossFitted
from agentrec.training.teacher_mixture import TeacherMixture, open_teachers
from agentrec.training.teachers import Teacher

WORLD = tiny_world()
ITEMS = WORLD.num_items


class Table:
    """A scorer of fixed scores, one row per last item."""

    def __init__(self, scores: FloatArray) -> None:
        self.scores = scores

    def score(self, histories: Histories) -> FloatArray:
        return self.scores[[int(history[-1]) for history in histories]]


def places() -> tuple[np.ndarray, np.ndarray]:
    lengths = WORLD.train.lengths
    owners = np.repeat(np.arange(len(lengths)), lengths - 1)
    return owners, np.concatenate([np.arange(1, length) for length in lengths])


def table(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(ITEMS, ITEMS)).astype(np.float32)


def test_logits_are_those_of_the_mean_of_the_probabilities() -> None:
    counts = np.maximum(table(1), 0)
    counts[3] = 0  # after item 3 this one says nothing
    mixed = TeacherMixture((Teacher(Table(table(0)), False, {}), Teacher(Table(counts), True, {})))
    owners, after = places()
    found = mixed.logits(WORLD.train, owners, after)
    silent = 0
    for row, (owner, place) in enumerate(zip(owners, after, strict=True)):
        last = int(WORLD.train[int(owner)][place - 1])
        exact = np.exp(table(0)[last].astype(np.float64))
        wanted = exact / exact.sum()
        if last != 3:
            wanted = (wanted + counts[last] / counts[last].sum()) / 2
        silent += last == 3
        np.testing.assert_allclose(np.exp(found[row]), wanted, rtol=1e-4, atol=1e-7)
    assert 0 < silent < len(owners)


def test_where_nobody_says_anything_nothing_is_taught() -> None:
    nobody = Teacher(Table(np.zeros((ITEMS, ITEMS), np.float32)), True, {})
    found = TeacherMixture((nobody, nobody)).logits(WORLD.train, np.array([0]), np.array([1]))
    assert np.isneginf(found).all()


def test_teachers_that_know_different_halves_are_better_together() -> None:
    """What follows item i is item i + 1; one teacher knows it of even items, the other of odd ones."""
    following = np.roll(np.eye(ITEMS, dtype=np.float32), 1, axis=1)
    even = (np.arange(ITEMS) % 2 == 0)[:, None]
    halves = [Teacher(Table(np.where(known, 8 * following, 0)), False, {}) for known in (even, ~even)]
    users = Histories.from_lists([[item, (item + 1) % ITEMS] for item in range(ITEMS)])
    rows, truth = np.arange(ITEMS), (np.arange(ITEMS) + 1) % ITEMS

    def surprise(teacher: Teacher | TeacherMixture) -> float:
        logits = teacher.logits(users, rows, np.ones(ITEMS, np.int64))
        return float((np.log(np.exp(logits).sum(axis=1)) - logits[rows, truth]).mean())

    alone = [surprise(half) for half in halves]
    assert surprise(TeacherMixture(tuple(halves))) < min(alone) - 0.3


def test_names_are_joined_by_plus_and_only_those_that_count_are_cross_fitted(tmp_path: Path) -> None:
    shop = leave_one_out(Shop.generate(ShopConfig(num_users=60, num_items=30)).dataset)
    model = cf.train_cf("popularity", shop)
    model.save_pretrained(tmp_path / "a+b")
    alone = open_teachers(str(tmp_path / "a+b"), shop)
    assert isinstance(alone, Teacher)
    several = open_teachers("popularity + transitions", shop, folds=2)
    assert isinstance(several, TeacherMixture)
    assert [type(teacher.scorer) for teacher in several.teachers] == [CrossFitted, CrossFitted]
    with_folder = open_teachers([tmp_path / "a+b", "transitions"], shop, folds=2)
    assert isinstance(with_folder, TeacherMixture)
    assert isinstance(with_folder.teachers[1].scorer, CrossFitted)
    assert with_folder.teachers[0].identity == alone.identity
    assert several.identity != with_folder.identity
    found = several.logits(shop.train, np.arange(60), np.ones(60, np.int64))
    assert np.allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1, atol=1e-4)
    assert isinstance(open_teachers("transitions", shop, folds=2), Teacher)


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"the teacher is 'popularity\+'; expected .* several joined by"):
        open_teachers("popularity+", WORLD)
    with pytest.raises(UnknownNameError, match="the teacher 'sasrek' is neither"):
        open_teachers("popularity+sasrek", WORLD)
    with pytest.raises(ConfigError, match=r"folds is 3 and of .* none counts"):
        open_teachers("sasrec+als", WORLD, folds=3)
