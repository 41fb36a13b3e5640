"""Cross-fitting: a user's teacher has not seen that user, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Histories
from agentrec.data.split import leave_one_out
from agentrec.data.table import from_frames
from agentrec.models.sasrec import Config, SASRec
from agentrec.testing.worlds import tiny_world
from agentrec.training.cf import train_cf
from agentrec.training.cross_fitting import CrossFitted, CrossFittedPositions, cross_fit
from agentrec.training.tca4rec import Alignment
from agentrec.training.teachers import open_teacher


def as_split(world):
    """A tiny world as rows of a file, split like one."""
    rows = [(user, item, step) for user, items in enumerate(world.sequences) for step, item in enumerate(items)]
    return leave_one_out(from_frames(pd.DataFrame(rows, columns=["user", "item", "timestamp"])))


WORLD = as_split(tiny_world())


def transitions(split):
    return train_cf("transitions", split)


def test_each_user_is_scored_by_a_model_trained_on_the_others() -> None:
    folds = 3
    teacher = cross_fit(transitions, WORLD, folds)
    train = WORLD.train
    found = teacher.score(train)
    for row, user in enumerate(train.users):
        others = np.flatnonzero(teacher.folds[train.users] != teacher.folds[user])
        alone = train_cf("transitions", WORLD.with_train(train.take(others)))
        assert np.array_equal(found[row], alone.score(train.take(np.array([row])))[0])


def test_own_rows_do_not_reach_the_own_teacher() -> None:
    """A user whose pair nobody else has: the plain teacher is sure of it, the cross-fitted one knows nothing of it."""
    lists = [list(items) for items in WORLD.train]
    lists[0] = [0, 23, 0, 23]
    for other in lists[1:]:
        other[:] = [item for item in other if item != 23]
    world = WORLD.with_train(Histories.from_lists(lists, WORLD.train.users.tolist()))
    history = world.train.take(np.array([0]))
    before = Histories(history.users, np.array([0, 3]), history.items[:3])
    assert train_cf("transitions", world).score(before)[0, 23] > 0.1
    crossed = cross_fit(transitions, world, 2).score(before)[0]
    assert crossed[23] == 0


def test_folds_are_even_and_follow_the_seed() -> None:
    one, same, other = (cross_fit(transitions, WORLD, 4, seed=seed).folds for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    counts = np.bincount(one[one >= 0])
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == len(WORLD.train)


def test_positions_equal_prefixes() -> None:
    def untrained(split):
        settings = Config(embedding_dim=8, num_layers=1, num_heads=1, max_length=10, dropout=0.0)
        return SASRec.build(split.num_items, settings, seed=len(split.train)).stamp({"split": split.fingerprint})

    teacher = cross_fit(untrained, WORLD, 3)
    assert isinstance(teacher, CrossFittedPositions)
    found = teacher.score_positions(WORLD.train)
    last = WORLD.train.offsets[1:] - 1
    assert np.allclose(found[last], teacher.score(WORLD.train), atol=1e-4)


def test_it_may_teach_and_is_known_by_its_content() -> None:
    teacher = open_teacher("transitions", WORLD, folds=3)
    assert isinstance(teacher.scorer, CrossFitted)
    assert teacher.weights
    assert teacher.identity != open_teacher("transitions", WORLD).identity
    assert teacher.identity == open_teacher("transitions", WORLD, folds=3).identity
    assert teacher.identity != open_teacher("transitions", WORLD, folds=2).identity


def test_bad_folds_and_strangers_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="folds is 1"):
        cross_fit(transitions, WORLD, 1)
    with pytest.raises(ConfigError, match="folds is 1"):
        Alignment(folds=1)
    with pytest.raises(ConfigError, match="is no method"):
        open_teacher(tmp_path, WORLD, folds=2)
    with pytest.raises(DataError, match="1 of 1 histories belong to no training user"):
        cross_fit(transitions, WORLD, 2).score(Histories.from_lists([[1, 2]]))
