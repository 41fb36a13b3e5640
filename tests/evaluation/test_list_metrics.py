import math

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Catalogue, Histories
from agentrec.evaluation.list_metrics import (
    ACCURACY,
    BEYOND,
    FAMILIES,
    Facts,
    Lists,
    default_metrics,
    described,
    list_length,
    score,
    split_name,
)
from agentrec.metrics import ranking
from agentrec.metrics.calibration import calibration_error
from agentrec.metrics.diversity import coverage, gini, intra_list_diversity
from agentrec.metrics.novelty import novelty, popularity_lift
from agentrec.metrics.ranking import target_ranks

COUNTS = np.array([9, 5, 3, 2, 1, 0])
TITLES = ("red wool hat", "red wool scarf", "blue tent", "green tent pegs", "tin soup", "")
GENRES = ("wear|red", "wear|red", "camp", "camp", "food", "")
HISTORIES = Histories.from_lists([[0, 1], [2], [4, 3, 0]])
ITEMS = np.array([[1, 0, 2, -1], [2, 3, 4, 5], [4, 5, 1, 0]])
LISTS = Lists(ITEMS, target_ranks(ITEMS, np.array([0, 1, 4])), HISTORIES)


def facts(**columns):
    return Facts(6, COUNTS, Catalogue(tuple("abcdef"), columns) if columns else None)


def test_every_family_is_its_function():
    known, k = facts(title=TITLES, genres=GENRES), 3
    expected = {
        "recall": ranking.recall(LISTS.ranks, k),
        "ndcg": ranking.ndcg(LISTS.ranks, k),
        "mrr": ranking.mrr(LISTS.ranks, k),
        "coverage": coverage(ITEMS[:, :k], 6),
        "gini": gini(ITEMS[:, :k], 6),
        "novelty": novelty(ITEMS, COUNTS, k),
        "popularity_lift": popularity_lift(ITEMS, HISTORIES, COUNTS, k),
        "diversity": intra_list_diversity(ITEMS, known.vectors, k),
        "calibration_error": calibration_error(ITEMS, HISTORIES, known.memberships, k),
    }
    assert set(expected) == set(FAMILIES)
    per_unit, totals = score([f"{name}@{k}" for name in expected], LISTS, known)
    assert set(totals) == {"coverage@3", "gini@3"}
    for name, value in expected.items():
        found = {**per_unit, **totals}[f"{name}@3"]
        np.testing.assert_array_equal(found, value)
        assert np.shape(found) == (() if f"{name}@3" in totals else (3,))


def test_accuracy_computed_by_hand():
    per_unit, _ = score(["recall@1", "recall@4", "ndcg@4", "mrr@4"], LISTS, facts())
    assert LISTS.ranks.tolist() == [1, 4, 0]
    assert per_unit["recall@1"].tolist() == [0, 0, 1]
    assert per_unit["recall@4"].tolist() == [1, 0, 1]
    assert per_unit["ndcg@4"].tolist() == pytest.approx([1 / math.log2(3), 0, 1])
    assert per_unit["mrr@4"].tolist() == [0.5, 0, 1]


def test_texts_and_categories_are_read_as_data_sets_write_them():
    for genres in (("a|b", "c"), ("a, b", "c"), ("a > b", "c"), ("a;b", "c")):
        rows = Facts(2, np.ones(2), Catalogue(("x", "y"), {"genres": genres})).memberships.toarray()
        assert rows.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    rows = Facts(2, np.ones(2), Catalogue(("x", "y"), {"category": ("Science Fiction", "")})).memberships.toarray()
    assert rows.tolist() == [[1.0], [0.0]]


def test_what_is_reported_depends_on_what_is_known_of_items():
    assert default_metrics(facts()) == (*ACCURACY, *BEYOND)
    assert default_metrics(facts(title=TITLES))[-1] == "diversity@10"
    assert default_metrics(facts(title=TITLES, genres=GENRES))[-2:] == ("diversity@10", "calibration_error@10")
    assert default_metrics(facts(title=("",) * 6, genres=("",) * 6)) == (*ACCURACY, *BEYOND)
    assert len(set(default_metrics(facts(title=TITLES, genres=GENRES)))) == len(ACCURACY) + len(BEYOND) + 2


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "ndcg@²", "ndgc@10", "", "@10"])
def test_names_that_mean_nothing_are_refused_with_those_that_exist(name):
    with pytest.raises(ConfigError, match=r"there is no metric .*expected one of recall, ndcg, mrr") as caught:
        split_name(name)
    assert repr(name) in str(caught.value)


def test_lengths_are_read_from_names():
    assert split_name("popularity_lift@7") == ("popularity_lift", 7)
    assert list_length(["ndcg@10", "coverage@25", "mrr@1"]) == 25


@pytest.mark.parametrize(
    ("names", "headline"),
    [
        (["recall@5", "recall@10", "ndcg@10", "gini@10"], ["ndcg@10", "recall@10"]),
        (["recall@5", "ndcg@20", "recall@20"], ["ndcg@20", "recall@20"]),
        (["mrr@3", "ndcg@10"], ["ndcg@10"]),
        (["gini@10", "mrr@3"], ["gini@10"]),
        (["coverage@20"], ["coverage@20"]),
        (["ndcg@5", "recall@10"], ["recall@10"]),
    ],
)
def test_ndcg_and_recall_are_the_headline_and_come_first(names, headline):
    found = described(names)
    assert [metric.name for metric in found if metric.headline] == headline
    assert [metric.name for metric in found][: len(headline)] == headline
    assert sorted(metric.name for metric in found) == sorted(names)


def test_directions():
    better = {metric.name: metric.better for metric in described([f"{family}@5" for family in FAMILIES])}
    assert {name for name, way in better.items() if way == "lower"} == {"gini@5", "calibration_error@5"}
    assert {name for name, way in better.items() if way == "neither"} == {
        "novelty@5", "popularity_lift@5", "diversity@5"
    }  # fmt: skip


@pytest.mark.parametrize("names", [[], ["ndcg@5", "mrr@5", "ndcg@5"]])
def test_none_and_twice_are_refused(names):
    with pytest.raises(ConfigError, match=r"the metrics are .*expected at least one, each once"):
        described(names)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("diversity@3", facts(), "diversity compares the texts of items, and there are none"),
        ("diversity@3", facts(title=("",) * 6), "give an items table with texts"),
        ("calibration_error@3", facts(title=TITLES), "calibration needs a category .*categories, category, genres"),
    ],
)
def test_metrics_whose_data_are_missing_say_so(name, known, message):
    with pytest.raises(DataError, match=message):
        score([name], LISTS, known)
