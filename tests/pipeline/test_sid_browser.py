"""The pages of semantic IDs in a real browser: they fit a phone, tiles open their codes, and nothing goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrec.core.types import Catalogue
from agentrec.pipeline.sid_compare.compare import compare_sids
from agentrec.pipeline.sid_compare.entries import Entry
from agentrec.pipeline.sid_report.report import SIDReport, item_categories
from agentrec.semantic_ids.health import health
from agentrec.semantic_ids.vocabulary import SIDVocabulary

KINDS = ("tape", "drill", "lamp", "nail", "glue", "hose")
SIZES = [(390, 844), (1280, 800)]


@pytest.fixture(params=SIZES, ids=["phone", "desktop"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    complaints: list[str] = []
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark")
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()
    assert complaints == []


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    titles = [f"{kind} number{item}" for kind in KINDS for item in range(10)]
    paths = [f"Tools > {kind.title()}s" for kind in KINDS for item in range(10)]
    return Catalogue(tuple(map(str, range(60))), {"title": tuple(titles), "categories": tuple(paths)})


def vocabulary() -> SIDVocabulary:
    return SIDVocabulary(np.array([(kind, item % 2, item) for kind in range(6) for item in range(10)]))


def test_a_tile_opens_its_code(page: Any, catalogue: Catalogue, tmp_path: Path) -> None:
    ids = vocabulary()
    categories = item_categories(catalogue)
    report = SIDReport(
        ids, {**health(None, ids.codes, categories=categories), "resolution": None}, catalogue, categories
    )
    page.goto(report.write(tmp_path).as_uri())
    narrow = page.viewport_size["width"] < 600
    assert page.locator(".on-wide").is_visible() != narrow
    page.locator(f"{'.on-narrow' if narrow else '.on-wide'} a.node[href='#code-2']").click()
    panel = page.locator("#panel")
    assert "<a_2>" in panel.inner_text()
    assert "lamp number" in panel.inner_text()
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    page.fill("#words", "glue")
    assert page.locator("#list > details:visible").count() == 1


def test_a_comparison_fits(page: Any, catalogue: Catalogue, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    entries = [Entry(f"some_published_index_{number}", "imported", vocabulary()) for number in range(3)]
    entries.append(Entry("broken", "imported", error="a/very/long/path/without/any/space" * 9))
    found = compare_sids(entries, vectors, item_categories(catalogue))
    page.goto(found.write(tmp_path).as_uri())
    assert page.locator("svg").count() == 5
    assert page.locator("#details").is_visible()
