"""New item: the next item where nobody else chose it in training, asked for as one new to the catalogue (after SIGMA).

Items that training never saw have no row here; `title_to_sid` and `attributes_to_sid` teach them. arXiv:2602.22913.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agentrec.prompts.questions import Material, Questions, next_questions


class NewItem:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per target that training chose once, by this user here."""
        targets = material.targets.take(material.popularity[material.targets.items] == 1)
        return next_questions(material, targets, material.history(targets, "title", "sid"), "sid")


METHOD = NewItem
