import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from agentrec.core.types import Catalogue
from agentrec.evaluation.report import escape_markdown, to_html, to_markdown, view_of
from agentrec.evaluation.run import evaluate
from agentrec.models.popularity import Popularity
from agentrec.testing.worlds import tiny_world

EVIL = "<script>alert('1')</script> | $x_i$ & \"q\""
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def result():
    world = tiny_world()
    titles = tuple(f"{EVIL} {item}" for item in range(world.num_items))
    models = {EVIL: Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}
    return evaluate(models, world, catalogue=Catalogue(world.catalogue.ids, {"title": titles}))


def test_names_and_titles_are_text_in_the_page(result):
    html = to_html(result)
    page = Page(html)
    assert "script" not in page.tags
    assert page.open == []
    assert any(text.strip() == EVIL for text in page.text)
    assert f"{EVIL} 0" in " ".join(page.text)


def test_the_page_loads_nothing_and_suits_a_phone(result):
    html = to_html(result)
    page = Page(html)
    links = [value for name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert links == []
    assert not re.search(r"url\((?!#)|@import", html)
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme: dark" in html
    assert html.count('<div class="wide"><table>') == html.count("<table>")
    assert page.tags.count("svg") == 1


def test_the_page_is_deterministic(result):
    assert to_html(result) == to_html(result)
    ids = re.findall(r'\sid="([^"]+)"', to_html(result))
    assert len(ids) == len(set(ids))


def test_the_plot_has_a_dot_for_every_recommender_and_the_colours_of_the_page(result):
    svg = re.search(r"<svg.*</svg>", to_html(result), re.DOTALL).group()
    assert "currentColor" in svg
    assert "var(--accent)" in svg
    assert svg.count("&lt;script&gt;") == 2  # one label per panel
    assert svg.count(">oracle<") == 2
    assert "#0102" not in svg


def test_the_best_stands_first_and_in_bold(result):
    text = to_markdown(result)
    assert text.index("| oracle | **1.0000** (1.0000 to 1.0000)") < text.index("alert")
    view = view_of(result)
    assert view.names == ["oracle", EVIL]
    assert view.headline == ["ndcg@10", "recall@10", "mrr@10", "coverage@10", "gini@10"]
    assert view.metrics[:4] == ["ndcg@1", "ndcg@5", "ndcg@10", "ndcg@20"]
    assert view.cells["oracle"]["gini@10"].best  # lower is better
    assert "oracle is ahead" in text
    assert "60 users, all 24 items" in text


def test_markdown_tables_survive_titles(result):
    text = to_markdown(result)
    assert "<script>" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    assert escape_markdown("a\nb|c*") == r"a b\|c\*"


def test_without_a_catalogue_and_alone_the_sections_are_left_out():
    world = tiny_world()
    result = evaluate(world.oracle(), world)
    for text in (to_markdown(result), to_html(result)):
        assert "Sample users" not in text
        assert "Pairwise" not in text
        assert "CycleOracle" in text


def test_no_difference_is_called_so(result):
    row = replace(result.comparisons[0], holm=0.2)
    assert "no clear difference" in to_markdown(replace(result, comparisons=(row,)))


def test_other_list_lengths_have_their_own_headline():
    world = tiny_world()
    result = evaluate({"a": world.oracle(), "漢字": world.oracle()}, world, ks=(1, 3))
    assert view_of(result).headline == ["ndcg@3", "recall@3", "mrr@3", "coverage@3", "gini@3"]
    assert "漢字" in to_html(result)
