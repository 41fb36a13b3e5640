"""Next title from semantic IDs: a history of semantic IDs alone, answered by a title (asymmetric, after LC-Rec).

The reverse of `next_item_from_titles`; arXiv:2311.09049.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from agentrec.prompts.questions import Material, Questions, next_questions


class NextTitleFromSids:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target that has a title."""
        targets = material.targets.take(np.isin(material.targets.items, material.titled))
        return next_questions(material, targets, material.history(targets, "sid"), "title")


METHOD = NextTitleFromSids
