"""Cells of inventory files as numbers and dates, with messages that name file, row, value and remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise

from agentrec.core.errors import DataError

PERIOD = re.compile(r"^[A-Za-z]+[ _-]?(\d+)$|^(\d{1,3})$")  # Period_7, week 7, 7
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%m")


def units(text: str, where: str) -> int:
    """A number of units, 0 or more: ``12`` or ``12.0``.

    Raises:
        DataError: anything else.
    """
    value = _number(text)
    if value is None or value < 0 or value != int(value):
        raise DataError(f"demand in {where} is {text!r}; expected a whole number of 0 or more, so correct the cell")
    return int(value)


def money(text: str, column: str, where: str) -> float:
    """A profit or a holding cost, above 0.

    Raises:
        DataError: anything else.
    """
    value = _number(text)
    if value is None or value <= 0:
        raise DataError(f"{column} in {where} is {text!r}; expected a number above 0, so correct the cell")
    return value


def lead_time(text: str, where: str, lost: int | None = None) -> int:
    """Periods until an order arrives; ``lost`` for ``inf``, where orders may be lost.

    Raises:
        DataError: it is no whole number of 0 or more.
    """
    if lost is not None and text.strip().lower() == "inf":
        return lost
    value = _number(text)
    if value is None or value < 0 or value != int(value):
        also = "" if lost is None else ", or inf for a lost order"
        raise DataError(
            f"lead time in {where} is {text!r}; expected a whole number of periods of 0 or more{also}, so correct the "
            "cell"
        )
    return int(value)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_calendar(texts: Sequence[str], where: Sequence[str]) -> None:
    """Check that periods follow each other without gap: numbered ones by 1, dates by equal steps or by months.

    Args:
        texts: the periods.
        where: what messages call the place of each, such as ``row 2 of sales.csv``.

    Raises:
        DataError: a period cannot be read, occurs twice, comes too early, or is missing.
    """
    places = [_place(text, place) for text, place in zip(texts, where, strict=True)]
    if len({type(place) for place in places}) > 1:
        raise DataError(f"{where[0]} and others mix dates and period numbers; expected one kind, so write all alike")
    for row, (before, after) in enumerate(pairwise(places), 1):
        if after == before:
            raise DataError(
                f"{where[row]} is of {texts[row]} like the row before it; expected one row per period, so if the file "
                "mixes products, give it a column sku and choose one, else add the rows up"
            )
        if after < before:  # type: ignore[operator]
            raise DataError(
                f"{where[row]} is of {texts[row]}, which comes before {texts[row - 1]} above it; expected rows in "
                "order of time, so sort the file"
            )
    _check_gaps(places, texts, where)


def _place(text: str, where: str) -> int | date:
    """A period as a number or a day."""
    numbered = PERIOD.match(text.strip())
    if numbered:
        return int(numbered.group(1) or numbered.group(2))
    for layout in DATES:
        try:
            return datetime.strptime(text.strip(), layout).date()
        except ValueError:
            continue
    raise DataError(
        f"the period in {where} is {text!r}; expected a date such as 2026-01-31 or a number such as Period_7, so "
        "rewrite the cell"
    )


def _check_gaps(places: Sequence[int | date], texts: Sequence[str], where: Sequence[str]) -> None:
    days = [place if isinstance(place, int) else place.toordinal() for place in places]
    steps = [after - before for before, after in pairwise(days)]
    if not steps:
        return
    numbered = isinstance(places[0], int)
    usual = 1 if numbered else min(steps)
    longest = 31 if 28 <= usual <= 31 else int(usual * 1.1)  # months and quarters differ in length
    wrong = next((row for row, step in enumerate(steps) if step > longest), None)
    if wrong is not None:
        unit = "periods" if numbered else "days"
        raise DataError(
            f"nothing stands between {texts[wrong]} and {texts[wrong + 1]} ({where[wrong + 1]}), {steps[wrong]} {unit} "
            f"apart where others are {usual}; expected every period, so add the missing rows, with demand 0 if nothing "
            "was asked for"
        )
