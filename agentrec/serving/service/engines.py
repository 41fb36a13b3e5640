"""An engine by its name, and again when it died: all engines of a service share their named sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentrec.core.errors import UnknownNameError
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.engines.protocol import Engine
from agentrec.serving.generative import GenerativeRecommender

ENGINES = ("tree",)


def sets_of(recommender: GenerativeRecommender, folder: str | Path | None = None) -> ConstraintSets:
    """Named sets over the recommender's items, from a folder that `ConstraintSets.save` wrote.

    Raises:
        ArtefactError: the folder holds something else, or sets of another index.
    """
    return ConstraintSets(recommender.index) if folder is None else ConstraintSets.load(folder, recommender.index)


def engine_builder(name: str, recommender: GenerativeRecommender, sets: ConstraintSets) -> Callable[[], Engine]:
    """Makes engines of a kind.

    Args:
        name: one of `ENGINES`.
        recommender: the trained generator.
        sets: named sets over its items.

    Raises:
        UnknownNameError: there is no such engine.
    """
    if name == "tree":
        from agentrec.serving.engines.tree import TreeEngine

        return lambda: TreeEngine(recommender, sets)
    raise UnknownNameError(f"there is no engine {name!r}; those that exist are {', '.join(ENGINES)}")
