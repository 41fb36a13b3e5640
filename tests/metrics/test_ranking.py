import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from agentrec.metrics import ranking

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
    ],
)
def test_misuse_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
