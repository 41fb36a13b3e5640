"""Engines that die, deadlines, full queues and shutdown: everybody gets an answer, and nothing hangs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from agentrec.serving.engines.protocol import BeamRequest, BeamResult, EngineDeadError
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.app import build_app
from agentrec.serving.service.server import run
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.service.supervisor import Supervisor

CRASHES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # on purpose
ASK = {"history": ["i1", "i2"], "n": 5}


class Breakable(GenerativeRecommender):
    """A generator whose searches can be made slow, or end the thread that runs them as a crash would."""

    def __init__(self, whole: GenerativeRecommender) -> None:
        super().__init__(whole.model, whole.tokenizer, whole.vocabulary, whole.form)
        self.delay = 0.0
        self.crash = False

    def search(self, *args: Any, **more: Any) -> Any:
        time.sleep(self.delay)
        if self.crash:
            self.crash = False
            raise SystemExit("the engine's thread ends here")
        return super().search(*args, **more)


@pytest.fixture
def breakable(recommender: GenerativeRecommender) -> Breakable:
    return Breakable(recommender)


def post(url: str) -> httpx.Response:
    return httpx.post(f"{url}/v1/recommendations", json=ASK, timeout=30, trust_env=False)


def wait_for(true: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@CRASHES
def test_a_dead_engine_is_replaced(breakable: Breakable, launch: Callable[..., Any]) -> None:
    sets_made = TreeEngine(breakable).sets
    running = launch(build=lambda: TreeEngine(breakable, sets_made))
    supervisor = running.app.state.service.supervisor
    first = supervisor.engine
    assert post(running.url).status_code == 200
    breakable.delay, breakable.crash = 0.3, True
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, [running.url] * 8))
    lost = [answer for answer in answers if answer.status_code != 200]
    assert lost
    for answer in lost:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "engine" in answer.json()["error"]
    breakable.delay = 0.0
    wait_for(lambda: supervisor.state == "ready")
    assert supervisor.engine is not first
    assert post(running.url).status_code == 200
    assert "agentrec_restarts 1.0" in httpx.get(f"{running.url}/metrics", trust_env=False).text


@CRASHES
def test_an_engine_that_dies_while_nobody_asks_is_noticed(breakable: Breakable, launch: Callable[..., Any]) -> None:
    engines = []

    def build() -> TreeEngine:
        engines.append(TreeEngine(breakable))
        return engines[-1]

    running = launch(build=build)
    thread = engines[0]._thread
    assert thread is not None
    breakable.crash = True
    with pytest.raises(EngineDeadError):  # not through the service, which so learns nothing
        ask_directly(engines[0])
    thread.join(60)
    wait_for(lambda: running.app.state.service.supervisor.restarted == 1)
    assert len(engines) == 2
    assert post(running.url).status_code == 200


def ask_directly(engine: TreeEngine) -> BeamResult:
    async def ask() -> BeamResult:
        return await asyncio.wait_for(engine.beam(BeamRequest((1,), 1, 2)), 10)

    return asyncio.run(ask())


@CRASHES
def test_an_engine_that_cannot_be_replaced_ends_the_service(breakable: Breakable, launch: Callable[..., Any]) -> None:
    built: list[TreeEngine] = []

    def build() -> TreeEngine:
        if built:
            raise EngineDeadError("the graphics card is gone; expected one, so put it back")
        built.append(TreeEngine(breakable))
        return built[0]

    running = launch(ServiceConfig(port=0, restarts=1), build=build)
    breakable.crash = True
    assert post(running.url).status_code == 503
    running.thread.join(60)
    assert not running.thread.is_alive()
    assert running.server.exit_code == 1
    assert running.app.state.service.supervisor.state == "closed"
    with pytest.raises(httpx.ConnectError):
        post(running.url)


def test_a_late_answer_is_a_504_and_the_next_one_comes(breakable: Breakable, launch: Callable[..., Any]) -> None:
    running = launch(ServiceConfig(port=0, deadline=0.4), build=lambda: TreeEngine(breakable))
    breakable.delay = 1.0
    late = post(running.url)
    assert late.status_code == 504
    assert "within 0.4 s" in late.json()["error"]
    breakable.delay = 0.0
    wait_for(lambda: post(running.url).status_code == 200)
    assert running.app.state.service.gate.inside == 0


def test_more_than_fit_are_told_to_come_again(breakable: Breakable, launch: Callable[..., Any]) -> None:
    running = launch(ServiceConfig(port=0, max_requests=3), build=lambda: TreeEngine(breakable))
    breakable.delay = 0.3
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, [running.url] * 12))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 3
    for answer in answers:
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "ask again" in answer.json()["error"]
    assert running.app.state.service.gate.inside == 0


def test_shutdown_answers_what_runs(breakable: Breakable, launch: Callable[..., Any]) -> None:
    running = launch(build=lambda: TreeEngine(breakable))
    breakable.delay = 0.5
    answers: list[int] = []
    asking = [threading.Thread(target=lambda: answers.append(post(running.url).status_code)) for _ in range(6)]
    for thread in asking:
        thread.start()
    wait_for(lambda: running.app.state.service.gate.inside == 6)
    running.server.handle_exit(15, None)
    for thread in asking:
        thread.join(60)
    running.thread.join(60)
    assert answers == [200] * 6
    assert running.server.exit_code == 0
    with pytest.raises(httpx.ConnectError):
        post(running.url)


@pytest.mark.parametrize("asks", [True, False])
def test_shutdown_hears_who_has_just_connected(
    asks: bool, launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentrec.serving.service.server.ARRIVAL", 20.0 if asks else 0.1)
    running = launch()
    address = urlsplit(running.url)
    client = HTTPConnection(str(address.hostname), address.port, timeout=60)
    client.connect()
    wait_for(lambda: bool(running.server.server_state.connections))
    listener = running.server.servers[0]
    running.server.handle_exit(15, None)
    wait_for(lambda: not listener.is_serving())
    if asks:
        client.request("POST", "/v1/recommendations", json.dumps(ASK), {"content-type": "application/json"})
        assert client.getresponse().status == 200
    running.thread.join(60)
    assert not running.thread.is_alive()
    assert running.server.exit_code == 0
    client.close()


def test_an_engine_that_does_not_answer_dies_for_all_at_once(breakable: Breakable) -> None:
    async def scenario() -> None:
        supervisor = Supervisor(lambda: TreeEngine(breakable), pause=0.01)
        with pytest.raises(EngineDeadError, match="is being started"):
            await supervisor.ask(lambda: asyncio.sleep(0))
        await supervisor.start()
        waiting = [asyncio.ensure_future(supervisor.ask(lambda: asyncio.sleep(60))) for _ in range(3)]
        await asyncio.sleep(0.01)
        supervisor.report_death()
        for task in waiting:
            with pytest.raises(EngineDeadError, match="started again"):
                await asyncio.wait_for(task, 1)
        while supervisor.state != "ready":
            await asyncio.sleep(0.01)
        assert supervisor.restarted == 1
        await supervisor.close()
        with pytest.raises(EngineDeadError, match="closed"):
            await supervisor.ask(lambda: asyncio.sleep(0))

    asyncio.run(scenario())


def test_a_signal_while_the_engine_starts_ends_the_service(
    recommender: GenerativeRecommender, shelf: Shelf, capfd: pytest.CaptureFixture[str]
) -> None:
    class Endless(TreeEngine):
        """Never ready, as a server that is still loading."""

        async def start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)

    config = ServiceConfig(port=0)
    began = time.monotonic()
    assert run(build_app(shelf, lambda: Endless(recommender), config), config) == 0
    assert time.monotonic() - began < 40
    assert "Traceback" not in capfd.readouterr().err


def test_an_engine_that_does_not_start_is_said_in_its_words(recommender: GenerativeRecommender, shelf: Shelf) -> None:
    class Missing(TreeEngine):
        """Has nothing to run on."""

        async def start(self) -> None:
            raise EngineDeadError("the graphics card is gone; expected one, so put it back")

    config = ServiceConfig(port=0)
    with pytest.raises(EngineDeadError, match="put it back"):
        run(build_app(shelf, lambda: Missing(recommender), config), config, log_level="error")
