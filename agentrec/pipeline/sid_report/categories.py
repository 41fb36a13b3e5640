"""Categories of items as paths, from general to particular, and the depth at which they tell items apart.

A column of categories holds a path per item: ``a|b``, ``a > b``, ``a; b`` or ``a,b`` (a comma with a space behind it
belongs to a name). Labels without an order, such as genres, are read as paths too, in the order in which they stand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from agentrec.core.types import Catalogue
from agentrec.evaluation.list_metrics import category_column

Path = tuple[str, ...]
SEPARATORS = (r"\|", r">", r";", r",(?! )")
LARGEST = 0.5  # a category with a larger share of the items says too little


def category_paths(catalogue: Catalogue) -> list[Path] | None:
    """The path of every item, empty where it has none; None where the data set has no categories."""
    name = category_column(catalogue)
    return None if name is None else [split_path(text) for text in catalogue.columns[name]]


def split_path(text: str) -> Path:
    """The parts of a path.

    Example:
        >>> split_path("Tapes, Adhesives & Sealants,Adhesive Tapes")
        ('Tapes, Adhesives & Sealants', 'Adhesive Tapes')
    """
    separator = next((one for one in SEPARATORS if re.search(one, text)), None)
    parts = [text] if separator is None else re.split(separator, text)
    return tuple(part.strip() for part in parts if part.strip())


def categories_of(paths: Sequence[Path]) -> list[str]:
    """One category per item: its path down to the depth at which none holds more than half of the items with a path.

    Where there is no such depth, whole paths. A category is named by its last part, with the parts above it where two
    have the same. Items without a path have none: ``""``.
    """
    known = [path for path in paths if path]
    deepest = max(map(len, known), default=0)
    depth = next(
        (depth for depth in range(1, deepest) if _largest([path[:depth] for path in known]) <= LARGEST), deepest
    )
    names = short_names({path[:depth] for path in known})
    return [names[path[:depth]] if path else "" for path in paths]


def short_names(paths: set[Path]) -> dict[Path, str]:
    """Names of paths: the last part, or the whole path where another one ends alike."""
    last = Counter(path[-1] for path in paths)
    return {path: path[-1] if last[path[-1]] == 1 else " > ".join(path) for path in paths}


def _largest(paths: Sequence[Path]) -> float:
    return max(Counter(paths).values()) / len(paths)
