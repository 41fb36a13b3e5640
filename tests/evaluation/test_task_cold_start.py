"""The task `cold_start` where the answer is planted: which category is bought next, and categories are in the texts."""

import json

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.core.rng import generator
from agentrec.data.table import from_frames
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.run import Order, run_task
from agentrec.evaluation.tasks import load_task

KINDS = ["tent", "boot", "lamp", "stove", "rope", "knife"]
USES = ["camping", "walking", "reading", "cooking", "climbing", "carving"]
EACH = 10
RECIPE = """
sids: {num_levels: 2, codebook_size: 12, settings: {vectors: {embedding_dim: 8}}}
recommenders:
  generator:
    method: generative
    config: {max_items: 8, dropout: 0.0}
    training: {num_train_epochs: 6, per_device_train_batch_size: 8}
  collaborative: {method: generative, sids: {collaborative: concat}}
  published: {method: generative, sids: {index: index.json}}
  popularity: {}
"""


def planted(num_users=240, length=8, *, shuffled=False):
    """After an item of one category, any item of the next one is bought; shuffled, any item at all."""
    rng, rows = generator(0, "planted"), []
    for user in range(num_users):
        start = rng.integers(len(KINDS))
        for place in range(length):
            kind = rng.integers(len(KINDS)) if shuffled else (start + place) % len(KINDS)
            item = kind * EACH + rng.integers(EACH)
            rows.append((f"u{user}", f"i{item}", place))
    kinds = [item // EACH for item in range(EACH * len(KINDS))]
    titles = [f"{KINDS[kind]} for {USES[kind]} number {item}" for item, kind in enumerate(kinds)]
    items = pd.DataFrame({"item": [f"i{item}" for item in range(len(kinds))], "title": titles})
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "order"]), items, duplicates="drop")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cold")
    planted().save_pretrained(folder / "data")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "index.json").write_text(json.dumps({f"i{item}": [f"<a_{item}>"] for item in range(60)}))
    return folder


def settings(place, **values):
    given = {"data": str(place / "data"), "generator": f"{place / 'recipe.yaml'}:generator", "share": 0.15, "n": 2}
    given |= {"beams": 4, "wide": 2, "collisions": "next_best", "trained": str(place / "trained")}
    return {**given, **values}


@pytest.fixture(scope="module")
def outcome(place):
    order = Order("cold_start", settings(place), store=place / "store")
    return run_task(order, resampling=Resampling(200), out=place / "out")


def test_the_constraint_finds_what_filtering_does_not(outcome):
    result = outcome.result
    assert list(result.systems) == ["constrained", "filtered", "filtered_wide", "text_last", "text_history", "chance"]
    assert not result.problems
    assert result["constrained"]["recall@2"] > result["chance"]["recall@2"] + 0.3
    assert result["constrained"]["recall@2"] > result["filtered_wide"]["recall@2"] + 0.3
    assert result["constrained"]["recall@2"] > result["text_last"]["recall@2"] + 0.3  # the next category is another
    assert result["filtered_wide"]["recall@2"] >= result["filtered"]["recall@2"]
    assert result["constrained"]["empty"] == 0.0
    assert result["constrained"]["length"] == 2.0
    assert result["filtered"]["empty"] > 0.5
    ahead = [row for row in result.comparisons if {row.first, row.second} == {"constrained", "filtered"}]
    assert {row.winner for row in ahead if row.metric == "recall@2"} == {"constrained"}


def test_units_are_held_out_purchases_of_withheld_items(place, outcome):
    task = load_task("cold_start")
    built = task(task.config(**settings(place)))
    withheld = set(built.facts["withheld"])
    assert len(withheld) == 9
    data, units = planted(), built.units
    ids = data.catalogue.ids
    rows = zip(data.user_ids, data.histories(), strict=True)
    last = {user: [ids[item] for item in row[-2:].tolist()] for user, row in rows}
    expected = [f"{user} (validation)" for user, (first, _) in last.items() if first in withheld]
    expected += [f"{user} (test)" for user, (_, second) in last.items() if second in withheld]
    assert units["unit"].tolist() == expected
    assert set(units["target"]) <= withheld
    assert f"{len(expected)} held-out purchases" in built.question
    one = task(task.config(**settings(place, part="test")))
    assert one.units["unit"].tolist() == [name for name in expected if name.endswith("(test)")]
    other = task(task.config(**settings(place, seed=1)))
    assert set(other.facts["withheld"]) != withheld


def test_a_second_run_opens_what_was_trained_and_gives_the_same(place, outcome, monkeypatch):
    from agentrec.training import sft

    monkeypatch.setattr(sft, "train_sft", lambda *_, **__: pytest.fail("it was trained before"))
    order = Order("cold_start", settings(place), store=place / "other store")
    again = run_task(order, resampling=Resampling(200), out=place / "again").result
    for name, metrics in outcome.result.systems.items():
        assert {key: value.mean for key, value in metrics.items()} == {
            key: value.mean for key, value in again.systems[name].items()
        }


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"share": 0.0}, ConfigError, "share of withheld items is 0.0 of 60"),
        ({"share": 1.0}, ConfigError, "share of withheld items is 1.0"),
        ({"beams": 1}, ConfigError, "n is 2, beams 1"),
        ({"wide": 0}, ConfigError, "wide 0"),
        ({"generator": "recipe.yaml:popularity"}, ConfigError, "'popularity' is of method 'popularity'"),
        ({"generator": "recipe.yaml:collaborative"}, ConfigError, "fused by 'concat'"),
        ({"generator": "recipe.yaml:published"}, ConfigError, "are of index.json"),
        ({"generator": "recipe.yaml:nobody"}, UnknownNameError, "no recommender 'nobody'"),
        ({"generator": "nothing:generator"}, UnknownNameError, "no recipe 'nothing'"),
        ({"collisions": "magic"}, UnknownNameError, "'magic'"),
    ],
)
def test_what_cannot_be_asked_is_refused(place, monkeypatch, values, error, message):
    monkeypatch.chdir(place)
    task = load_task("cold_start")
    with pytest.raises(error, match=message):
        task(task.config(**settings(place, **values)))


def test_nobody_to_ask_is_told(tmp_path, place):
    users = [(f"u{user}", f"i{item}", item) for user in range(3) for item in range(3)]
    items = pd.DataFrame({"item": [f"i{item}" for item in range(40)], "title": ["thing"] * 40})
    data = from_frames(pd.DataFrame(users, columns=["user", "item", "order"]), items)
    data.save_pretrained(tmp_path / "data")
    task = load_task("cold_start")
    with pytest.raises(DataError, match="nobody's held-out item is among the 1 withheld"):
        task(task.config(**settings(place, data=str(tmp_path / "data"), share=0.03)))


def near_chance(recall, users):
    """Within three standard errors of 2 of 9."""
    return abs(recall - 2 / 9) < 3 * np.sqrt(2 / 9 * 7 / 9 / users)


def test_where_nothing_is_planted_nothing_is_found(place, tmp_path, outcome):
    assert near_chance(outcome.result["chance"]["recall@2"], len(outcome.result.units))
    planted(shuffled=True).save_pretrained(tmp_path / "data")
    order = Order("cold_start", settings(place, data=str(tmp_path / "data"), wide=1), store=tmp_path / "store")
    result = run_task(order, resampling=Resampling(200)).result
    assert "filtered_wide" not in result.systems
    assert near_chance(result["constrained"]["recall@2"], len(result.units))
    assert result["constrained"]["empty"] == 0.0
