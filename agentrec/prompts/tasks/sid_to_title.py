"""Semantic ID to title: an item's semantic ID, answered by its title (grounding)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agentrec.prompts.questions import Material, Questions, item_questions


class SidToTitle:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per item with a title, chosen by anybody or not."""
        items = material.titled
        return item_questions(material, items, {"sid": material.texts("sid", items)}, "title")


METHOD = SidToTitle
