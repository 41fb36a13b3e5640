"""MovieLens in its three layouts: ``ratings.csv``, ``u.data`` (100K) and ``ratings.dat`` (1M, 10M)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agentrec.core.errors import DataError
from agentrec.data.build import Duplicates, build_dataset
from agentrec.data.columns import Columns
from agentrec.data.dataset import Dataset
from agentrec.data.read import Table, read_csv

RATINGS = ("user", "item", "rating", "timestamp")
COLUMNS = Columns(user="user", item="item", timestamp="timestamp", rating="rating", title="title", texts="genres")
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
NO_GENRES = ("(no genres listed)", "unknown")
LAYOUTS = {"ratings.csv": "movies.csv", "u.data": "u.item", "ratings.dat": "movies.dat"}


def load_movielens(source: str | Path, *, duplicates: Duplicates = "error", name: str | None = None) -> Dataset:
    """Load a folder as GroupLens ships it; titles and genres become text.

    Raises:
        DataError: the folder has no ratings file, or a file is broken.
    """
    folder = Path(source)
    ratings = ratings_in(folder)
    if ratings is None:
        raise DataError(f"{folder} holds none of {', '.join(LAYOUTS)}; expected a folder as GroupLens ships it")
    movies = folder / LAYOUTS[ratings.name]
    read_movies = {"movies.csv": _movies_csv, "u.item": _movies_bars, "movies.dat": _movies_dat}[movies.name]
    items = read_movies(movies) if movies.is_file() else None
    return build_dataset(
        name or folder.resolve().name, _ratings(ratings), items, columns=COLUMNS, duplicates=duplicates
    )


def ratings_in(folder: Path) -> Path | None:
    """The ratings file of a MovieLens folder, or None."""
    return next((folder / name for name in LAYOUTS if (folder / name).is_file()), None)


def _ratings(path: Path) -> Table:
    if path.suffix == ".dat":
        return _double_colons(path, RATINGS)
    if path.name == "u.data":
        return read_csv(path, delimiter="\t", names=RATINGS, quoted=False)
    table = read_csv(path)
    renamed = {"userId": "user", "movieId": "item"}
    return Table(table.frame.rename(columns=renamed), table.name, table.place)


def _movies_csv(path: Path) -> Table:
    table = read_csv(path)
    return _with_genres(Table(table.frame.rename(columns={"movieId": "item"}), table.name, table.place))


def _movies_dat(path: Path) -> Table:
    return _with_genres(_double_colons(path, ("item", "title", "genres")))


def _movies_bars(path: Path) -> Table:
    names = ("item", "title", "released", "video", "link", *GENRES)
    table = read_csv(path, encoding="latin-1", delimiter="|", names=names, quoted=False)
    flags = table.frame[list(GENRES)].to_numpy(object) == "1"
    genres = ["|".join(genre for genre, flag in zip(GENRES, row, strict=True) if flag) for row in flags]
    frame = table.frame[["item", "title"]].assign(genres=genres)
    return _with_genres(Table(frame, table.name, table.place))


def _with_genres(table: Table) -> Table:
    """Genres as ``"Comedy, Drama"``; empty where there are none."""
    if "genres" not in table.columns:
        raise DataError(f"{table.name} has no column 'genres'; expected one as GroupLens ships it")
    genres = [", ".join(part for part in cell.split("|") if part not in NO_GENRES) for cell in table.frame["genres"]]
    return Table(table.frame.assign(genres=genres), table.name, table.place)


def _double_colons(path: Path, names: tuple[str, ...]) -> Table:
    """Values between ``::``; GroupLens ships UTF-8 (10M) and Latin-1 (1M)."""
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        lines = content.decode("latin-1").split("\n")
    rows, numbers = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(line.rstrip("\r").split("::"))
            numbers.append(number)
            if len(rows[-1]) != len(names):
                raise DataError(
                    f"{path} has {len(rows[-1])} values at line {number}; expected {len(names)} between double colons "
                    f"({', '.join(names)}), so repair that line"
                )
    return Table(pd.DataFrame(rows, columns=list(names), dtype=str), str(path), lambda row: f"line {numbers[row]}")
