"""Collision policies by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agentrec.core.config import from_mapping
from agentrec.core.errors import DataError
from agentrec.core.registry import Registry
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.problem import Policy, Problem, Resolved

REGISTRY = Registry("agentrec.semantic_ids.collisions")


def policy(name: str, settings: Mapping[str, Any] | None = None) -> Policy:
    """Build a policy.

    Args:
        name: a file of this folder that binds ``METHOD``.
        settings: of its ``Config``.

    Raises:
        UnknownNameError: no policy has that name.
        ConfigError: a setting is unknown or out of range.
    """
    module = REGISTRY.module(name)
    built: Policy = module.METHOD(from_mapping(module.Config, dict(settings or {})))
    return built


def solve(problem: Problem, name: str = "append", settings: Mapping[str, Any] | None = None) -> Resolved:
    """Give every item codes of its own.

    Args:
        problem: codes and what is known of the items.
        name: a policy.
        settings: of the policy.

    Raises:
        UnknownNameError: no policy has that name.
        ConfigError: a setting is unknown or out of range.
        DataError: the policy lacks what it needs, or there is no room.
    """
    return policy(name, settings).resolve(problem)


def resolve(codes: IntArray, policy: str = "append") -> IntArray:
    """Give every item codes of its own, by a policy that needs the codes alone; distinct codes come back as they are.

    Args:
        codes: (N, L) int64.
        policy: a name; see `solve` for those that need more.

    Returns:
        (N, L') int64 with distinct rows.

    Raises:
        UnknownNameError: no policy has that name.
        DataError: the policy needs vectors, keys or counts, or keeps collisions.
    """
    found = solve(Problem(np.asarray(codes)), policy)
    if found.ranks.any():
        raise DataError(f"collisions {policy!r} keeps items that share their codes; expected a policy that does not")
    return found.codes
