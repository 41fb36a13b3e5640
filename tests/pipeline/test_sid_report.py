"""The report of semantic IDs: names of codes, tree maps, plots, the page."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, DataWarning
from agentrec.core.files import read_json
from agentrec.core.types import Catalogue
from agentrec.pipeline.sid_report.categories import categories_of, category_paths, split_path
from agentrec.pipeline.sid_report.maps import NARROW, SHOWN, WIDE, tree_map, wrap
from agentrec.pipeline.sid_report.naming import Namer
from agentrec.pipeline.sid_report.plots import Bar, group_sizes, shares, usage
from agentrec.pipeline.sid_report.report import SIDReport, describe
from agentrec.pipeline.sid_report.tree import prefix_tree
from agentrec.pipeline.sid_report.treemap import Box, squarify
from agentrec.pipeline.sid_report.words import finding, prefix_measures, remarks
from agentrec.semantic_ids.health import health
from agentrec.semantic_ids.vocabulary import SIDVocabulary

KINDS = ("tape", "drill", "lamp", "nail", "glue", "hose")
NASTY = '<script>alert("x")</script> & "quoted" tape <a_1>'


class Items:
    """What a report needs of a data set: six kinds of ten items, the kind in title and category."""

    fingerprint = "abc"

    def __init__(self) -> None:
        titles = [f"{kind} number{item} model {item}" for kind in KINDS for item in range(10)]
        titles[0] = NASTY
        paths = [f"Tools > {kind.title()}s > Size {item % 2}" for kind in KINDS for item in range(10)]
        ids = tuple(f"i{item}" for item in range(60))
        self.catalogue = Catalogue(ids, {"title": tuple(titles), "categories": tuple(paths)})

    def require_texts(self, columns: Any = None) -> list[str]:
        return self.catalogue.texts(columns)


def planted() -> SIDVocabulary:
    """First code the kind, second the size, third a number, fourth nothing but a number."""
    rows = [(kind, item % 2, 7 if item < 6 else item, item) for kind in range(6) for item in range(10)]
    ids = tuple(f"i{item}" for item in range(60))
    return SIDVocabulary(np.array(rows), item_ids=ids).stamp({"num_levels": 3, "index": "some.json"})


@pytest.fixture(scope="module")
def report() -> SIDReport:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # few texts have few dimensions
        return describe(planted(), Items())


def test_paths_are_split_as_data_sets_write_them() -> None:
    assert split_path("a|b, c|d") == ("a", "b, c", "d")
    assert split_path("a > b") == ("a", "b")
    assert split_path("Top,Tapes, Adhesives & Sealants,Duct Tape") == (
        "Top",
        "Tapes, Adhesives & Sealants",
        "Duct Tape",
    )
    assert split_path("one") == ("one",)
    assert split_path(" ") == ()


def test_the_depth_of_categories_is_where_they_tell_items_apart() -> None:
    paths = [("All", "Lamps", "Desk"), ("All", "Lamps", "Floor"), ("All", "Nails", "Long"), ("All", "Glue"), ()]
    assert categories_of(paths) == ["Lamps", "Lamps", "Nails", "Glue", ""]
    assert categories_of([("Lamps", "Other"), ("Nails", "Other"), ("Glue",)]) == ["Lamps", "Nails", "Glue"]
    assert categories_of([("A", "Same"), ("A", "Other"), ("A", "Other")]) == ["Same", "Other", "Other"]
    twins = categories_of([("A", "B", "Other"), ("A", "C", "Other"), ("A", "B", "Other"), ("A", "B", "One")])
    assert twins == ["A > B > Other", "A > C > Other", "A > B > Other", "One"]
    assert categories_of([(), ()]) == ["", ""]
    assert category_paths(Catalogue(("a",), {"title": ("x",)})) is None


def test_a_group_is_named_by_what_its_items_share_and_others_do_not() -> None:
    namer = Namer(Items().catalogue)
    tapes = namer.name(np.arange(10), 3)
    assert tapes.category == "Tapes"  # no more than half of them are of one size
    assert namer.name(np.arange(0, 10, 2), 3).category == "Size 0"
    lamps = namer.name(np.arange(20, 30), 3)
    assert lamps.words == ("lamp",)
    assert len(lamps.examples) == 3
    everything = namer.name(np.arange(60), 1)
    assert everything.words == ()
    assert everything.category == "Tools"
    mixed = namer.name(np.array([3, 14, 25, 36, 47, 58]), 2)
    assert (mixed.category, mixed.words) == ("", ())


def test_without_titles_and_categories_there_are_ids() -> None:
    named = Namer(Catalogue(("lamp-one", "lamp-two"), {})).name(np.array([0, 1]), 5)
    assert (named.label, named.detail, named.examples) == ("", "", ("lamp-one", "lamp-two"))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=60),
    st.floats(20, 1000),
    st.floats(20, 1000),
)
def test_a_tree_map_fills_its_box_in_proportion(sizes: list[int], width: float, height: float) -> None:
    ordered = sorted(sizes, reverse=True)
    boxes = squarify(ordered, Box(3, 5, width, height))
    unit = width * height / sum(ordered)
    assert [box.width * box.height for box in boxes] == pytest.approx([size * unit for size in ordered], rel=1e-6)
    slack = 1e-6 * (width + height)
    for box in boxes:
        assert box.x >= 3 - slack
        assert box.y >= 5 - slack
        assert box.x + box.width <= 3 + width + slack
        assert box.y + box.height <= 5 + height + slack
    for place, one in enumerate(boxes):
        for other in boxes[:place]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert across <= slack or down <= slack


def test_even_tiles_are_near_squares() -> None:
    assert squarify([], Box(0, 0, 1, 1)) == []
    shapes = [max(box.width / box.height, box.height / box.width) for box in squarify([1] * 36, Box(0, 0, 900, 400))]
    assert max(shapes) < 2


def test_the_tree_counts_items_by_first_and_second_code(report: SIDReport) -> None:
    tree = prefix_tree(report.codes, Namer(report.catalogue), report.categories)
    assert [node.size for node in tree] == [10] * 6
    assert [node.kind for node in tree] == [f"{kind.title()}s" for kind in KINDS]
    assert [(child.codes, child.size) for child in tree[2].children] == [((2, 0), 5), ((2, 1), 5)]
    assert tree[2].children[1].token == "<a_2><b_1>"
    assert tree[2].children[1].name.category == "Size 1"
    assert tree[2].children[1].children == ()


def test_maps_have_a_tile_per_code_and_stay_readable_with_many(report: SIDReport) -> None:
    tree = prefix_tree(report.codes, Namer(report.catalogue), report.categories)
    wide, narrow = (tree_map(tree, {"Tapes": 1}, canvas) for canvas in (WIDE, NARROW))
    assert wide.count('class="node"') == narrow.count('class="node"') == 6
    assert wide.count('class="piece"') == 12
    assert 'class="tile c1"' in narrow
    assert "<script" not in wide
    many = np.stack([np.arange(SHOWN + 50), np.zeros(SHOWN + 50, np.int64)], axis=1)
    drawn = tree_map(prefix_tree(many, Namer(Catalogue(tuple(map(str, range(len(many))))))), {}, NARROW)
    assert drawn.count('class="node"') == SHOWN
    assert "50 smaller first codes: 50 items" in drawn


def test_lines_fit_their_width() -> None:
    assert wrap("duct tape for everybody", 80, 10) == ["duct tape for", "everybody"]
    assert wrap("incomprehensibilities", 60, 10)[0].endswith("…")


def test_plots_say_what_they_show() -> None:
    drawn = usage(np.array([5, 0, 3, 0]), 2)
    assert "2 of 4 codes are used, at most by 5 items; even use would be 2.0" in drawn
    assert usage(np.arange(5000), 1).count("V") < 300  # many codes are drawn by means
    drawn = group_sizes({1: 10, 2: 3, 7: 2, 40: 1})
    assert "10 items in groups of 1; 6 items in groups of 2; 0 items in groups of 3" in drawn
    assert "14 items in groups of 5–8" in drawn
    assert "40 items in groups of 33–64" in drawn
    drawn = shares([Bar("first code", 0.5, 0.1, "50.0%"), Bar("<b>", -0.1, None, "-0.10")], "neighbours")
    assert "first code 50.0%, 10.0% by chance" in drawn
    assert "<b>" not in drawn


def test_words_of_a_report() -> None:
    codes = np.stack([np.zeros(40, np.int64), np.arange(40) % 10], axis=1)
    found = health(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), codes)
    said = remarks(found)
    assert said[0] == "Level 1 has the same code for every item: it says nothing and costs a token."
    assert any("75.0% of the items share all codes" in text for text in said)
    assert any("the first code says little" in text for text in said)
    assert finding(found).startswith("40 items with 2 codes each; 75.0% share all of them with an earlier item.")
    assert [row.name for row in prefix_measures(found)] == ["neighbours"]
    crowded = np.concatenate([np.zeros(900, np.int64), np.arange(100)])[:, None]
    assert "is used unevenly: as diverse as 2 even codes, of 100 in use" in remarks(health(None, crowded))[0]
    few = health(None, np.arange(4)[:, None], [np.zeros((16, 2), np.float32)])
    assert remarks(few) == ["Level 1 uses 4 of its 16 codes."]


def test_planted_categories_are_found(report: SIDReport) -> None:
    kinds = report.health["categories"]
    assert (kinds["num_items"], kinds["num_categories"]) == (60, 6)
    assert kinds["prefixes"][0]["majority"] == 1
    assert kinds["prefixes"][0]["mutual_information"] == pytest.approx(1)
    assert report.codes.shape == (60, 3)


def test_the_files_are_whole_and_the_page_stands_alone(report: SIDReport, tmp_path: Path) -> None:
    page = report.write(tmp_path / "report")
    assert sorted(file.name for file in page.parent.iterdir()) == ["health.json", "report.html"]
    saved = read_json(page.parent / "health.json")
    assert saved["categories"]["num_categories"] == 6
    assert saved["items_per_first_code"] == {"min": 10, "median": 10, "max": 10}
    text = page.read_text(encoding="utf-8")
    assert NASTY not in text
    assert "&lt;script&gt;alert(" in text
    assert len(re.findall(r"<script", text)) == 1
    outside = re.findall(r"(?:src|href)=[\"'](?!#)[^\"']*", text)
    assert outside == []
    assert "url(" not in text
    assert "@import" not in text
    for slug in re.findall(r'href="#(code-[0-9-]+)"', text):
        assert f'id="{slug}"' in text
    assert "lamp" in text
    assert page.read_bytes() == report.write(tmp_path / "again").read_bytes()


def test_without_data_the_page_shows_ids(tmp_path: Path) -> None:
    bare = describe(planted())
    assert bare.health["neighbours"] is None
    text = bare.write(tmp_path).read_text(encoding="utf-8")
    assert "<li>i1</li>" in text
    assert "What items with the same codes share" not in text
    with pytest.raises(ArtefactError, match="another catalogue"):
        describe(SIDVocabulary(np.arange(3)[:, None]), Items())
