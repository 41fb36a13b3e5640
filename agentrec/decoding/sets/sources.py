"""Masks of allowed items from what a shop has: a column of its catalogue, or a file of item ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue

Mask = NDArray[np.bool_]

SHOWN = 5  # examples in a message


def where(catalogue: Catalogue, column: str, test: Callable[[str], bool]) -> Mask:
    """The items whose text in a column passes a test: (N,) bool; it may be none.

    Args:
        catalogue: N items.
        column: one of its text columns; ``"id"`` is the item id where no column has that name.
        test: of one text, empty where unknown.

    Raises:
        DataError: there is no such column.

    Example:
        >>> catalogue = Catalogue(("a", "b"), {"price": ("12.5", "80")})
        >>> where(catalogue, "price", lambda text: float(text) < 20).tolist()
        [True, False]
    """
    values = {"id": catalogue.ids, **catalogue.columns}.get(column)
    if values is None:
        raise DataError(
            f"items have no column {column!r}; those that exist are {', '.join(['id', *catalogue.columns])}"
        )
    return np.fromiter((bool(test(value)) for value in values), np.bool_, len(catalogue))


def having(catalogue: Catalogue, column: str, values: Sequence[str]) -> Mask:
    """The items with one of some values in a column: (N,) bool.

    Raises:
        DataError: there is no such column, or no item has a value; the message shows values that exist.
    """
    wanted = {values} if isinstance(values, str) else set(values)
    mask = where(catalogue, column, wanted.__contains__)
    known = {"id": catalogue.ids, **catalogue.columns}[column]
    unknown = sorted(wanted - {value for value, chosen in zip(known, mask, strict=True) if chosen})
    if unknown:
        some = ", ".join(repr(value) for value in list(dict.fromkeys(filter(None, known)))[:SHOWN])
        raise DataError(f"no item has {unknown[0]!r} in column {column!r}; expected values such as {some}")
    return mask


def listed(path: str | Path, catalogue: Catalogue) -> Mask:
    """The items whose ids stand in a text file, one per line: (N,) bool; empty lines do not count.

    Raises:
        DataError: the file cannot be read, or names items that the catalogue does not have.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} could not be read ({reason}); expected a text file with one item id per line"
        ) from error
    index = catalogue.index()
    mask = np.zeros(len(catalogue), np.bool_)
    unknown = []
    for number, line in enumerate(lines, 1):
        item = line.strip()
        if not item:
            continue
        position = index.get(item)
        if position is None:
            unknown.append((number, item))
        else:
            mask[position] = True
    if unknown:
        some = ", ".join(f"{item!r} on line {number}" for number, item in unknown[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise DataError(
            f"{path} names items that the catalogue does not have: {some}{more}; expected ids of its "
            f"{len(catalogue)} items, one per line"
        )
    return mask
