"""Long tail: the next item where it is no popular one, asked for as a lesser-known item (after SIGMA).

The tail is every item outside the fifth of the chosen items that training chose most often; arXiv:2602.22913.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from agentrec.core.types import IntArray
from agentrec.prompts.questions import HEAD_SHARE, Material, Questions, next_questions


class LongTail:
    """See the module."""

    folder: ClassVar[Path | None] = None

    def questions(self, material: Material) -> Questions:
        """One row per user and target of the tail."""
        targets = material.targets.take(~np.isin(material.targets.items, head(material.popularity)))
        return next_questions(material, targets, material.history(targets, "title", "sid"), "sid")


def head(popularity: IntArray) -> IntArray:
    """The most popular fifth of the chosen items; of equally popular ones the first in the catalogue: (N,) -> (H,)."""
    size = round(HEAD_SHARE * int((popularity > 0).sum()))
    return np.argsort(-popularity, kind="stable")[:size].astype(np.int64)


METHOD = LongTail
