import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from agentrec.metrics import ranking
from agentrec.metrics.lists import row_blocks

quick = settings(deadline=None, max_examples=60)


@st.composite
def lists(draw):
    users, n = draw(st.integers(1, 8)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    items = np.stack([rng.permutation(9)[:n] for _ in range(users)])
    for row in items:
        row[n - rng.integers(0, n + 1) :] = -1
    return items, rng.integers(0, 9, users)


def slow_rank(row, target):
    for place, item in enumerate(row):
        if item == target:
            return place
    return len(row)


@quick
@given(lists())
def test_ranks_equal_a_walk_along_the_list(case):
    items, targets = case
    expected = [slow_rank(row, target) for row, target in zip(items, targets, strict=True)]
    found = ranking.target_ranks(items, targets)
    assert found.tolist() == expected
    assert found.dtype == np.int64


@quick
@given(lists(), st.integers(1, 7))
def test_single_target_metrics_equal_their_definitions(case, k):
    items, targets = case
    k = min(k, items.shape[1])
    scores = ranking.ranking_scores(ranking.target_ranks(items, targets), [k])
    for user, (row, target) in enumerate(zip(items[:, :k], targets, strict=True)):
        place = slow_rank(row, target)
        hit = place < k
        assert scores[f"recall@{k}"][user] == float(hit)
        assert scores[f"ndcg@{k}"][user] == pytest.approx(1 / math.log2(place + 2) if hit else 0)
        assert scores[f"mrr@{k}"][user] == pytest.approx(1 / (place + 1) if hit else 0)


@quick
@given(lists(), st.integers(1, 7))
def test_the_graded_family_agrees_with_the_single_target_one(case, k):
    items, targets = case
    k = min(k, items.shape[1])
    ranks = ranking.target_ranks(items, targets)
    hit = ranking.hits(items, targets[:, None])
    one = np.ones(len(items), int)
    np.testing.assert_allclose(ranking.recall_of_many(hit, one, k), ranking.recall(ranks, k))
    np.testing.assert_allclose(ranking.graded_ndcg(hit, one[:, None], k), ranking.ndcg(ranks, k))
    np.testing.assert_allclose(ranking.average_precision(hit, one, k), ranking.mrr(ranks, k))


@quick
@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 10_000))
def test_graded_ndcg_equals_scikit_learn(n, k, seed):
    rng = np.random.default_rng(seed)
    grades, scores = rng.integers(0, 4, (3, n)), rng.permuted(np.tile(np.arange(n), (3, 1)), axis=1)
    ranked = np.take_along_axis(grades, np.argsort(-scores, axis=1), axis=1)
    ours = ranking.graded_ndcg(ranked, grades, k)
    np.testing.assert_allclose(ours.mean(), ndcg_score(grades, scores, k=k), atol=1e-12)


@quick
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_average_precision_of_a_whole_ranking_equals_scikit_learn(n, seed):
    rng = np.random.default_rng(seed)
    relevant, scores = rng.integers(0, 2, n), rng.permutation(n)
    relevant[0] = 1
    ours = ranking.average_precision(relevant[np.argsort(-scores)], relevant.sum(), n)
    assert float(ours) == pytest.approx(average_precision_score(relevant, scores))


def test_several_relevant_items_by_hand():
    hit = ranking.hits(np.array([[5, 3, 9, -1]]), np.array([[9, 5, -1]]))
    assert hit.tolist() == [[True, False, True, False]]
    assert ranking.recall_of_many(hit, [4], 3).tolist() == [0.5]
    assert ranking.average_precision(hit, [2], 4) == pytest.approx((1 + 2 / 3) / 2)
    assert ranking.average_precision(hit, [5], 1).tolist() == [1.0]
    assert ranking.graded_ndcg([3.0, 0.0, 1.0], [1.0, 3.0], 3) == pytest.approx((3 + 1 / 2) / (3 + 1 / math.log2(3)))


def test_nothing_relevant_scores_zero_for_any_leading_shape():
    hit = np.zeros((2, 3, 4), bool)
    for scores in (
        ranking.recall_of_many(hit, np.zeros((2, 3)), 2),
        ranking.average_precision(hit, np.zeros((2, 3)), 2),
        ranking.graded_ndcg(hit, np.zeros((2, 3, 1)), 2),
    ):
        assert scores.tolist() == np.zeros((2, 3)).tolist()


def test_a_perfect_list_scores_one_and_k_beyond_the_list_changes_nothing():
    gains = np.array([[3.0, 2.0, 1.0]])
    assert ranking.graded_ndcg(gains, gains[:, ::-1], 3).tolist() == [1.0]
    assert ranking.graded_ndcg(gains, gains, 9).tolist() == [1.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: ranking.target_ranks(np.zeros((2, 3), int), np.zeros(3, int)),
        lambda: ranking.target_ranks(np.zeros((1, 3), int), np.array([-1])),
        lambda: ranking.recall(np.zeros(2, int), 0),
        lambda: ranking.graded_ndcg([1.0, -1.0], [1.0], 2),
        lambda: ranking.graded_ndcg([1.0, 1.0], [1.0, 0.0], 2),
        lambda: ranking.graded_ndcg([1.0], [1.0, -1.0], 2),
        lambda: ranking.precision(np.ones((1, 2), bool), 0),
        lambda: ranking.hits(np.zeros((2, 3), int), np.zeros((1, 3), int)),
        lambda: ranking.graded_gains(np.zeros((1, 3), int), np.zeros((1, 3), int), np.zeros((1, 2))),
    ],
)
def test_misuse_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@quick
@given(lists())
def test_narrow_integers_give_the_same_ranks(case):
    items, targets = case
    found = ranking.target_ranks(items.astype(np.int32), targets)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, ranking.target_ranks(items, targets))
    # A target beyond the narrow type is missed, not wrapped around to an item of the list.
    beyond = ranking.target_ranks(items.astype(np.int32), targets + 2**32)
    assert (beyond == items.shape[1]).all()


def test_lists_without_places_miss_every_target():
    assert ranking.target_ranks(np.zeros((2, 0), int), np.zeros(2, int)).tolist() == [0, 0]
    assert ranking.hits(np.zeros((2, 0), int), np.zeros((2, 1), int)).shape == (2, 0)
    assert ranking.first_hit(np.zeros((2, 0), bool)).tolist() == [0, 0]


@st.composite
def graded_lists(draw):
    """Lists, and 1 to 4 distinct relevant items with grades 1 to 3 per user; padding in both."""
    items, _ = draw(lists())
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    relevant = np.stack([rng.permutation(9)[:4] for _ in items])
    real = np.arange(4) < rng.integers(1, 5, (len(items), 1))
    return items, np.where(real, relevant, -1), np.where(real, rng.integers(1, 4, relevant.shape), 0)


@quick
@given(graded_lists())
def test_gains_and_hits_equal_a_lookup(case):
    items, relevant, grades = case
    gains, hit = ranking.graded_gains(items, relevant, grades), ranking.hits(items, relevant)
    for user, row in enumerate(items):
        worth = {item: grade for item, grade in zip(relevant[user], grades[user], strict=True) if item != -1}
        assert gains[user].tolist() == [worth.get(item, 0) for item in row]
        assert hit[user].tolist() == [item in worth for item in row]
        assert ranking.first_hit(hit)[user] == next((at for at, item in enumerate(row) if item in worth), len(row))


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    items, targets = rng.permuted(np.tile(np.arange(20), (40, 1)), axis=1)[:, :8], rng.integers(0, 20, 40)
    relevant = rng.permuted(np.tile(np.arange(20), (40, 1)), axis=1)[:, :3]
    grades = rng.integers(1, 4, relevant.shape)

    def everything():
        hit, gains = ranking.hits(items, relevant), ranking.graded_gains(items, relevant, grades)
        return [
            ranking.target_ranks(items, targets),
            *(hit, gains, ranking.average_precision(hit, np.full(40, 3), 5), ranking.graded_ndcg(gains, grades, 5)),
        ]

    whole = everything()
    monkeypatch.setattr(row_blocks, "__kwdefaults__", {"cells": 24})
    for found, expected in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def our_scores(items, relevant, grades, k):
    """Per user, by the names of ir_measures: several graded relevant items at k."""
    hit, many = ranking.hits(items, relevant), (relevant != -1).sum(axis=1)
    first = ranking.first_hit(hit)
    return {
        f"R@{k}": ranking.recall_of_many(hit, many, k),
        f"P@{k}": ranking.precision(hit, k),
        # trec_eval and ranx divide by all relevant items, however few places there are.
        f"AP@{k}": ranking.average_precision(hit, many, k) * np.minimum(many, k) / many,
        f"RR@{k}": np.where(first < items.shape[1], ranking.mrr(first, k), 0.0),
        f"Success@{k}": np.where(first < items.shape[1], ranking.recall(first, k), 0.0),
        f"nDCG@{k}": ranking.graded_ndcg(ranking.graded_gains(items, relevant, grades), grades, k),
        f"nDCG(dcg='exp-log2')@{k}": ranking.graded_ndcg(
            ranking.graded_gains(items, relevant, 2.0**grades - 1), 2.0**grades - 1, k
        ),
    }


def judgements(relevant, grades):
    rows = zip(relevant.tolist(), grades.tolist(), strict=True)
    return {
        f"u{user}": {f"i{item}": grade for item, grade in zip(*row, strict=True) if item != -1}
        for user, row in enumerate(rows)
    }


def run_of(items):
    return {
        f"u{user}": {f"i{item}": float(-place) for place, item in enumerate(row) if item != -1}
        for user, row in enumerate(items.tolist())
    }


def by_ir_measures(names, relevant, grades, items):
    """Measure -> (U,) values; users without any list are scored 0, as trec_eval is told to with -c."""
    peer = pytest.importorskip("ir_measures")
    measures = {str(measure): measure for measure in map(peer.parse_measure, names)}
    values = {name: np.zeros(len(items)) for name in measures}
    for found in peer.iter_calc(measures.values(), judgements(relevant, grades), run_of(items)):
        values[str(found.measure)][int(found.query_id[1:])] = found.value
    return values


@pytest.mark.filterwarnings("ignore")
@quick
@given(graded_lists(), st.integers(1, 7))
def test_several_graded_items_equal_ir_measures(case, k):
    items, relevant, grades = case
    ours = {name: scores for name, scores in our_scores(items, relevant, grades, k).items() if "exp" not in name}
    theirs = by_ir_measures(ours, relevant, grades, items)
    assert set(theirs) == set(ours)
    for name, scores in ours.items():
        np.testing.assert_allclose(scores, theirs[name], atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("ignore")
@quick
@given(lists(), st.integers(1, 7))
def test_a_single_target_equals_ir_measures(case, k):
    items, targets = case
    k = min(k, items.shape[1])
    ours = ranking.ranking_scores(ranking.target_ranks(items, targets), [k])
    names = {f"recall@{k}": f"R@{k}", f"ndcg@{k}": f"nDCG@{k}", f"mrr@{k}": f"RR@{k}"}
    theirs = by_ir_measures(names.values(), targets[:, None], np.ones((len(targets), 1), int), items)
    for name, scores in ours.items():
        np.testing.assert_allclose(scores, theirs[names[name]], atol=1e-6, err_msg=name)


RANX = {
    "recall": "R@{k}",
    "precision": "P@{k}",
    "map": "AP@{k}",
    "mrr": "RR@{k}",
    "hit_rate": "Success@{k}",
    "ndcg": "nDCG@{k}",
    "ndcg_burges": "nDCG(dcg='exp-log2')@{k}",
}


@pytest.mark.slow  # ranx compiles itself for half a minute
@pytest.mark.filterwarnings("ignore")
def test_single_and_several_graded_items_equal_ranx():
    peer = pytest.importorskip("ranx")
    rng = np.random.default_rng(0)
    items = rng.permuted(np.tile(np.arange(30), (200, 1)), axis=1)[:, :12]
    items[np.arange(12) >= rng.integers(1, 13, (200, 1))] = -1
    relevant = rng.permuted(np.tile(np.arange(30), (200, 1)), axis=1)[:, :5]
    real = np.arange(5) < rng.integers(1, 6, (200, 1))
    grades = np.where(real, rng.integers(1, 4, relevant.shape), 0)
    relevant[~real] = -1
    qrels, run = peer.Qrels(judgements(relevant, grades)), peer.Run(run_of(items))
    order = [int(user[1:]) for user in run.keys()]  # noqa: SIM118 (no dict)
    for k in (1, 3, 5, 10):
        ours = our_scores(items, relevant, grades, k)
        theirs = peer.evaluate(qrels, run, [f"{name}@{k}" for name in RANX], return_mean=False)
        for name, measure in RANX.items():
            scores = ours[measure.format(k=k)][order]
            np.testing.assert_allclose(scores, theirs[f"{name}@{k}"], atol=1e-9, err_msg=f"{name}@{k}")
    one = peer.Qrels(judgements(relevant[:, :1], np.ones((200, 1), int)))
    single = ranking.ranking_scores(ranking.target_ranks(items, relevant[:, 0]), [1, 5, 12])
    theirs = peer.evaluate(one, run, list(single), return_mean=False)
    for name, scores in single.items():
        np.testing.assert_allclose(scores[order], theirs[name], atol=1e-9, err_msg=name)
