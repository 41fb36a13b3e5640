"""Where the top-level folders of the repository are found: beside the package, or shipped inside the wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agentrec.core.errors import AgentrecError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = {"prompts": "prompts", "evals": "evals", "recipes": "scripts/recipes"}


def resource_folder(name: Literal["prompts", "evals", "recipes"]) -> Path:
    """The folder of prompts, evaluation tasks or recipes.

    Raises:
        AgentrecError: the installation lacks it.
    """
    for folder in (PACKAGE / "_shipped" / name, PACKAGE.parent / CHECKOUT[name]):
        if folder.is_dir():
            return folder
    raise AgentrecError(f"the folder {name!r} is missing from this installation; install agentrec again")
