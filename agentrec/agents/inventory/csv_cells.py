"""Rows and cells of inventory files as numbers and dates, with messages that name file, row, value and remedy."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

from agentrec.core.errors import DataError

PERIOD = re.compile(r"^(?:(?:period|week|month|day|[pwmdt])[ _-]?)?(\d{1,4})$", re.IGNORECASE)  # Period_7, week 7, 7
NUMBERED = re.compile(r"^Period_\d+$")  # as the benchmark's drawn series count
WEEK = re.compile(r"^\d{4}-W\d{2}$")  # 2026-W05, the week of ISO 8601
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%m")
SLASHED = ("%m/%d/%Y", "%d/%m/%Y")  # one of them for a whole file
DELIMITERS = (",", ";", "\t")
MOST_UNITS, LONGEST_LEAD = 1_000_000_000, 1000


def read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a CSV file in lower case, and its rows with their numbers; empty rows are left out.

    Cells are separated by whichever of comma, semicolon and tab the header holds most of.

    Raises:
        DataError: it is no file, or no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(DELIMITERS, key=first.count)
        numbered = list(enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path} is no file; expected a CSV file of demand, so check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV in UTF-8 ({error}); save it from the spreadsheet as CSV UTF-8") from error
    kept = [(row, [cell.strip() for cell in cells]) for row, cells in numbered if any(cell.strip() for cell in cells)]
    return ([cell.lower() for cell in kept[0][1]], kept[1:]) if kept else ([], [])


def units(text: str, where: str) -> int:
    """A number of units, 0 or more: ``12`` or ``12.0``.

    Raises:
        DataError: anything else.
    """
    value = _number(text)
    if value is None or value < 0 or value != int(value) or value > MOST_UNITS:
        most = f" and at most {MOST_UNITS}" if value is not None and value > MOST_UNITS else ""
        raise DataError(
            f"demand in {where} is {text!r}; expected a whole number of 0 or more{most}, such as 1200, so correct the "
            "cell"
        )
    return int(value)


def money(text: str, column: str, where: str) -> float:
    """A profit or a holding cost, above 0.

    Raises:
        DataError: anything else.
    """
    value = _number(text)
    if value is None or value <= 0:
        raise DataError(f"{column} in {where} is {text!r}; expected a number above 0, such as 2.5, so correct it")
    return value


def lead_time(text: str, where: str, lost: int | None = None) -> int:
    """Periods until an order arrives; ``lost`` for ``inf``, where orders may be lost.

    Raises:
        DataError: it is no whole number of 0 or more.
    """
    if lost is not None and text.strip().lower() == "inf":
        return lost
    value = _number(text)
    if value is None or not 0 <= value <= LONGEST_LEAD or value != int(value):
        also = "" if lost is None else ", or inf for a lost order"
        raise DataError(
            f"lead time in {where} is {text!r}; expected a whole number of periods of 0 or more, {LONGEST_LEAD} at "
            f"most{also}, so correct the cell"
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
    readings: list[list[int | date]] = []
    unread: DataError | None = None
    for layout in SLASHED:
        try:
            readings.append([_place(text, place, layout) for text, place in zip(texts, where, strict=True)])
        except DataError as error:
            unread = unread or error
    if unread is not None and not readings:
        raise unread
    problems = [_disorder(places, texts, where) or _gap(places, texts, where) for places in readings]
    if all(problems):
        raise DataError(problems[0])


def check_numbers(texts: Sequence[str], where: Sequence[str]) -> None:
    """Check that periods called ``Period_7`` follow each other; of other names nothing is known.

    Raises:
        DataError: a number occurs twice, comes too early, or is missing.
    """
    if all(NUMBERED.match(text) for text in texts):
        check_calendar(texts, where)


def _place(text: str, where: str, slashed: str) -> int | date:
    """A period as a number or a day."""
    numbered = PERIOD.match(text.strip())
    if numbered:
        return int(numbered.group(1))
    day = f"{text}-1" if WEEK.match(text) else text
    for layout in (*DATES, "%G-W%V-%u", slashed):
        try:
            return datetime.strptime(day.strip(), layout).date()
        except ValueError:
            continue
    raise DataError(
        f"the period in {where} is {text!r}; expected a date such as 2026-01-31, a week such as 2026-W05 or a number "
        "such as 7, so rewrite the cell"
    )


def _disorder(places: Sequence[int | date], texts: Sequence[str], where: Sequence[str]) -> str:
    """What is wrong with the order of periods; empty for nothing."""
    if len({type(place) for place in places}) > 1:
        return f"{where[0]} and others mix dates and period numbers; expected one kind, so write all alike"
    known = set(places[:1])
    for row, (before, after) in enumerate(pairwise(places), 1):
        if after in known:
            return (
                f"{where[row]} is of {texts[row]} like a row above it; expected one row per period, so if the file "
                "mixes products, give it a column sku, else add the rows up"
            )
        if after < before:  # type: ignore[operator]
            return (
                f"{where[row]} is of {texts[row]}, which comes before {texts[row - 1]} above it; expected rows in "
                "order of time, so sort the file"
            )
        known.add(after)
    return ""


def _gap(places: Sequence[int | date], texts: Sequence[str], where: Sequence[str]) -> str:
    """Which period is missing; empty for none."""
    days = [place if isinstance(place, int) else place.toordinal() for place in places]
    steps = [after - before for before, after in pairwise(days)]
    if not steps:
        return ""
    numbered = isinstance(places[0], int)
    usual = 1 if numbered else min(steps)
    longest = 31 if 28 <= usual <= 31 else int(usual * 1.1)  # months and quarters differ in length
    wrong = next((row for row, step in enumerate(steps) if step > longest), None)
    if wrong is None:
        return ""
    unit = "periods" if numbered else "days"
    return (
        f"nothing stands between {texts[wrong]} and {texts[wrong + 1]} ({where[wrong + 1]}), {steps[wrong]} {unit} "
        f"apart where others are {usual}; expected every period, so add the missing rows, with demand 0 if nothing "
        "was asked for"
    )
