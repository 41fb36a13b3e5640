import numpy as np
import pytest

from agentrec.core.errors import ArtefactError
from agentrec.evaluation.compare import compare_results
from agentrec.evaluation.run import evaluate
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.testing.worlds import tiny_world

WORLD = tiny_world()


def popularity():
    return Popularity.fit(WORLD.train, WORLD.num_items)


def test_it_gives_what_one_evaluation_of_both_gives():
    both = evaluate({"popularity": popularity(), "oracle": WORLD.oracle()}, WORLD)
    first, second = evaluate({"popularity": popularity()}, WORLD), evaluate({"oracle": WORLD.oracle()}, WORLD)
    found = compare_results(first, second)
    assert found.num_users == 60
    assert found.comparisons == both.comparisons


def test_the_same_names_are_compared_with_each_other():
    first = evaluate({"model": popularity(), "other": popularity()}, WORLD)
    transitions = Transitions.fit(WORLD.train, WORLD.num_items)
    second = evaluate({"model": transitions, "third": WORLD.oracle()}, WORLD)
    found = compare_results(first, second, labels=("old", "new")).comparisons
    assert [(row.first, row.second) for row in found] == [("old: model", "new: model")] * 2
    assert found[0].difference == pytest.approx(first["model"]["ndcg@10"] - second["model"]["ndcg@10"])


def test_only_shared_users_count():
    first = evaluate({"a": popularity()}, WORLD, limit=20, seed=1)
    second = evaluate({"b": WORLD.oracle()}, WORLD, limit=40, seed=2)
    shared = set(first.ranks("a").index) & set(second.ranks("b").index)
    found = compare_results(first, second)
    assert found.num_users == len(shared)
    left = first.ranks("a").loc[sorted(shared)].to_numpy() < 10
    assert found.comparisons[1].difference == pytest.approx(np.mean(left) - 1.0)


def test_results_that_do_not_belong_together_are_refused():
    first = evaluate({"a": WORLD.oracle()}, WORLD)
    with pytest.raises(ArtefactError, match="differ in part: 'test' and 'validation'"):
        compare_results(first, evaluate({"a": WORLD.oracle()}, WORLD, part="validation"))
    with pytest.raises(ArtefactError, match="differ in config ks"):
        compare_results(first, evaluate({"a": WORLD.oracle()}, WORLD, ks=(10,)))
    other = tiny_world(seed=1)
    with pytest.raises(ArtefactError, match="shared users have different targets"):
        compare_results(first, evaluate({"a": other.oracle()}, other))
    few = [evaluate({"a": WORLD.oracle()}, WORLD, limit=1, seed=seed) for seed in (1, 2)]
    with pytest.raises(ArtefactError, match="share no user"):
        compare_results(*few)
