"""Next category: a history summed up as the categories of its items, answered by the next item's category.

Which column holds categories is `Material.category`. The answer is the next item's, not the history's most frequent
one, so that the task asks for foresight and not for counting.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from agentrec.prompts.questions import Material, Questions, next_questions


class NextCategory:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target that has a category.

        Raises:
            DataError: the catalogue has no column of categories.
        """
        column = material.column(material.category)
        known = np.array([bool(value.strip()) for value in column])
        targets = material.targets.take(known[material.targets.items])
        return next_questions(
            material, targets, material.history(targets, category=material.category), material.category
        )


METHOD = NextCategory
