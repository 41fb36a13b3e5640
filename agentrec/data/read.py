"""CSV and Parquet files as tables of which every row can say where it stands."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agentrec.core.errors import DataError

DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Table:
    """A pandas frame, and how messages name it and its rows.

    Attributes:
        frame: the rows; column names are distinct strings.
        name: for example the file's path.
        place: row number (from 0) -> for example ``"line 7"``.
    """

    frame: pd.DataFrame
    name: str
    place: Callable[[int], str]

    def __post_init__(self) -> None:
        names = list(self.frame.columns)
        odd = [name for name in names if not isinstance(name, str)]
        if odd:
            raise DataError(f"{self.name} has the column name {odd[0]!r}; expected text, so rename it")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise DataError(f"{self.name} has the column {twice[0]!r} twice; expected distinct names, so rename one")
        if len(self.frame) == 0:
            raise DataError(f"{self.name} holds no rows; expected at least one, so check that it is the right file")

    @property
    def columns(self) -> list[str]:
        """The column names."""
        return [str(name) for name in self.frame.columns]


def frame_table(frame: pd.DataFrame, name: str) -> Table:
    """A frame in memory; places are positions, counted from 0."""
    return Table(frame, name, lambda row: f"row {row}")


def read_table(path: str | Path, *, encoding: str = "utf-8") -> Table:
    """Read a CSV (comma, tab, semicolon or bar) or Parquet file; CSV values stay text, exactly as written.

    Args:
        path: ends in ``.parquet`` or ``.pq``; anything else is read as CSV with a header line.
        encoding: of a CSV file; a byte order mark is ignored.

    Raises:
        DataError: the file is missing, empty, of another encoding or broken.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; expected a CSV or Parquet file there, so check its name")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    return read_csv(path, encoding=encoding)


def read_csv(
    path: Path,
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
    quoted: bool = True,
) -> Table:
    """Read delimited text; every value stays text.

    Args:
        path: the file.
        encoding: its encoding.
        delimiter: None takes the one that occurs most in the first line.
        names: column names of a file without header line.
        quoted: double quotes enclose values; otherwise they are ordinary characters.

    Raises:
        DataError: the file is missing, empty, of another encoding or broken.
    """
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with _clear(path, encoding):
        first = next(_records(path, encoding, delimiter or ",", quoting), None)
        if first is None:
            raise DataError(f"{path} is empty; expected a header line and rows, so check that it is the right file")
        delimiter = delimiter or max(DELIMITERS, key=delimiter_count(path, encoding))
        header = next(_records(path, encoding, delimiter, quoting))[1]
        _check_header(path, header if names is None else list(names), header)
        frame = pd.read_csv(
            path, sep=delimiter, dtype=str, na_filter=False, index_col=False, encoding=encoding, quoting=quoting,  # type: ignore[call-overload]
            names=list(names) if names is not None else None, header=0 if names is None else None,
        )  # fmt: skip

    def place(row: int) -> str:
        return f"line {_line(path, encoding, delimiter, quoting, row + (names is None))}"

    return Table(frame, str(path), place)


def delimiter_count(path: Path, encoding: str) -> Callable[[str], int]:
    """How often a delimiter occurs in the first line of a file that is not blank."""
    with path.open(encoding=encoding) as lines:
        first = next((line for line in lines if line.strip()), "")
    return first.count


def _check_header(path: Path, names: list[str], first: list[str]) -> None:
    if len(names) < len(first):
        raise DataError(f"{path} has {len(first)} columns; expected {len(names)}, so check that it is the right file")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} twice; expected distinct names, so rename one")


def _records(path: Path, encoding: str, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of every record that is not a blank line."""
    with path.open(encoding=encoding, newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        start = 1
        for record in reader:
            if record and (len(record) > 1 or record[0].strip()):
                yield start, record
            start = reader.line_num + 1


def _line(path: Path, encoding: str, delimiter: str, quoting: Any, record: int) -> int:
    numbers = (line for line, _ in _records(path, encoding, delimiter, quoting))
    return next((line for position, line in enumerate(numbers) if position == record), record + 1)


@contextmanager
def _clear(path: Path, encoding: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except UnicodeError as error:
        raise DataError(
            f"{path} is not {encoding} text ({_one_line(error)}); expected {encoding}, so convert it or name its "
            'encoding (for example encoding="latin-1")'
        ) from error
    except LookupError as error:
        raise DataError(
            f"encoding {encoding!r} is unknown; expected one that Python knows, for example utf-8"
        ) from error
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"{path} has rows with more values than columns; expected as many, so check its header and quotes"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise DataError(
            f"{path} is no regular table ({_one_line(error)}); expected the same number of values in every line, so "
            "repair that line"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); expected a readable file") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"{path} is no Parquet file ({_one_line(error)}); expected one, so write it again") from error
    return frame_table(frame.reset_index(drop=True), str(path))
