"""The suite passes good recommenders and catches each kind of bad one."""

import numpy as np
import pytest

from agentrec.core.errors import RecommenderError
from agentrec.core.types import Histories, Recommendations
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import CycleOracle, tiny_world

WORLD = tiny_world()
HISTORIES = WORLD.reveal("test").histories


class TestPopularity(RecommenderTests):
    def make(self, train, num_items):
        return Popularity.fit(train, num_items)


class TestTransitions(RecommenderTests):
    min_recall_at_1 = 0.9

    def make(self, train, num_items):
        return Transitions.fit(train, num_items)


class TestOracle(RecommenderTests):
    min_recall_at_1 = 1.0

    def make(self, train, num_items):
        return WORLD.oracle()


class Altered(CycleOracle):
    """The oracle with one fault, applied to its answer."""

    def recommend(self, histories, n, *, exclude_seen=False):
        return self.fault(super().recommend(histories, n, exclude_seen=exclude_seen), histories, n)


def faulty(fault):
    return type("Faulty", (Altered,), {"fault": staticmethod(fault)})(WORLD.next_item)


def random_scores(answer, histories, n):
    rng = np.random.default_rng()
    return Recommendations(answer.items, np.sort(rng.random(answer.scores.shape, np.float32))[:, ::-1])


def repeated(answer, histories, n):
    return Recommendations(np.where(answer.items >= 0, answer.items[:, :1], -1), answer.scores)


def batch_dependent(answer, histories, n):
    return Recommendations(np.roll(answer.items, len(histories) % 5, axis=1), answer.scores)


def length_dependent(answer, histories, n):
    return Recommendations(answer.items[:, ::-1] if n == 3 else answer.items, answer.scores)


def doubles(answer, histories, n):
    return Recommendations(answer.items, answer.scores.astype(np.float64))


def seen(answer, histories, n):
    return CycleOracle(WORLD.next_item).recommend(histories, n)


def nothing(answer, histories, n):
    return Recommendations(np.full_like(answer.items, -1), np.full_like(answer.scores, -np.inf))


def no_neighbours(answer, histories, n):
    return answer if len(histories) == 1 else Recommendations(np.roll(answer.items, 1, axis=0), answer.scores)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (random_scores, lambda suite, model: suite.test_the_same_question_gets_the_same_answer(model, HISTORIES)),
        (repeated, lambda suite, model: suite.test_lists_keep_the_contract(model, HISTORIES, 5)),
        (batch_dependent, lambda suite, model: suite.test_batches_do_not_matter(model, HISTORIES)),
        (
            length_dependent,
            lambda suite, model: suite.test_shorter_lists_are_beginnings_of_longer_ones(model, HISTORIES),
        ),
        (doubles, lambda suite, model: suite.test_arrays_have_the_promised_types(model, HISTORIES)),
        (seen, lambda suite, model: suite.test_seen_items_are_left_out(model, HISTORIES)),
        (nothing, lambda suite, model: suite.test_lists_keep_the_contract(model, HISTORIES, 1)),
        (no_neighbours, lambda suite, model: suite.test_an_empty_history_gets_a_list(model)),
        (nothing, lambda suite, model: suite.test_the_planted_answer_is_found(model, WORLD)),
    ],
)
def test_every_fault_is_caught(fault, check):
    suite = TestOracle()
    check(suite, WORLD.oracle())
    with pytest.raises((AssertionError, RecommenderError)):
        check(suite, faulty(fault))


def test_saving_that_loses_something_is_caught(tmp_path):
    class Forgetful(Popularity):
        def state(self):
            config, arrays = super().state()
            return config, {name: -array for name, array in arrays.items()}

    good = Popularity.fit(WORLD.train, WORLD.num_items)
    suite = TestPopularity()
    suite.test_saving_and_loading_changes_nothing(good, HISTORIES, tmp_path)
    with pytest.raises(AssertionError):
        suite.test_saving_and_loading_changes_nothing(Forgetful(good.item_counts), HISTORIES, tmp_path)


def test_the_oracle_starts_empty_histories_at_the_first_item():
    answer = WORLD.oracle().recommend(Histories.from_lists([[]]), 2)
    assert answer.items.tolist() == [[0, WORLD.next_item[0]]]
