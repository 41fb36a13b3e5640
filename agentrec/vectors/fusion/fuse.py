"""Fusions by name, and their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrec.core.artefact import read_manifest
from agentrec.core.config import from_mapping
from agentrec.core.registry import Registry
from agentrec.vectors.fusion.base import Fusion

REGISTRY = Registry("agentrec.vectors.fusion")


def fusion(name: str, settings: Mapping[str, Any] | None = None) -> Fusion:
    """Build a fusion, not yet fitted.

    Args:
        name: a file of this folder that binds ``METHOD``.
        settings: of its ``Config``.

    Raises:
        UnknownNameError: no fusion has that name.
        ConfigError: a setting is unknown or out of range.
    """
    module = REGISTRY.module(name)
    built: Fusion = module.METHOD(from_mapping(module.Config, dict(settings or {})))
    return built


def load_fusion(folder: str | Path) -> Fusion:
    """A saved fusion.

    Raises:
        ArtefactError: no fusion lies there, or it is damaged.
        UnknownNameError: this installation lacks its method.
    """
    found: Fusion = REGISTRY.load(read_manifest(folder)["method"]).from_pretrained(folder)
    return found
