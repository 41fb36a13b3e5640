"""The advice of operations research: the order of a policy, and the figures of capped base stock beside it.

`order_by` computes capped base stock from parameters that somebody else chose: the mode in which a model sets the
parameters and the formula orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from agentrec.agents.inventory.facts import observation_of, seen
from agentrec.agents.inventory.game import Planner
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.capped_base_stock import base_stock, moments
from agentrec.core.errors import ConfigError
from agentrec.core.types import JSON

CAP = 0.95  # as the published baseline


@dataclass(frozen=True)
class Parameters:
    """What capped base stock orders from.

    Attributes:
        mean: demand of a period.
        deviation: of a period's demand.
        lead_time: periods until an order arrives.
        lost: units in transit that will not come.
    """

    mean: float
    deviation: float
    lead_time: int
    lost: int = 0


def advise(facts: JSON, policy: str) -> JSON:
    """The order of a policy, and the figures of capped base stock.

    Raises:
        UnknownNameError: there is no such policy.
        ConfigError: the policy knows the future.
    """
    kind = load_policy(policy)
    if issubclass(kind, Planner):
        raise ConfigError(f"advice is {policy!r}, which knows the future; expected a policy that may be followed")
    order = int(kind().order(observation_of(facts))[0])
    return {"policy": policy, "order": order, **order_by(default_parameters(facts), facts)}


def default_parameters(facts: JSON) -> Parameters:
    """Mean and deviation of all demand seen, and the promised lead time."""
    mean, deviation = moments(np.array([seen(facts)], np.int64))
    return Parameters(float(mean[0]), float(deviation[0]), int(facts["promised"]))


def order_by(parameters: Parameters, facts: JSON) -> JSON:
    """Capped base stock: ``base_order``, and the figures that lead to it."""
    ratio = facts["profit"] / (facts["profit"] + facts["holding"])
    mean, deviation = np.array([parameters.mean]), np.array([parameters.deviation])
    level = float(base_stock(mean, deviation, np.array([parameters.lead_time]), np.array([ratio]))[0])
    position = facts["on_hand"] + facts["in_transit"] - min(parameters.lost, facts["in_transit"])
    cap = max(parameters.mean + float(ndtri(CAP)) * parameters.deviation, 0.0)
    return {
        "base_order": math.ceil(min(max(level - position, 0.0), cap)),
        "mean": parameters.mean,
        "deviation": parameters.deviation,
        "lead_time": parameters.lead_time,
        "ratio": ratio,
        "level": level,
        "position": position,
        "cap": cap,
    }
