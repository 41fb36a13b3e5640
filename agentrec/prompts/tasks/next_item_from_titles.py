"""Next item from titles: a history of titles alone, answered by a semantic ID (asymmetric, after LC-Rec).

A title that the history shows has to be understood as the item it names; arXiv:2311.09049.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agentrec.prompts.questions import Material, Questions, next_questions


class NextItemFromTitles:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target.

        Raises:
            DataError: no item has a title.
        """
        _ = material.titled
        return next_questions(material, material.targets, material.history(material.targets, "title"), "sid")


METHOD = NextItemFromTitles
