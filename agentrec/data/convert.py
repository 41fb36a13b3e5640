"""One column of a table to ids, whole numbers, times, ratings or texts: exact, or an error that names the line.

Times are kept in the source's own unit; dates become seconds since 1970 (UTC). An integer column reads as ``"1"``,
never as ``"1.0"``; text stays exactly as it is.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.data.read import Table

NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
DATE = re.compile(r"\s*\d{4}-\d{2}(-\d{2}.*)?\s*", re.ASCII)
MISSING_TEXTS = frozenset({"", "nan", "<na>", "nat"})
LARGEST_EXACT = 2**53  # whole numbers that a float64 still tells apart


def index_ids(table: Table, column: str, role: str) -> tuple[IntArray, list[str]]:
    """Number the ids of a column in the order of their first appearance.

    Args:
        table: R rows.
        column: its name.
        role: what messages call it, for example ``"user"``.

    Returns:
        (R,) int64 indexes, and the distinct ids.

    Raises:
        DataError: a value is missing, or is neither text nor a number.
    """
    values = table.frame[column]
    _reject(table, column, _absent(values), f"every row with {_article(role)}")
    if values.dtype == object:  # may mix types, of which some have no hash and some are equal, as 1 and True
        codes, texts = np.arange(len(values)), [_id_text(value) for value in values]
    else:
        codes, distinct = pd.factorize(values)
        texts = [_id_text(value) for value in distinct]
    broken = np.array([text is None for text in texts], bool)
    _reject(table, column, broken[codes], f"text or whole numbers as {role} ids", missing=False)
    known = [text for text in texts if text is not None]
    index = {text: number for number, text in enumerate(dict.fromkeys(known))}
    return np.array([index[text] for text in known], np.int64)[codes], list(index)


def _id_text(value: Any) -> str | None:
    """An id as text; None where the value can be none."""
    if isinstance(value, str):
        return value if _encodable(value) else None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(value) if abs(int(value)) < 10**60 else None
    if isinstance(value, (float, np.floating)) and np.isfinite(value):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def positions(table: Table, column: str) -> IntArray:
    """Whole numbers that order rows: (R,) int64.

    Raises:
        DataError: a value is missing or is no whole number.
    """
    expected = "whole numbers that order a user's rows (times belong in a timestamp column)"
    numbers = _numbers(table, column, expected)
    if numbers.dtype.kind == "f":
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) <= LARGEST_EXACT)
        _reject(table, column, ~whole, expected, missing=False)
    return numbers.astype(np.int64)


def times(table: Table, column: str) -> NDArray[Any]:
    """Times that can be compared: (R,) int64 where all are whole, else float64.

    Raises:
        DataError: a value is missing, or is neither a number nor a date like the first one.
    """
    values = table.frame[column]
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        _reject(table, column, _absent(values), "every row with a time")
        return _seconds(values)
    if _first_text(values, DATE):
        texts = values.astype(object).map(lambda value: str(value) if isinstance(value, str) else "")
        fits = texts.map(lambda text: DATE.fullmatch(text) is not None).to_numpy(bool)
        _reject(table, column, _absent(values), "every row with a time")
        _reject(table, column, ~fits, "ISO dates such as '2024-05-31T12:00:00'", missing=False)
        parsed = pd.to_datetime(texts.str.strip(), format="ISO8601", utc=True, errors="coerce")
        _reject(table, column, parsed.isna().to_numpy(bool), "dates that exist", missing=False)
        return _seconds(parsed)
    return _numbers(table, column, "numbers or ISO dates such as '2024-05-31T12:00:00'")


def ratings(table: Table, column: str) -> FloatArray:
    """Ratings: (R,) float32.

    Raises:
        DataError: a value is missing or is no number.
    """
    numbers = _numbers(table, column, "numbers as ratings").astype(np.float64)
    fits = np.abs(numbers) <= np.finfo(np.float32).max
    _reject(table, column, ~fits, "ratings of ordinary size", missing=False)
    return numbers.astype(np.float32)


def texts(table: Table, column: str) -> list[str]:
    """A column as text, empty where a value is missing; lists are joined by commas.

    Raises:
        DataError: a value cannot be expressed as Unicode text.
    """
    values = table.frame[column].astype(object).tolist()
    found = [text_of(value) for value in values]
    broken = np.array([text is None for text in found], bool)
    _reject(table, column, broken, "valid Unicode text", missing=False)
    return [text or "" for text in found]


def text_of(value: Any) -> str | None:
    """One value as text; None where it is not valid Unicode."""
    if isinstance(value, str):
        return value if _encodable(value) else None
    if isinstance(value, bytes):
        return _id_text(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        parts = [text_of(part) for part in value]
        return None if None in parts else ", ".join(part for part in parts if part)
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and np.isnan(value))
    ):
        return ""
    if isinstance(value, int):
        return _id_text(value)
    text = str(value)
    return text if _encodable(text) else None


def shown(value: Any) -> str:
    """A value for a message: one line, at most sixty characters."""
    if isinstance(value, int) and abs(value) >= 10**60:  # Python refuses to print very long numbers
        return "a whole number of more than sixty digits"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _numbers(table: Table, column: str, expected: str) -> NDArray[Any]:
    """Finite numbers: int64 where all are written as whole numbers, else float64."""
    values = table.frame[column]
    _reject(table, column, _absent(values), expected)
    if values.dtype.kind not in "iuf":
        values = values.astype(object)
        readable = values.map(_is_number).to_numpy(bool)
        _reject(table, column, ~readable, expected, missing=False)
        values = values.map(_number)
    found = values.tolist()
    fits = np.array([-(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value) for value in found])
    _reject(table, column, ~fits, expected, missing=False)
    whole = all(isinstance(value, int) for value in found)
    return np.array(found, np.int64 if whole else np.float64)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return NUMBER.fullmatch(value) is not None
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))


def _number(value: Any) -> int | float:
    """A value that `_is_number`, exactly."""
    if isinstance(value, str):
        number = float(value)
        return int(value) if value.strip().lstrip("+-").isdigit() and len(value) < 30 else number
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _seconds(values: pd.Series[Any]) -> NDArray[Any]:
    naive = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
    micros = naive.to_numpy("datetime64[us]").astype(np.int64)
    return micros // 1_000_000 if (micros % 1_000_000 == 0).all() else micros / 1e6


def _first_text(values: pd.Series[Any], pattern: re.Pattern[str]) -> bool:
    """Whether the first value that is there is text of this form."""
    for value, absent in zip(values, _absent(values), strict=True):
        if not absent:
            return isinstance(value, str) and pattern.fullmatch(value) is not None
    return False


def _absent(values: pd.Series[Any]) -> NDArray[np.bool_]:
    missing = values.isna().to_numpy(bool)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return missing
    blank = [isinstance(value, str) and value.strip().lower() in MISSING_TEXTS for value in values]
    return np.asarray(missing | np.array(blank, bool))


def _reject(table: Table, column: str, bad: NDArray[np.bool_], expected: str, *, missing: bool = True) -> None:
    """Raise if any row is bad, naming the first and how many there are."""
    if not bad.any():
        return
    row = int(bad.argmax())
    count = int(bad.sum())
    value = shown(table.frame[column].iloc[row])
    found = "a missing value" if missing and value != "''" else "an empty value" if missing else f"the value {value}"
    more = "" if count == 1 else f" ({count} such rows)"
    raise DataError(
        f"{table.name} has {found} in column {column!r} at {table.place(row)}{more}; expected {expected}, so correct "
        "or remove it"
    )


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
