"""Policies of the inventory game, one file each; ``or`` is short for the published OR baseline."""

from __future__ import annotations

from typing import Any

from agentrec.core.registry import Registry

REGISTRY = Registry("agentrec.agents.inventory.policies")
SHORT = {"or": "capped_base_stock"}


def load_policy(name: str) -> Any:
    """The class of a policy, by its name or a short form of it.

    Raises:
        UnknownNameError: no policy has that name.
    """
    return REGISTRY.load(SHORT.get(name, name))
