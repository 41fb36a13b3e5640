"""The report in a real browser: it fits a phone, its filter works, and nothing is refused or goes wrong."""

import pytest

from agentrec.evaluation.ranking import evaluate
from agentrec.evaluation.report import to_html
from agentrec.models.popularity import Popularity
from agentrec.testing.worlds import tiny_world


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    world = tiny_world()
    models = {"popularity": Popularity.fit(world.train, world.num_items), "oracle": world.oracle()}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(to_html(evaluate(models, world)), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, report, request):
    complaints = []
    opened = browser.new_page(**getattr(request, "param", {}))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert complaints == []


@pytest.mark.parametrize(
    "page",
    [{"viewport": {"width": 390, "height": 844}}, {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"}],
    indirect=True,
)
def test_the_page_fits_and_names_stay_whole(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    names = page.locator("tbody th[scope=row]").all()
    assert names
    assert min(name.bounding_box()["width"] for name in names if name.is_visible()) > 60


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_dark_is_dark(page):
    background, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(int(part) for part in colour[4:-1].split(",")) for colour in (background, ink)]
    assert brightness[0] < 120
    assert brightness[1] > 600


def visible_users(page):
    return page.locator("details[data-scores]:visible").count()


def test_users_are_filtered(page):
    page.locator("#samples > summary").click()
    total = visible_users(page)
    assert total == 60
    page.locator("#first").select_option(label="oracle")
    page.locator("#second").select_option(label="popularity")
    assert 0 < visible_users(page) < total
    page.locator("form input").first.fill("no such thing")
    assert visible_users(page) == 0


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_everything_is_there_without_scripts(page):
    page.locator("#samples > summary").click()
    assert visible_users(page) == 60
