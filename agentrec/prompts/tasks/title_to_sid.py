"""Title to semantic ID: an item's title, answered by its semantic ID (grounding)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from agentrec.prompts.questions import Material, Questions, item_questions


class TitleToSid:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per item with a title, chosen by anybody or not."""
        items = material.titled
        return item_questions(material, items, {"title": material.texts("title", items)}, "sid")


METHOD = TitleToSid
