"""Amazon reviews as JSON lines, plain or gzipped, with the field names of 2014, 2018 and 2023.

The metadata files describe the whole shop, of which the reviews touch a small part: only reviewed items are kept, in
the order of the metadata. The metadata of 2014 is not JSON but Python literals; both are read, neither is executed.
"""

from __future__ import annotations

import ast
import gzip
import html
import json
import re
import warnings
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from agentrec.core.errors import DataError, DataWarning
from agentrec.data.build import Duplicates, build_dataset
from agentrec.data.columns import Columns
from agentrec.data.convert import shown, text_of
from agentrec.data.dataset import Dataset
from agentrec.data.read import Table

REVIEW_FIELDS = {
    "user": ("reviewerID", "user_id"),
    "item": ("parent_asin", "asin"),
    "timestamp": ("unixReviewTime", "timestamp"),
}
RATING_FIELDS = ("overall", "rating")
TEXT_FIELDS = {
    "title": ("title",),
    "brand": ("brand", "store"),
    "categories": ("categories", "category"),
    "price": ("price",),
    "features": ("features", "feature"),
    "description": ("description",),
}
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
LITERAL_ASIN = re.compile(r"""['"](?:parent_)?asin['"]\s*:\s*['"]([^'"]*)['"]""")
COLUMNS = Columns(user="user", item="item", timestamp="timestamp", rating="rating", title="title")


def load_amazon(
    reviews: str | Path,
    metadata: str | Path | None = None,
    *,
    duplicates: Duplicates = "error",
    name: str | None = None,
) -> Dataset:
    """Load reviews and, if given, the items' metadata.

    Args:
        reviews: JSON lines with user, item, time and rating.
        metadata: JSON lines with title, brand, categories, price, features and description.
        duplicates: what to do with a review that occurs twice at one time: ``"error"`` or ``"drop"``.
        name: of the data set; default: the file's name.

    Raises:
        DataError: a file is missing or a line is broken; the message names the line.
    """
    path = Path(reviews)
    table = read_reviews(path)
    items = None if metadata is None else read_metadata(Path(metadata), set(table.frame["item"].astype(str)))
    return build_dataset(name or path.name.partition(".")[0], table, items, columns=COLUMNS, duplicates=duplicates)


def read_reviews(path: Path) -> Table:
    """User, item, timestamp and, where every review has one, rating."""
    rows: dict[str, list[Any]] = {"user": [], "item": [], "timestamp": [], "rating": []}
    numbers = []
    for number, review in json_lines(path):
        for role, names in REVIEW_FIELDS.items():
            rows[role].append(_need(review, names, path, number))
        rows["rating"].append(_first(review, RATING_FIELDS))
        numbers.append(number)
    if all(rating is None for rating in rows["rating"]):
        del rows["rating"]
    frame = pd.DataFrame({role: pd.Series(values, dtype=object) for role, values in rows.items()})
    return Table(frame, str(path), lambda row: f"line {numbers[row]}")


def read_metadata(path: Path, wanted: Collection[str]) -> Table:
    """Texts of the wanted items; the first line of an item counts, and a DataWarning tells of others."""
    rows: dict[str, list[str]] = {"item": [], **{column: [] for column in TEXT_FIELDS}}
    numbers: list[int] = []
    known: set[str] = set()
    repeated = 0
    for number, item in json_lines(path, wanted):
        asin = str(_need(item, REVIEW_FIELDS["item"], path, number))
        repeated += asin in known
        if asin in known or asin not in wanted:
            continue
        known.add(asin)
        numbers.append(number)
        rows["item"].append(asin)
        for column, names in TEXT_FIELDS.items():
            rows[column].append(_flat(_first(item, names)))
    if repeated:
        warnings.warn(
            f"{path} describes {repeated} items again, on lines that are left out; the first line of an item counts",
            DataWarning,
            stacklevel=3,
        )
    if not known:
        raise DataError(f"{path} describes none of the {len(wanted)} reviewed items; expected the same shop's metadata")
    return Table(pd.DataFrame(rows, dtype=str), str(path), lambda row: f"line {numbers[row]}")


def json_lines(path: Path, wanted: Collection[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of every line that is not blank.

    Args:
        path: JSON lines, or lines of Python literals; gzipped where the name ends in ``.gz``.
        wanted: asins; lines of Python literals (which are slow to read) about others are skipped.

    Raises:
        DataError: the file is missing or damaged, or a line is no JSON object.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected a file of JSON lines there, so check its name")
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip() or (wanted is not None and _of_others(line, wanted)):
                    continue
                yield number, _parse(line, path, number)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 after line {number}; expected UTF-8 text, so convert it") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is damaged after line {number} ({error}); expected a whole gzip file, so fetch it again"
        ) from error


def _of_others(line: str, wanted: Collection[str]) -> bool:
    if not line.startswith("{'"):
        return False
    found = LITERAL_ASIN.search(line)
    return found is not None and found[1] not in wanted


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as broken:
        try:
            content = _literal(line)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise DataError(
                f"{path} has a line that is not JSON at line {number} ({' '.join(str(broken).split())}); "
                "expected one JSON object per line, so repair or remove it"
            ) from broken
    except RecursionError as error:
        raise DataError(f"{path} nests too deep at line {number}; expected one plain JSON object per line") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} has {shown(content)} at line {number}; expected one JSON object per line")
    return content


def _literal(line: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # backslashes in reviews are no Python escapes
        return ast.literal_eval(line.strip())


def _first(content: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((content[name] for name in names if content.get(name) is not None), None)


def _need(content: dict[str, Any], names: tuple[str, ...], path: Path, number: int) -> Any:
    value = _first(content, names)
    if value is None or value == "":
        fields = ", ".join(repr(str(name)[:40]) for name in list(content)[:12])
        raise DataError(
            f"{path} has no {' or '.join(map(repr, names))} at line {number}, which holds {fields or 'nothing'}; "
            "expected the fields of an Amazon review or item"
        )
    return value


def _flat(value: Any) -> str:
    """Texts, lists of texts and lists of those as one text, without HTML entities and repetitions."""
    parts = dict.fromkeys(part for part in _leaves(value) if part)
    return ", ".join(parts)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif not isinstance(value, dict):
        text = text_of(value)
        yield " ".join(html.unescape(text or "").split())
