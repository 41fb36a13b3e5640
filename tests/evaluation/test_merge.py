import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ConfigError, RecommenderError
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.result import Comparison
from agentrec.evaluation.task import Metric, System, Task

UNITS = pd.DataFrame({"unit": [f"u{row}" for row in range(40)], "half": ["a", "b"] * 20})
METRICS = (Metric("score", headline=True), Metric("loss", "lower"), Metric("size", "neither"))
QUICK = Resampling(200)


def task(labels=("one", "two"), **changes):
    settings = {
        "question": "Who is better?",
        "data": {"name": "d", "fingerprint": "f"},
        "units": UNITS,
        "metrics": METRICS,
        "systems": {label: System(lambda seed: None, {}) for label in labels},
        "measure": lambda made, progress=False: None,
        "slices": ("half",),
    }
    return Task(**{**settings, **changes})


def measured(score, **more):
    return Measured(UNITS[["unit"]].assign(score=score), **more)


def noise(seed):
    return np.random.default_rng(seed).normal(size=40)


def test_the_estimate_is_the_mean_over_seeds_and_units():
    scores = [noise(seed) for seed in range(3)]
    result = merge("t", task(), {"one": {seed: measured(row) for seed, row in enumerate(scores)}}, resampling=QUICK)
    found = result.systems["one"]["score"]
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.low < found.mean < found.high
    assert found.deviation == pytest.approx(np.std([row.mean() for row in scores], ddof=1))
    assert result.provenance["seeds"] == {"one": [0, 1, 2]}
    assert result.values("one", "score").to_numpy() == pytest.approx(np.array(scores).T)
    assert [(part.column, part.value, part.num_units) for part in result.slices] == [
        ("half", "a", 20),
        ("half", "b", 20),
    ]
    halves = [part.systems["one"]["score"].mean for part in result.slices]
    assert np.mean(halves) == pytest.approx(found.mean)


def test_totals_costs_facts_and_problems_come_through():
    seeds = {
        0: measured(0.0, totals={"size": 2.0}, costs={"seconds": 1.0}, facts={"kind": "x"}, problems=("slow",)),
        1: measured(1.0, totals={"size": 4.0}, costs={"seconds": 3.0}, problems=("slow", "late")),
    }
    result = merge("t", task(), {"one": seeds, "two": {0: measured(0.5, problems=("odd",))}}, resampling=QUICK)
    size = result.systems["one"]["size"]
    assert (size.mean, size.low, size.high) == (3.0, None, None)
    assert size.deviation == pytest.approx(2**0.5)
    assert "size" not in result.systems["two"]
    assert result.costs["one"] == {"seconds": 2.0}
    assert result.provenance["systems"] == {"one": {"kind": "x"}, "two": {}}
    assert result.problems == ("one (seed 0): slow", "one (seed 1): late", "two: odd")
    assert [metric.name for metric in result.metrics] == ["score", "size"]  # nobody measured the loss


def test_a_metric_without_any_value_is_none_and_is_not_compared():
    values = {"one": {0: measured(np.nan)}, "two": {0: measured(1.0)}, "three": {0: measured(noise(1))}}
    result = merge("t", task(), values, resampling=QUICK)
    found = result.systems["one"]["score"]
    assert found == (None, None, None, None)
    assert np.isnan(result["one"]["score"])
    assert [(row.first, row.second) for row in result.comparisons] == [("two", "three")]
    assert result.slices[0].systems["one"]["score"].mean is None


def test_units_without_a_value_are_left_out_and_counted():
    gaps = noise(1)
    gaps[:10] = np.nan
    result = merge("t", task(), {"one": {0: measured(gaps)}, "two": {0: measured(noise(2))}}, resampling=QUICK)
    assert result["one"]["score"] == pytest.approx(np.nanmean(gaps))
    (row,) = result.comparisons
    assert row.num_units == 30
    assert row.difference == pytest.approx((gaps - noise(2))[10:].mean())


def test_more_seeds_on_one_side():
    many = {seed: measured(noise(seed) + 2.0) for seed in range(3)}
    result = merge("t", task(), {"one": many, "two": {0: measured(noise(9))}}, resampling=QUICK)
    (row,) = result.comparisons
    assert (row.seeds_ahead, row.num_seeds, row.winner) == (3, 3, "one")
    uneven = merge("t", task(), {"one": many, "two": {0: measured(0.0), 1: measured(0.0)}}, resampling=QUICK)
    assert uneven.comparisons[0].num_seeds == 2


def test_a_lucky_seed_is_no_finding():
    steady = noise(0)
    lucky = {seed: measured(steady + shift + 0.01 * noise(seed + 1)) for seed, shift in enumerate([0.5, 0.4, -0.1])}
    (row,) = merge("t", task(), {"one": lucky, "two": {0: measured(steady)}}, resampling=QUICK).comparisons
    assert row.holm < 1e-6  # over units alone it would be one
    assert row.low < 0 < row.high
    assert row.winner is None
    (nested,) = merge(
        "t", task(nested=True), {"one": lucky, "two": {0: measured(steady)}}, resampling=QUICK
    ).comparisons
    assert nested.low > 0


def test_all_comparisons_are_corrected_together():
    values = {f"s{number}": {0: measured(noise(number))} for number in range(4)}
    two = (Metric("score", headline=True), Metric("loss", "lower", headline=True))
    for number, seeds in enumerate(values.values()):
        seeds[0].units["loss"] = noise(number + 50)
    rows = merge("t", task(metrics=two), values, resampling=QUICK).comparisons
    assert len(rows) == 12
    smallest = min(rows, key=lambda row: row.p_value)
    assert smallest.holm == pytest.approx(min(1.0, 12 * smallest.p_value))


@pytest.mark.parametrize("better", ["higher", "lower", "neither"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_winner_in_both_directions(better, sign):
    metrics = (Metric("score", better, headline=True),)
    values = {"one": {0: measured(noise(0) * 0.1 + sign)}, "two": {0: measured(noise(1) * 0.1)}}
    (row,) = merge("t", task(metrics=metrics), values, resampling=QUICK).comparisons
    ahead = {1: "one", -1: "two"}[sign if better == "higher" else -sign]
    assert row.winner == (None if better == "neither" else ahead)
    swapped = merge("t", task(metrics=metrics), dict(reversed(values.items())), resampling=QUICK).comparisons[0]
    assert swapped.winner == row.winner


@pytest.mark.parametrize(
    ("changes", "winner"),
    [
        ({}, "a"),
        ({"holm": 0.06}, None),
        ({"low": -0.01}, None),
        ({"low": 0.0}, None),
        ({"seeds_ahead": 2}, None),
        ({"seeds_ahead": 3}, "a"),
        ({"difference": -0.2, "low": -0.3, "high": -0.1, "seeds_ahead": 0}, "b"),
        ({"difference": -0.2, "low": -0.3, "high": -0.1, "seeds_ahead": 1}, None),
        ({"better": "lower"}, "b"),
        ({"better": "neither"}, None),
    ],
)
def test_what_certain_means(changes, winner):
    known = {"difference": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.01, "holm": 0.02, "num_units": 9}
    seeds = {"seeds_ahead": 3, "num_seeds": 3}
    assert Comparison("m", "a", "b", **{**known, **seeds, **changes}).winner == winner


def test_slices_keep_the_order_of_categories_and_leave_the_unknown_out():
    units = UNITS.assign(
        half=pd.Categorical(["long", "short"] * 20, ["short", "long", "never"], ordered=True),
        place=[None, "x"] * 20,
    )
    both = task(units=units, slices=("half", "place"))
    result = merge("t", both, {"one": {0: measured(1.0)}}, resampling=QUICK)
    assert [(part.column, part.value, part.num_units) for part in result.slices] == [
        ("half", "short", 20), ("half", "long", 20), ("place", "x", 20)
    ]  # fmt: skip


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="bootstrap is 0"):
        Resampling(0)
    with pytest.raises(RecommenderError, match="'one' was measured on 3 units, and the task has 40"):
        merge("t", task(), {"one": {0: Measured(UNITS[["unit"]].head(3).assign(score=0.0))}})
    misspelt = Measured(UNITS[["unit"]].assign(scores=0.0), totals={"bulk": 1.0})
    message = "the task reports score, loss, size, and what was measured is bulk, scores; expected"
    with pytest.raises(RecommenderError, match=message):
        merge("t", task(), {"one": {0: misspelt}})


def test_samples_are_put_side_by_side():
    first = measured(0.0, samples={"u1": {"about": {"target": "hat"}, "answer": ["tent"]}})
    second = measured(0.0, samples={"u1": {"about": {"target": "hat"}, "answer": ["hat"]}, "u2": {"answer": ["pegs"]}})
    samples = merge("t", task(), {"one": {0: first}, "two": {0: second}}, resampling=QUICK).samples
    assert [(sample.unit, sample.about, sample.answers) for sample in samples] == [
        ("u1", {"target": "hat"}, {"one": ["tent"], "two": ["hat"]}),
        ("u2", {}, {"two": ["pegs"]}),
    ]


def test_what_others_do_changes_no_estimate():
    values = {"one": {0: measured(noise(0))}, "two": {seed: measured(noise(seed)) for seed in (1, 2)}}
    alone = merge("t", task(), {"two": values["two"]}, resampling=QUICK)
    both = merge("t", task(), values, resampling=QUICK)
    assert alone.systems["two"] == both.systems["two"]
