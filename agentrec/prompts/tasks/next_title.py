"""Next title: a history of titles with semantic IDs, answered by the next item's title."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from agentrec.prompts.questions import Material, Questions, next_questions


class NextTitle:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target that has a title."""
        targets = material.targets.take(np.isin(material.targets.items, material.titled))
        return next_questions(material, targets, material.history(targets, "title", "sid"), "title")


METHOD = NextTitle
