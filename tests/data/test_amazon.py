"""Amazon reviews and metadata of three generations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agentrec.core.errors import DataError, DataWarning
from agentrec.data.amazon import load_amazon
from agentrec.data.load import load_dataset

ROWS = [("U1", "B2", 20, 5.0), ("U1", "B1", 10, 4.0), ("U2", "B1", 15, 3.0)]
REVIEW_NAMES = {
    2014: ("reviewerID", "asin", "unixReviewTime", "overall"),
    2018: ("reviewerID", "asin", "unixReviewTime", "overall"),
    2023: ("user_id", "parent_asin", "timestamp", "rating"),
}
META = {
    2014: [{"asin": "B9", "title": "never reviewed"},
           {"asin": "B1", "title": "Dr. O&#39;Nail's &amp; Co", "brand": "Acme", "price": 12.5,
            "categories": [["Beauty", "Nails"], ["Beauty", "Gifts"]], "description": "Fine\n polish", "extra": "\\d"}],
    2018: [{"asin": "B1", "title": "Dr. O&#39;Nail's &amp; Co", "brand": "Acme", "price": "12.5",
            "category": ["Beauty", "Nails", "Gifts"], "description": ["Fine", "polish"]}],
    2023: [{"parent_asin": "B1", "title": "Dr. O'Nail's & Co", "store": "Acme", "price": "12.5",
            "categories": ["Beauty", "Nails", "Gifts"], "description": ["Fine polish"], "features": []}],
}  # fmt: skip


def written(path: Path, lines: list[str]) -> Path:
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def reviews(folder: Path, year: int = 2018, name: str = "reviews_Tiny_5.json.gz") -> Path:
    rows = [dict(zip(REVIEW_NAMES[year], row, strict=True)) | {"reviewText": "x"} for row in ROWS]
    return written(folder / name, [json.dumps(row) for row in rows])


@pytest.mark.parametrize("year", [2014, 2018, 2023])
@pytest.mark.parametrize("suffix", [".json", ".jsonl.gz"])
def test_generations_agree(tmp_path, year, suffix):
    # The metadata of 2014 is Python, not JSON.
    lines = [repr(item) if year == 2014 else json.dumps(item) for item in META[year]]
    meta = written(tmp_path / f"meta{suffix}", lines)
    with pytest.warns(DataWarning, match="1 of 2 items .* for example 'B2'"):
        data = load_dataset(reviews(tmp_path, year, f"reviews{suffix}"), items=meta)
    assert data.name == "reviews"
    assert data.catalogue.ids == ("B1", "B2")
    assert data.catalogue.columns["title"] == ("Dr. O'Nail's & Co", "")
    assert data.catalogue.columns["brand"][0] == "Acme"
    assert data.catalogue.columns["price"][0] == "12.5"
    assert data.catalogue.columns["categories"][0] == "Beauty, Nails, Gifts"
    assert data.catalogue.columns["description"][0].replace(",", "") == "Fine polish"
    assert [row.tolist() for row in data.histories()] == [[0, 1], [0]]
    assert data.interactions.ratings is not None
    assert data.interactions.ratings.tolist() == [4.0, 5.0, 3.0]


def test_items_described_twice_are_told(tmp_path):
    lines = [json.dumps({"asin": asin, "title": f"{asin} {copy}"}) for copy in range(2) for asin in ("B1", "B2")]
    with pytest.warns(DataWarning, match="2 items again"):
        data = load_amazon(reviews(tmp_path), written(tmp_path / "meta.json", lines))
    assert data.catalogue.titles == ("B1 0", "B2 0")


REVIEW = json.dumps(dict(zip(REVIEW_NAMES[2018], ROWS[0], strict=True)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([REVIEW, "", '{"reviewerID": '], "not JSON at line 3"),
        ([REVIEW, "[1, 2]"], r"has \[1, 2\] at line 2; expected one JSON object"),
        ([REVIEW, '{"asin": "B1", "unixReviewTime": 3}'], "no 'reviewerID' or 'user_id' at line 2"),
        ([REVIEW, REVIEW.replace("20", '"soon"')], "'soon' in column 'timestamp' at line 2"),
        ([REVIEW, REVIEW], "repeats user 'U1' with item 'B2' at the same time at line 2"),
        ([REVIEW, REVIEW.replace('"U1"', "[]")], "text or whole numbers as user ids"),
        (["__import__('os').abort()"], "not JSON at line 1"),
        (["{[]: 1}"], "not JSON at line 1"),
        (["[" * 100_000], "nests too deep at line 1|not JSON at line 1"),
        ([f'{{"asin": {"1" * 5000}}}'], "not JSON at line 1"),
        ([""], "holds no rows"),
    ],
)
def test_broken_lines_are_named(tmp_path, lines, message):
    with pytest.raises(DataError, match=message) as caught:
        load_amazon(written(tmp_path / "reviews.json", lines))
    assert "\n" not in str(caught.value)


def test_broken_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_amazon(tmp_path / "absent.json.gz")
    path = reviews(tmp_path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="is damaged"):
        load_amazon(path)
    (tmp_path / "plain.json.gz").write_text(REVIEW, encoding="utf-8")
    with pytest.raises(DataError, match="is damaged after line 0"):
        load_amazon(tmp_path / "plain.json.gz")
    (tmp_path / "latin.json").write_bytes(REVIEW.replace("U1", "é").encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        load_amazon(tmp_path / "latin.json")
    meta = written(tmp_path / "meta.json", ['{"asin": "elsewhere"}'])
    with pytest.raises(DataError, match="describes none of the 2 reviewed items"):
        load_amazon(reviews(tmp_path), meta)


def test_repeated_reviews_can_be_dropped(tmp_path):
    path = written(tmp_path / "reviews.json", [REVIEW, REVIEW])
    assert len(load_amazon(path, duplicates="drop").interactions) == 1
