"""Which rows of recipes a command names, and what stands there: a claim is void once they have changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrec.core.config import read_yaml
from agentrec.core.files import json_hash
from agentrec.core.resources import CHECKOUT

RECIPES = CHECKOUT["recipes"]
NAMED = re.compile(r"(?<![\w./:-])(?:recipe:)?([\w-]+):([\w-]+)(?![\w./:-])")  # not https://, not python:module:name


def recipe_rows(command: str, root: Path) -> dict[str, str]:
    """Every row that a command names, as ``recipe:label``, and a hash of what shapes its training.

    That is the row itself, the rows that teach it, and the semantic IDs of a generator; data are those of the command.

    Args:
        command: of a claim.
        root: of the repository whose recipes are read.

    Raises:
        ConfigError: a recipe cannot be read.
    """
    found = {}
    for name, label in NAMED.findall(command):
        file = root / RECIPES / f"{name}.yaml"
        recipe = read_yaml(file) if file.is_file() else {}
        if label in recipe.get("recommenders", {}):
            found[f"{name}:{label}"] = json_hash(_shapes(recipe, recipe["recommenders"][label] or {}))
    return found


def _shapes(recipe: Mapping[str, Any], row: Mapping[str, Any]) -> list[Any]:
    teachers = str(row.get("tca4rec", {}).get("teacher", "")).split("+")
    taught_by = [recipe["recommenders"].get(label.strip()) for label in teachers]
    return [row, taught_by, recipe.get("sids") if row.get("method") == "generative" else None]
