import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ArtefactError
from agentrec.evaluation.compare import compare_results
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.ranking import evaluate
from agentrec.evaluation.result import Result
from agentrec.evaluation.task import Metric, System, Task
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.testing.worlds import tiny_world

WORLD = tiny_world()
UNITS = pd.DataFrame({"unit": [f"u{row}" for row in range(30)]})


def popularity():
    return Popularity.fit(WORLD.train, WORLD.num_items)


def seeded(values, *, nested=False, headline=("score",)):
    """A result of systems: label -> (S, U) scores."""
    metrics = tuple(Metric(name, headline=name in headline) for name in ("score", "size"))
    systems = {label: System(lambda seed: None, {}) for label in values}
    task = Task("?", {"fingerprint": "f"}, UNITS, metrics, systems, lambda made, progress=False: None, nested=nested)
    measured = {
        label: {
            seed: Measured(UNITS.assign(score=row), totals={"size": float(seed)})
            for seed, row in enumerate(np.atleast_2d(rows))
        }
        for label, rows in values.items()
    }
    return merge("t", task, measured, resampling=Resampling(100))


def noise(seed, seeds=3):
    return np.random.default_rng(seed).normal(size=(seeds, 30)) + np.random.default_rng(seed + 100).normal(
        size=(seeds, 1)
    )


def test_it_gives_what_one_evaluation_of_both_gives():
    both = evaluate({"popularity": popularity(), "oracle": WORLD.oracle()}, WORLD)
    first, second = evaluate({"popularity": popularity()}, WORLD), evaluate({"oracle": WORLD.oracle()}, WORLD)
    found = compare_results(first, second)
    assert found.num_units == 60
    assert found.comparisons == both.comparisons


@pytest.mark.parametrize("nested", [False, True])
def test_it_gives_what_one_evaluation_gives_with_seeds_too_also_from_disk(nested, tmp_path):
    a, b = noise(1), noise(2)
    both = seeded({"a": a, "b": b}, nested=nested)
    first = Result.load(seeded({"a": a}, nested=nested).save(tmp_path / "a"))
    second = Result.load(seeded({"b": b}, nested=nested).save(tmp_path / "b"))
    found = compare_results(first, second, resampling=Resampling(100)).comparisons
    assert found == both.comparisons
    other = compare_results(first, second, resampling=Resampling(100, seed=1)).comparisons
    assert other[0].low != found[0].low


def test_nested_seeds_are_not_drawn():
    a, b = noise(1), noise(2)
    widths = []
    for nested in (False, True):
        sides = [seeded({label: values}, nested=nested) for label, values in (("a", a), ("b", b))]
        (row,) = compare_results(*sides).comparisons
        widths.append(row.high - row.low)
    assert widths[0] > 1.3 * widths[1]


def test_the_same_names_are_compared_with_each_other():
    first = evaluate({"model": popularity(), "other": popularity()}, WORLD)
    transitions = Transitions.fit(WORLD.train, WORLD.num_items)
    second = evaluate({"model": transitions, "third": WORLD.oracle()}, WORLD)
    found = compare_results(first, second, labels=("old", "new")).comparisons
    assert [(row.first, row.second) for row in found] == [("old: model", "new: model")] * 2
    assert found[0].difference == pytest.approx(first["model"]["ndcg@10"] - second["model"]["ndcg@10"])


def test_only_shared_units_count():
    first = evaluate({"a": popularity()}, WORLD, limit=20, seed=1)
    second = evaluate({"b": WORLD.oracle()}, WORLD, limit=40, seed=2)
    shared = sorted(set(first.units["unit"]) & set(second.units["unit"]))
    found = compare_results(first, second)
    assert found.num_units == len(shared) < 20
    left = first.values("a", "rank")[0].loc[shared].to_numpy() < 10
    assert found.comparisons[1].difference == pytest.approx(np.mean(left) - 1.0)
    assert found.comparisons[1].num_units == len(shared)


def test_results_that_do_not_belong_together_are_refused():
    first = evaluate({"a": WORLD.oracle()}, WORLD)
    with pytest.raises(ArtefactError, match="differ in part: 'test' and 'validation'"):
        compare_results(first, evaluate({"a": WORLD.oracle()}, WORLD, part="validation"))
    with pytest.raises(ArtefactError, match=r"share no headline metric .* ndcg@10, recall@10 and ndcg@5"):
        compare_results(first, evaluate({"a": WORLD.oracle()}, WORLD, "ndcg@5"))
    other = tiny_world(seed=1)
    with pytest.raises(ArtefactError, match="shared units have different targets, for example '0'"):
        compare_results(first, evaluate({"a": other.oracle()}, other))
    few = [evaluate({"a": WORLD.oracle()}, WORLD, limit=1, seed=seed) for seed in (1, 2)]
    with pytest.raises(ArtefactError, match="share no unit"):
        compare_results(*few)
    with pytest.raises(ArtefactError, match="differ in task: 't' and 'next_item'"):
        compare_results(seeded({"a": noise(1)}), first)
    elsewhere = first.with_provenance(data={"name": "x", "fingerprint": "other"})
    with pytest.raises(ArtefactError, match="differ in data: None and 'other'"):
        compare_results(first, elsewhere)


def test_a_metric_of_all_units_together_cannot_be_compared_unit_by_unit():
    only = [evaluate({name: WORLD.oracle()}, WORLD, "coverage@10") for name in "ab"]
    with pytest.raises(ArtefactError, match="share no headline metric that units have a value of"):
        compare_results(*only)
    totals = seeded({"a": noise(1)}, headline=("score", "size")), seeded({"b": noise(2)}, headline=("score", "size"))
    assert [row.metric for row in compare_results(*totals).comparisons] == ["score"]
