"""The inventory tab: a game and a shop's orders, by its functions and in a real browser."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="gradio is not installed; expected the extras ui, agents and serve")
pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extras ui, agents and serve")
pytest.importorskip("uvicorn", reason="uvicorn is not installed; expected the extras ui, agents and serve")

from agentrec.core.lines import read_lines
from agentrec.ui.tabs import inventory

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of gradio

SHOP = "week,sku,demand,profit,holding_cost,on_hand\n1,tea <b>,20,4,1,30\n2,tea <b>,25,4,1,5\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shop.csv").write_text(SHOP)


def test_a_game_is_played_to_its_end_and_logged():
    game, shown = inventory.begin("p1", "or", 3, 0)
    assert "or advises" in shown
    _, refused = inventory.place(game, -4)
    assert "expected 0 to" in refused
    for _ in range(3):
        game, shown = inventory.place(game, 50)
    assert "The game is over" in shown
    assert "score" in shown
    assert len(read_lines(inventory.LOG)) == 3
    assert shown.endswith(inventory.place(game, 50)[1])
    assert "Start a game" in inventory.place(None, 1)[1]
    assert "advises" not in inventory.begin("p1", "none", 3, 0)[1]


def test_a_shops_orders_wait_for_a_person():
    folder, shown = inventory.proposed("shop.csv", None, None)
    assert "Orders proposed" in shown
    assert "<b>" not in shown
    assert "Capped base stock" in inventory.answered(folder, "explain")
    assert "cannot be read" in inventory.answered(folder, "what")
    assert "Orders placed" in inventory.answered(folder, "tea <b>=7")
    assert read_lines(Path(folder) / "decisions.jsonl")[0]["order"] == 7
    assert "Orders placed" in inventory.answered(folder, "accept")
    Path("bad.csv").write_text("week,demand\n1,-5\n2,3\n")
    assert "&#x27;-5&#x27;" in inventory.proposed("bad.csv", 1.0, 1.0)[1]
    assert "Choose a file" in inventory.proposed(None, None, None)[1]
    assert "Ask for orders" in inventory.answered("", "accept")


@pytest.fixture
def url():
    import uvicorn

    from agentrec.ui.mount import page_app

    options = {"port": 0, "log_level": "critical", "lifespan": "on", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(page_app("http://127.0.0.1:9"), host="127.0.0.1", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 180
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/ui"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


def test_in_a_browser_a_person_plays_and_answers(url, browser):
    page = browser.new_page(viewport={"width": 1200, "height": 1400})
    page.set_default_timeout(60_000)
    page.goto(url)
    page.get_by_role("tab", name="Inventory").click()
    page.get_by_role("radio", name="adaptive").check()
    page.get_by_role("button", name="Start the game").click()
    page.get_by_text("adaptive advises").wait_for()
    page.get_by_label("Order", exact=True).fill("60")
    page.get_by_role("button", name="Place the order").click()
    page.get_by_text("Last period:").wait_for()
    page.get_by_text("Next orders for a shop").click()
    page.locator("input[type=file]").set_input_files("shop.csv")
    page.get_by_text("shop.csv").first.wait_for()
    page.get_by_role("button", name="Propose orders").click()
    page.locator("#orders").get_by_text("Orders proposed").wait_for()
    assert page.locator("#orders b").count() == 0
    page.get_by_label("Your answer").fill("7")
    page.get_by_role("button", name="Answer").click()
    page.locator("#orders").get_by_text("Orders placed").wait_for()
    assert page.locator("#orders td.score").inner_text() == "7"
    page.close()
    lines = read_lines(inventory.LOG)
    assert [(line["period"], line["order"], line["advice"]) for line in lines] == [(0, 60, "adaptive")]
