"""Attributes to semantic ID: an item's brand, category and the like, answered by its semantic ID.

Attributes are the columns whose values items share (`Material.attributes`). Several items may have the same
attributes; then the model learns how they spread over semantic IDs, which is what a coarse code is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from agentrec.prompts.questions import Listing, Material, Questions, Texts, item_questions


class AttributesToSid:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per item with an attribute, chosen by anybody or not.

        Raises:
            DataError: the catalogue has no column of attributes.
        """
        names = material.attributes
        known = np.array([[bool(value.strip()) for value in material.column(name)] for name in names])  # (A, N)
        items, kinds = np.nonzero(known.T)  # entries of one item lie back to back
        counts = known.sum(axis=0)
        kept = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[kept]
        table = [value for name in names for value in material.column(name)]
        values = Texts(table, kinds * len(material.catalogue) + items)
        entries = Listing(starts, counts[kept], {"name": Texts(names, kinds), "value": values})
        return item_questions(material, kept, {"attributes": entries}, "sid")


METHOD = AttributesToSid
