"""Who answers, one file each. A backend is opened from settings: ``METHOD.open(config, policy)``."""

from __future__ import annotations

from agentrec.core.registry import Registry

REGISTRY = Registry("agentrec.serving.chat.backends")
