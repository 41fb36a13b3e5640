"""MovieLens in its three layouts gives the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrec.core.errors import DataError
from agentrec.data.load import load_dataset
from agentrec.data.movielens import GENRES, load_movielens

RATINGS = [("1", "10", "4", "100"), ("1", "20", "3", "50"), ("2", "10", "5", "7")]
MOVIES = [("10", "Café: a story (1995)", ["Comedy", "Drama"]), ("20", "Twenty, the (1996)", [])]


def csv_layout(folder: Path) -> None:
    rows = "\n".join(map(",".join, RATINGS))
    (folder / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{rows}\n", encoding="utf-8")
    movies = "\n".join(f'{item},"{title}",{"|".join(kinds) or "(no genres listed)"}' for item, title, kinds in MOVIES)
    (folder / "movies.csv").write_text(f"movieId,title,genres\n{movies}\n", encoding="utf-8")


def bar_layout(folder: Path) -> None:
    (folder / "u.data").write_text("".join("\t".join(row) + "\n" for row in RATINGS), encoding="utf-8")
    lines = []
    for item, title, kinds in MOVIES:
        flags = "|".join("1" if genre in kinds or (not kinds and genre == "unknown") else "0" for genre in GENRES)
        lines.append(f"{item}|{title}|01-Jan-1995||http://example.org/?a|{flags}\n")
    (folder / "u.item").write_text("".join(lines), encoding="latin-1")


def dat_layout(folder: Path) -> None:
    (folder / "ratings.dat").write_text("".join("::".join(row) + "\n" for row in RATINGS), encoding="utf-8")
    movies = "".join(f"{item}::{title}::{'|'.join(kinds) or 'unknown'}\r\n" for item, title, kinds in MOVIES)
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))


@pytest.mark.parametrize("layout", [csv_layout, bar_layout, dat_layout])
def test_layouts_agree(tmp_path, layout):
    layout(tmp_path)
    data = load_dataset(tmp_path)
    assert data.user_ids == ("1", "2")
    assert data.catalogue.ids == ("10", "20")
    assert data.catalogue.columns["title"] == ("Café: a story (1995)", "Twenty, the (1996)")
    assert data.catalogue.columns["genres"] == ("Comedy, Drama", "")
    assert [row.tolist() for row in data.histories()] == [[1, 0], [0]]
    assert data.interactions.ratings is not None
    assert data.interactions.ratings.tolist() == [3, 4, 5]
    assert data.interactions.has_timestamps


def test_broken_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of ratings\.csv, u\.data, ratings\.dat"):
        load_movielens(tmp_path)
    dat_layout(tmp_path)
    with (tmp_path / "ratings.dat").open("a", encoding="utf-8") as content:
        content.write("\n3::10::5\n")
    with pytest.raises(DataError, match="3 values at line 5; expected 4"):
        load_movielens(tmp_path)
    (tmp_path / "ratings.dat").write_text("1::10::5::later\n", encoding="utf-8")
    with pytest.raises(DataError, match="'later' in column 'timestamp' at line 1"):
        load_movielens(tmp_path)
    (tmp_path / "u.data").write_text("1\t10\t5\t1\t9\n", encoding="utf-8")
    with pytest.raises(DataError, match="5 columns; expected 4"):
        load_movielens(tmp_path)
