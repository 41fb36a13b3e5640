"""The page in a real browser, mounted by a real service: lists, sets and refusals, and nobody else is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from agentrec.core.types import Catalogue, Histories
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.app import build_app
from agentrec.serving.service.server import server_of
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.testing.generators import random_codes, tiny_generator

ITEMS, SIZES = 60, (8, 8, 8)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of gradio


def service_app() -> Any:
    mount = pytest.importorskip("agentrec.ui.mount", exc_type=ImportError)
    titles = tuple(f"{'tent' if item % 2 else 'boots'} <b>{item}</b>" for item in range(ITEMS))
    catalogue = Catalogue(tuple(f"i{item}" for item in range(ITEMS)), {"title": titles})
    vocabulary = SIDVocabulary(random_codes(400, SIZES)[:ITEMS], SIZES, catalogue.ids)
    model, tokenizer = tiny_generator(vocabulary)
    form = build_form({"form": "sequence"}, tokenizer, vocabulary.item_token_ids(tokenizer), [], [])
    recommender = GenerativeRecommender(model, tokenizer, vocabulary, form)
    sets = ConstraintSets(recommender.index)
    sets.put("tents", range(1, ITEMS, 2))
    shelf = Shelf(catalogue, vocabulary, form, ("anna",), Histories.from_lists([[1, 2, 3]], [0]))
    return build_app(shelf, lambda: TreeEngine(recommender, sets), ServiceConfig(port=0), mounts=[mount.mount_page])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    said: list[str] = []
    app = service_app()
    server = server_of(app, ServiceConfig(port=0), said.append, log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 180
    while not said:
        assert thread.is_alive()
        assert time.monotonic() < until
        time.sleep(0.02)
    yield said[0]
    began = time.monotonic()
    server.handle_exit(15, None)
    thread.join(60)
    assert not thread.is_alive()
    assert time.monotonic() - began < 25, "the page's streams kept the service from ending"
    assert server.exit_code == 0


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    asked: list[str] = []
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1200, "height": 1000})
    opened.on("request", lambda request: asked.append(request.url))
    opened.on(
        "console",
        lambda message: complaints.append(f"{message.text} {message.location}") if message.type == "error" else None,
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
    opened.goto(f"{url}/ui")
    opened.get_by_role("button", name="Recommend").wait_for(timeout=30_000)
    yield opened
    opened.close()
    own = urlsplit(url).netloc
    assert {urlsplit(one).netloc for one in asked if not one.startswith(("data:", "blob:"))} == {own}
    assert complaints == []


def rows(page: Any) -> list[str]:
    page.locator("#found tbody tr, #found table tr").nth(1).wait_for(timeout=60_000)
    return [row.inner_text() for row in page.locator("#found table tr").all()[1:]]


def test_a_user_gets_a_list(page: Any) -> None:
    page.get_by_label("User id").fill("anna")
    page.get_by_role("button", name="Recommend").click()
    found = rows(page)
    assert len(found) == 10
    assert all("<b>" in row for row in found)  # as text, not as markup
    assert page.locator("#found b").count() == 0
    assert "<a_" in found[0]
    assert "-" in found[0]
    assert "set all, mode direct" in page.locator("#found").inner_text()


def test_a_typed_history_under_a_set(page: Any) -> None:
    page.get_by_label("Find items").fill("tent")
    page.get_by_label("Find items").press("Enter")
    box = page.get_by_role("checkbox", name="tent <b>1</b>", exact=True)
    box.wait_for(timeout=60_000)
    box.check()
    page.get_by_text("tent <b>1</b>").nth(1).wait_for(timeout=60_000)
    choice = page.get_by_label("Constraint set")
    choice.click()
    page.get_by_role("option", name="tents (30)").click()
    page.get_by_role("button", name="Recommend").click()
    found = rows(page)
    assert len(found) == 10
    assert all("tent" in row for row in found)
    assert "set tents" in page.locator("#found").inner_text()


def test_a_refusal_is_shown_in_words(page: Any) -> None:
    page.get_by_label("User id").fill("nobody")
    page.get_by_role("button", name="Recommend").click()
    refusal = page.get_by_text("user 'nobody' is not in the data set")
    refusal.wait_for(timeout=60_000)
    assert refusal.is_visible()
