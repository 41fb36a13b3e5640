"""Next item: a history of titles with semantic IDs, answered by the next item's semantic ID.

The prompt is the one that recommending uses, so a model that recommends needs this task.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agentrec.prompts.questions import Material, Questions, next_questions


class NextItem:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target."""
        history = material.history(material.targets, "title", "sid")
        return next_questions(material, material.targets, history, "sid")


METHOD = NextItem
