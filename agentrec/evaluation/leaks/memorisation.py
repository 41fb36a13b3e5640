"""Has a finished model seen the test targets? Two tests with a known rate of false alarms, and why there is no third.

`cold_targets` needs the model alone. Items that occur nowhere but as test targets are all alike to a model that knows
items by index and was trained on the other rows: exchanging their names changes nothing. So the ranks of the targets
among these items are compared with those under random renaming, an exact permutation test. It cannot speak where every
target also occurs in training, and it does not apply to models that read texts.

`against_clean_fits` needs the method: the model in question is set against fits of the same method, with the same
settings, on training rows. Under no leak it is one more draw of the same random process.

What is not here: comparing a user's target with that of another user who ended on the same item. A good recommender
ranks the user's own target higher because it knows the user, so that test accuses clean models (transitions counted on
the training rows of Amazon Industrial & Scientific: p = 0.00001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Recommender
from agentrec.core.rng import generator
from agentrec.core.types import PAD, HeldOut, Histories, IntArray, Recommendations
from agentrec.data.split import Split
from agentrec.evaluation.contract import checked_recommend
from agentrec.evaluation.leaks.finding import Finding
from agentrec.metrics.ranking import target_ranks

ALPHA = 0.001
FEWEST = 7  # items; 7! > 1 / ALPHA, fewer cannot reach it
RENAMINGS = 9999
CLEAN_ALPHA = 0.01  # a handful of clean fits cannot support less


def cold_targets(
    recommender: Recommender, split: Split, *, by_index: bool = True, seed: int = 0, alpha: float = ALPHA
) -> Finding:
    """Leak: a model ranks test targets that occur in no other row above other such items, at the users they belong to.

    Args:
        recommender: the model; it must rank the whole catalogue, with scores that tell ties.
        split: what it is evaluated on.
        by_index: the model knows items by index alone. False makes a find a warning, since texts tell items apart.
        seed: of the renamings.
        alpha: rate of false alarms.

    Returns:
        A finding whose ``facts`` hold ``p_value`` (None with fewer than seven such items, when nothing was checked),
        ``cold_items`` and ``percentile``: the mean place of the targets among the cold items, 0.5 by chance, 1 first.
    """
    held = split.reveal("test")
    cold = cold_items(split)
    rows = np.flatnonzero(np.isin(held.targets, cold))
    enough = len(cold) >= FEWEST
    p_value, places = None, np.zeros(0)
    if enough:
        own = np.searchsorted(cold, held.targets[rows])
        table = _places(_scores(recommender, held.histories.take(rows))[:, cold])
        places = table[np.arange(len(rows)), own]
        p_value = renaming_p_value(table, own, seed=seed)
    flagged = p_value is not None and p_value < alpha
    found = "items that no training row holds are known to the model at the users who chose them"
    doubt = found if by_index else f"{found}, or the model reads texts, by which it may tell them"
    return Finding(
        "cold_targets",
        "test users whose target occurs in no other row get it above other such items",
        checked=len(rows) if enough else 0,
        violations=int((places > 0.5).sum()) if flagged else 0,
        severity="leak" if by_index else "warning",
        meaning=f"{doubt}; train the model on the training rows of this split",
        examples=(f"p = {p_value:.2g}; mean place {places.mean():.2f}, 0.50 by chance",) if flagged else (),
        facts={
            "p_value": p_value,
            "cold_items": len(cold),
            "percentile": float(places.mean()) if len(places) else None,
        },
    )


def cold_items(split: Split) -> IntArray:
    """Items that are test targets and occur in no training row, history or validation target, ascending."""
    test, validation = split.reveal("test"), split.reveal("validation")
    known = (split.train.items, test.histories.items, validation.histories.items, validation.targets)
    return np.setdiff1d(test.targets, np.concatenate(known))


def renaming_p_value(table: NDArray[np.float64], own: IntArray, *, renamings: int = RENAMINGS, seed: int = 0) -> float:
    """Probability that targets stand so high when the items are renamed at random, the same way for all users.

    Args:
        table: (U, C) place of each of C items at each user, larger is better.
        own: (U,) column of the user's target.
        renamings: how many are drawn.
        seed: of the draws.

    Returns:
        ``(1 + at least as high) / (1 + renamings)``: exact, whatever the users have in common.
    """
    rng, rows = generator(seed, "renamings"), np.arange(len(own))
    observed = table[rows, own].sum()
    renamed = [table[rows, rng.permutation(table.shape[1])[own]].sum() for _ in range(renamings)]
    return float((1 + (np.array(renamed) >= observed - 1e-9).sum()) / (1 + renamings))


def against_clean_fits(
    recommender: Recommender,
    clean: Sequence[Recommender],
    held: HeldOut,
    *,
    n: int | None = None,
    alpha: float = CLEAN_ALPHA,
) -> Finding:
    """Leak: a model finds held-out targets better than fits of the same method on training rows do.

    With fits that differ by their seed, the mean log rank of the targets after one more clean fit lies in Student's
    prediction interval: ``(mean - x) / (deviation * sqrt(1 + 1/K))`` has K - 1 degrees of freedom. Where all clean fits
    agree, the method is deterministic, and other scores are certain not to come from these rows and settings.

    Args:
        recommender: the model in question.
        clean: K fits of the same method with the same settings on the split's training rows, with seeds of their own;
            at least 2, and 3 to 5 tell more.
        held: users and targets.
        n: list length that ranks are read from, the whole catalogue by default; a target not listed has rank n.
        alpha: rate of false alarms.

    Raises:
        ConfigError: there are fewer than 2 clean fits.
    """
    if len(clean) < 2:
        raise ConfigError(f"there are {len(clean)} clean fits to compare with; expected at least 2, better 3 to 5")
    n = recommender.num_items if n is None else min(n, recommender.num_items)
    asked = checked_recommend(recommender, held.histories, n)
    others = [checked_recommend(other, held.histories, n) for other in clean]
    depth, *clean_depths = (np.log1p(target_ranks(lists.items, held.targets)) for lists in (asked, *others))
    means = [float(depths.mean()) for depths in clean_depths]
    value = float(depth.mean())
    p_value = float(_agree([asked, *others])) if _agree(others) else _prediction_p_value(value, means)
    flagged = p_value < alpha
    better = int((depth < np.min(clean_depths, axis=0)).sum())
    return Finding(
        "against_clean_fits",
        f"{held.part} users whose target stands higher than after any clean fit of the same method",
        checked=len(held),
        violations=max(1, better) if flagged else 0,
        severity="leak" if value < min(means) else "warning",
        meaning="the model was not made from these training rows by this method and settings, so train it here",
        examples=(_compared(value, means, p_value),) if flagged else (),
        facts={"p_value": p_value, "mean_log_rank": value, "clean_mean_log_ranks": means},
    )


def _compared(value: float, clean: Sequence[float], p_value: float) -> str:
    return f"mean log rank {value:.3f}, clean fits {min(clean):.3f} to {max(clean):.3f}, p = {p_value:.2g}"


def _prediction_p_value(value: float, clean: Sequence[float]) -> float:
    deviation = float(np.std(clean, ddof=1))
    if deviation == 0:
        return float(value >= np.mean(clean))
    distance = (float(np.mean(clean)) - value) / (deviation * np.sqrt(1 + 1 / len(clean)))
    return float(stats.t.sf(distance, len(clean) - 1))


def _agree(answers: Sequence[Recommendations]) -> bool:
    """Whether scores are the same apart from rounding on another machine."""
    return all(np.allclose(answers[0].scores, other.scores, rtol=1e-5, atol=0) for other in answers[1:])


def _scores(recommender: Recommender, histories: Histories) -> NDArray[np.float32]:
    """Scores of the whole catalogue (U, N), read from full lists; what is not listed comes last."""
    lists = checked_recommend(recommender, histories, recommender.num_items)
    scores = np.full((len(histories), recommender.num_items), -np.inf, np.float32)
    rows, columns = np.nonzero(lists.items != PAD)
    scores[rows, lists.items[rows, columns]] = lists.scores[rows, columns]
    return scores


def _places(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the other items that each item stands above, ties counting half: (U, C) -> (U, C) in [0, 1]."""
    others = scores.shape[1] - 1
    return np.stack([(stats.rankdata(row) - 1) / others for row in scores])
