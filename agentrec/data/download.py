"""Public data sets by name: where they are, how they are checked, and where copies are kept.

Files stay under ``$AGENTREC_CACHE`` (default ``~/.cache/agentrec``). The data belong to their publishers and come under
their terms; this project ships none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentrec.core.errors import DataError
from agentrec.data.amazon import load_amazon
from agentrec.data.build import Duplicates
from agentrec.data.dataset import Dataset
from agentrec.data.movielens import load_movielens, ratings_in
from agentrec.data.remote import extract_zip, fetch

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
AMAZON_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched.

    Attributes:
        summary: one line.
        layout: ``"movielens"`` for a zip file, ``"amazon"`` for reviews and metadata.
        files: URLs, the main one first.
        checksum: of the first file, as its publisher states it; without one, files are pinned on first use.
    """

    summary: str
    layout: Literal["movielens", "amazon"]
    files: tuple[str, ...]
    checksum: str | None = None


def _movielens(file: str, summary: str, checksum: str | None = None) -> Source:
    return Source(f"{summary}, GroupLens, research use", "movielens", (f"{GROUPLENS}/{file}",), checksum)


def _amazon(category: str) -> Source:
    files = (f"{AMAZON_2014}/reviews_{category}_5.json.gz", f"{AMAZON_2014}/meta_{category}.json.gz")
    words = category.replace("_", " ")
    return Source(f"Amazon {words} 2014, 5-core with metadata, UCSD, research use", "amazon", files)


SOURCES: Mapping[str, Source] = {
    "movielens-100k": _movielens("ml-100k.zip", "100,000 ratings of 1998", "md5:0e33842e24a9c977be4e0107933c0723"),
    "movielens-1m": _movielens("ml-1m.zip", "1 million ratings of 2000", "md5:c4d9eecfca2ab87c1945afe126590906"),
    "movielens-25m": _movielens("ml-25m.zip", "25 million ratings of 2019", "md5:6b51fb2759a8657d3bfcbfc42b592ada"),
    "movielens-small": _movielens("ml-latest-small.zip", "100,000 recent ratings; changes over time"),
    "amazon-beauty": _amazon("Beauty"),
    "amazon-toys": _amazon("Toys_and_Games"),
    "amazon-sports": _amazon("Sports_and_Outdoors"),
    "amazon-games": _amazon("Video_Games"),
    "amazon-office": _amazon("Office_Products"),
}


def cache_folder() -> Path:
    """Where copies are kept."""
    chosen = os.environ.get("AGENTREC_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "agentrec"


def load_named(
    name: str,
    *,
    duplicates: Duplicates = "error",
    progress: bool = False,
    sources: Mapping[str, Source] = SOURCES,
    cache: Path | None = None,
) -> Dataset:
    """Fetch a data set unless a copy is there, and load it.

    Args:
        name: a key of ``sources``.
        duplicates: as for `build_dataset`.
        progress: show a progress bar.
        sources: what can be fetched.
        cache: instead of `cache_folder`.

    Raises:
        DataError: the name is unknown, the network refuses, or the files are not those expected.
    """
    if name not in sources:
        raise DataError(f"no data set is called {name!r}; those that can be fetched are {', '.join(sources)}")
    source = sources[name]
    folder = (cache or cache_folder()) / "data" / name
    files = []
    for number, url in enumerate(source.files):
        checksum = source.checksum if number == 0 else None
        files.append(fetch(url, folder / url.rpartition("/")[2], checksum=checksum, progress=progress))
    if source.layout == "amazon":
        return load_amazon(*files, duplicates=duplicates, name=name)
    return load_movielens(_unpacked(files[0], folder / "files"), duplicates=duplicates, name=name)


def _unpacked(archive: Path, folder: Path) -> Path:
    if not folder.is_dir():
        extract_zip(archive, folder)
    for candidate in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if ratings_in(candidate) is not None:
            return candidate
    raise DataError(
        f"{archive} holds no MovieLens ratings; expected a folder as GroupLens ships it, so delete {folder}"
    )
