"""Lead times and losses, learned from arrivals alone.

What is known of an order is when it arrived, or that it has not arrived so far; that it is lost is never known. So each
order that is out is shared between the lead times it may still have and the loss, by EM over a categorical
distribution with a Dirichlet prior around the promise.
"""

from __future__ import annotations

import numpy as np

from agentrec.agents.inventory.instances import Values
from agentrec.agents.inventory.observation import WAITING, Observation
from agentrec.core.types import IntArray

BEYOND = 4  # lead times up to the promise and so many periods more are thought possible from the start
ROUNDS = 10
LOSS_SHARE = 0.2  # of what the prior does not give to the promise


def learn_lead_times(observation: Observation, trust: float, weight: float) -> Values:
    """Probabilities of lead times 0..K, and of a loss in the last column.

    Args:
        observation: B instances.
        trust: prior probability that the promise is kept, below 1.
        weight: how many orders the prior counts as.

    Returns:
        (B, K + 2) float64, rows that sum to 1; K is the largest `longest` of the instances.
    """
    lags, last = seen_lags(observation), int(longest(observation).max())
    counts = weight * _prior(observation, last, trust)
    for lag in range(last + 1):
        counts[:, lag] += (lags == lag).sum(axis=1)
    ages = np.minimum(observation.period - np.arange(observation.period), last + 1)
    out = (observation.orders > 0) & (observation.arrived == WAITING)
    waiting = np.stack([(out & (ages == age)).sum(axis=1) for age in range(last + 2)], axis=1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    for _ in range(ROUNDS):
        still = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1]  # not arrived before this age
        expected = counts + shares * np.cumsum(waiting / np.maximum(still, 1e-12), axis=1)
        shares = expected / expected.sum(axis=1, keepdims=True)
    found: Values = shares
    return found


def seen_lags(observation: Observation) -> IntArray:
    """Lead times of the orders that arrived: (B, t) int64, ``-1`` for those that did not."""
    return np.where(observation.arrived == WAITING, WAITING, observation.arrived - np.arange(observation.period))


def longest(observation: Observation) -> IntArray:
    """The longest lead time thought possible: (B,) int64, `BEYOND` periods over the promise and all that was seen."""
    seen = seen_lags(observation).max(axis=1, initial=0)
    return np.asarray(np.maximum(observation.promised, seen) + BEYOND, np.int64)


def _prior(observation: Observation, last: int, trust: float) -> Values:
    size = len(observation)
    prior = np.full((size, last + 2), (1 - trust) * (1 - LOSS_SHARE) / last)
    prior[np.arange(size), observation.promised] = trust
    prior[:, -1] = (1 - trust) * LOSS_SHARE
    shares: Values = prior / prior.sum(axis=1, keepdims=True)
    return shares
