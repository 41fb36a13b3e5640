"""Splits that somebody else made."""

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Catalogue, HeldOut, Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.given import given_split

DATASET = Dataset(
    "given",
    ("u", "v"),
    Catalogue(tuple("abcd")),
    Interactions.sort(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 1, 2, 3]), np.array([0, 1, 2, 0, 1, 2])),
)


def held(part, lists, users, targets):
    return HeldOut(part, Histories.from_lists(lists, users), np.array(targets))


VALIDATION = held("validation", [[0], [1]], [0, 1], [1, 2])
TEST = held("test", [[0, 1], [1, 2]], [0, 1], [2, 3])
TRAIN = Histories.from_lists([[0], [1]], [0, 1])


def test_parts_are_taken_as_given():
    split = given_split(DATASET, TRAIN, {"validation": VALIDATION, "test": TEST}, notes={"from": "files"})
    assert split.reveal("test") is TEST
    assert split.train is TRAIN
    assert split.summary()["from"] == "files"
    assert (split.method, split.num_items, split.summary()["test_users"]) == ("given", 4, 2)
    other = given_split(DATASET, TRAIN, {"validation": VALIDATION, "test": held("test", [[0]], [0], [2])})
    assert other.fingerprint != split.fingerprint
    with pytest.raises(ConfigError, match="no part 'train'"):
        split.reveal("train")


@pytest.mark.parametrize(
    ("train", "validation", "test", "message"),
    [
        (TRAIN, VALIDATION, held("test", [], [], []), "the test part of 'given' has no users"),
        (TRAIN, VALIDATION, held("test", [[0]], [2], [1]), "test part names user indexes from 2 to 2; expected 0 to 1"),
        (TRAIN, VALIDATION, held("test", [[0]], [0], [4]), "test part names item indexes from 4 to 4; expected 0 to 3"),
        (TRAIN, VALIDATION, held("test", [[-1]], [0], [1]), "test part names item indexes from -1"),
        (TRAIN, held("validation", [[0], [0]], [1, 1], [1, 2]), TEST, "validation part has user 'v' more than once"),
        (Histories.from_lists([[0], [1]], [0, 0]), VALIDATION, TEST, "training part has user 'u' more than once"),
        (Histories.from_lists([[0, 1, 3]], [0]), VALIDATION, TEST, "sequence of user 'u' contains .* validation row"),
        (Histories.from_lists([[3, 1, 2, 3]], [1]), held("validation", [[0]], [0], [1]), TEST, "'v' contains .* test"),
    ],
)
def test_what_cannot_be_a_split_is_refused(train, validation, test, message):
    with pytest.raises(DataError, match=message):
        given_split(DATASET, train, {"validation": validation, "test": test})


def test_both_parts_are_needed():
    with pytest.raises(DataError, match="the validation part of 'given' has no users"):
        given_split(DATASET, TRAIN, {"test": TEST})
