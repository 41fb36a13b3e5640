"""Reports of hand-made results: what they say, what they escape, what they leave out, and that they load nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.ranking import evaluate
from agentrec.evaluation.report import escape_markdown, to_html, to_latex, to_markdown, view_of, write_reports
from agentrec.evaluation.task import Metric, System, Task
from agentrec.models.popularity import Popularity
from agentrec.testing.worlds import tiny_world

EVIL = "<script>alert('1')</script> | 50%_x & \"q\" #1 {y} $z$"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every tag that opens must close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

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


def made(
    names=("good", "bad"),
    *,
    better="higher",
    seeds=1,
    units=40,
    costs=None,
    samples=True,
    slices=("size",),
    undefined=(),
):
    """A result whose systems differ by one tenth each, in the order of the names, on any metric."""
    table = pd.DataFrame(
        {"unit": [f"u{row}" for row in range(units)], "size": np.where(np.arange(units) % 4, "small", "large")}
    )
    measured = {}
    for place, name in enumerate(names):
        measured[name] = {}
        for seed in range(seeds):
            rng = np.random.default_rng([place, seed])
            scores = 1 - 0.1 * place + 0.05 * rng.normal(size=units)
            answer = {
                "about": {"history": ["one", "two"], "target": "three"},
                "answer": ["three" if place == 0 else "x"],
            }
            measured[name][seed] = Measured(
                pd.DataFrame({"unit": table["unit"], "score": np.nan if name in undefined else scores}),
                totals={"spread": 0.5 + place},
                costs={} if costs is None else {"seconds": costs[place]},
                samples={"u0": answer, "u1": answer} if samples else {},
                problems=(EVIL,) if name == EVIL else (),
            )
    metrics = (Metric("score", better, headline=True), Metric("spread", "neither"))
    systems = {name: System(lambda seed: None, {}) for name in names}
    task = Task("Which is best?", {"name": "made"}, table, metrics, systems, lambda *_, **__: None, slices=slices)
    return merge("made", task, measured, resampling=Resampling(200))


def as_text(page):
    return " ".join(" ".join(page.text).split())


def test_a_real_evaluation_is_shown_with_titles_and_intervals():
    world = tiny_world()
    result = evaluate({"popularity": Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}, world)
    page = to_html(result)
    text = as_text(Page(page))
    assert "On ndcg@10, oracle is clearly ahead of popularity." in text
    assert "cycle 0 item" in text
    assert view_of(result).names == ["oracle", "popularity"]
    estimate = result.systems["popularity"]["ndcg@10"]
    shown = f"{estimate.mean:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
    assert shown in to_markdown(result)


@pytest.mark.parametrize(("better", "first"), [("higher", "good"), ("lower", "bad")])
def test_the_best_is_marked_in_the_direction_of_the_metric(better, first):
    result = made(better=better)
    view = view_of(result)
    assert view.names[0] == first
    assert [view.cells[name]["score"].best for name in view.names] == [True, False]
    assert f"**{result[first]['score']:.4f}**" in to_markdown(result)
    assert f"\\textbf{{{result[first]['score']:.4f}}}" in to_latex(result)
    assert f"{first} is ahead" in as_text(Page(to_html(result)))


def test_names_and_problems_are_escaped_everywhere():
    result = made((EVIL, "other"))
    html, markdown, latex = to_html(result), to_markdown(result), to_latex(result)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert EVIL.split(" ")[0] in as_text(Page(html))
    assert "<script>" not in markdown
    assert (
        len({line.count(" | ") for line in markdown.splitlines() if line.startswith("| ") and "score" not in line}) >= 1
    )
    body = latex.replace("\\\\", "")
    assert not re.search(r"(?<!\\)[%#$_]", body)
    assert not re.search(r"(?<!\\)&(?! )", body)
    assert body.count("{") - body.count("\\{") == body.count("}") - body.count("\\}")
    assert result.problems
    assert result.problems[0] in " ".join(Page(html).text).replace("\n", " ")


def test_nothing_is_loaded_from_outside_and_only_our_script_may_run():
    page = to_html(made(costs=[1.0, 2.0]))
    found = Page(page)
    assert not {"link", "img", "iframe", "object"} & set(found.tags)
    assert [value for name, value in found.attributes if name in ("src", "href") and not value.startswith("#")] == []
    policy = next(value for name, value in found.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_quality_is_plotted_against_cost_with_names():
    page = to_html(made(("good", "bad", "worst"), costs=[300.0, 2.0, 400.0]))
    text = as_text(Page(page))
    assert "seconds" in text
    assert "dashed line is the frontier" in text
    assert 'class="frontier"' in page
    assert "dashed line is the frontier" not in as_text(Page(to_html(made())))


def test_seeds_slices_and_power_are_told():
    result = made(seeds=3)
    text = as_text(Page(to_html(result)))
    assert "3 seeds" in text
    assert "large" in text
    assert "10 units" in text
    assert "find it in 4 of 5 samples" in text
    assert view_of(result).cells["good"]["score"].deviation
    assert "3 seeds" in to_markdown(result)


@pytest.mark.parametrize(
    "result",
    [
        made(("alone",)),
        made(samples=False, slices=()),
        made(tuple(f"system {place}" for place in range(12)), costs=list(range(1, 13))),
        made(undefined=("bad",)),
        made(undefined=("good", "bad")),
        replace(made(), comparisons=()),
    ],
    ids=["one system", "bare", "twelve", "one undefined", "all undefined", "no comparisons"],
)
def test_any_result_has_reports_without_nan(result, tmp_path):
    write_reports(result, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.md", "report.tex"]
    Page((tmp_path / "report.html").read_text())
    for file in tmp_path.iterdir():
        text = file.read_text() if file.suffix != ".html" else as_text(Page(file.read_text()))
        assert not re.search(r"\b(nan|NaN|None)\b", text), file


def test_the_same_result_gives_the_same_reports():
    first, second = made(costs=[1.0, 2.0]), made(costs=[1.0, 2.0])
    second = replace(second, created_at=first.created_at)
    assert [write(first) == write(second) for write in (to_html, to_markdown, to_latex)] == [True] * 3


def test_markdown_is_escaped_on_one_line():
    assert escape_markdown("a|b\n*c* <d>") == "a\\|b \\*c\\* &lt;d&gt;"
