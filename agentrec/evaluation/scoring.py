"""From lists and targets to numbers: estimates per recommender, and comparisons of all pairs.

Pure functions over arrays; users are rows, the same in every array. Nothing here knows a recommender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from agentrec.core.types import IntArray
from agentrec.evaluation.result import Comparison, Estimate
from agentrec.evaluation.statistics import Values, bootstrap_intervals, compare_paired
from agentrec.metrics.diversity import coverage, gini
from agentrec.metrics.ranking import ranking_scores

DIGITS = 10  # results are rounded there, so that the order of a sum on another machine does not show


def headline_metrics(ks: Sequence[int]) -> tuple[str, str]:
    """The two metrics that plots and comparisons show: NDCG and recall at 10, or at the largest k without a 10."""
    k = 10 if 10 in ks else max(ks)
    return f"ndcg@{k}", f"recall@{k}"


def estimates(
    ranks: Mapping[str, IntArray], ks: Sequence[int], *, resamples: int, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Single-target metrics at every k, with bootstrap intervals from one shared set of resampled users.

    Args:
        ranks: recommender -> (U,) int64 0-based ranks of the targets.
        ks: cut-offs.
        resamples: how many times users are drawn.
        seed: seed of the draws.

    Returns:
        recommender -> metric -> `Estimate`.
    """
    per_user = {name: ranking_scores(found, ks) for name, found in ranks.items()}
    values = np.stack([column for scores in per_user.values() for column in scores.values()], axis=1)
    rows = zip(*bootstrap_intervals(values, resamples=resamples, seed=seed), strict=True)
    return {
        name: {metric: Estimate(*(round(float(value), DIGITS) for value in next(rows))) for metric in scores}
        for name, scores in per_user.items()
    }


def spread(items: IntArray, num_items: int, ks: Sequence[int]) -> dict[str, Estimate]:
    """Coverage and Gini index at every k of 10 or more (or at the largest k), without intervals.

    Args:
        items: (U, n) int64 lists, ``-1`` pads.
        num_items: N.
        ks: cut-offs.
    """
    wide = [k for k in ks if k >= 10] or [max(ks)]
    metrics = {"coverage": coverage, "gini": gini}
    return {
        f"{name}@{k}": Estimate(round(metric(items[:, :k], num_items), DIGITS))
        for name, metric in metrics.items()
        for k in wide
    }


def compare_ranks(
    pairs: Sequence[tuple[tuple[str, IntArray], tuple[str, IntArray]]],
    ks: Sequence[int],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare pairs of recommenders on the headline metrics, with Holm's correction over everything compared.

    Args:
        pairs: two names with their (U,) int64 ranks, row by row the same users.
        ks: cut-offs, from which the headline metrics follow.
        resamples: how many times users are drawn.
        seed: seed of the draws.
    """
    family = [(metric, *pair) for metric in headline_metrics(ks) for pair in pairs]
    values: list[tuple[Values, Values]] = [
        (ranking_scores(first, ks)[metric], ranking_scores(second, ks)[metric])
        for metric, (_, first), (_, second) in family
    ]
    found = compare_paired(values, resamples=resamples, seed=seed)
    return tuple(
        Comparison(
            metric,
            first,
            second,
            difference=round(paired.difference, DIGITS),
            low=round(paired.low, DIGITS),
            high=round(paired.high, DIGITS),
            p_value=paired.p_value,
            holm=paired.holm,
        )
        for (metric, (first, _), (second, _)), paired in zip(family, found, strict=True)
    )


def compare_all(
    ranks: Mapping[str, IntArray], ks: Sequence[int], *, resamples: int, seed: int
) -> tuple[Comparison, ...]:
    """Compare all pairs of recommenders; see `compare_ranks`."""
    return compare_ranks(list(combinations(ranks.items(), 2)), ks, resamples=resamples, seed=seed)
