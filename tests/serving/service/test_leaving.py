"""Clients that go away: what was begun for them is given up, their places are free, and the figures count them."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agentrec.serving.engines.tree import TreeConfig, TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf

ASK = {"history": ["i1", "i2"], "n": 5}
ROUTE, CHAT = "/v1/recommendations", "/v1/chat/completions"


class Held(GenerativeRecommender):
    """A generator whose searches wait until they are let through."""

    def __init__(self, whole: GenerativeRecommender) -> None:
        super().__init__(whole.model, whole.tokenizer, whole.vocabulary, whole.form)
        self.searched: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def search(self, prompts: Any, *args: Any, **more: Any) -> Any:
        self.searched.append(len(prompts))
        assert self.go_on.wait(60)
        return super().search(prompts, *args, **more)


def wait_for(true: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def call(url: str, path: str, body: Any, *, cut: int = 0) -> socket.socket:
    """Send a request, or all but the end of its body, and read no answer."""
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    caller = socket.create_connection((host, int(port)), timeout=30)
    caller.sendall(head.encode() + b"\r\n\r\n" + content[: len(content) - cut])
    return caller


def figure(url: str, name: str, **labels: str) -> float:
    """A number of ``/metrics``, 0 where it is not there."""
    text = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text
    for line in text.splitlines():
        if line.startswith(name) and all(f'{label}="{value}"' in line for label, value in labels.items()):
            return float(re.split(r"[ }]+", line)[-1])
    return 0.0


def post(url: str) -> int:
    return httpx.post(f"{url}{ROUTE}", json=ASK, timeout=60, trust_env=False).status_code


def test_a_request_that_runs_and_one_that_waits_are_given_up(
    recommender: GenerativeRecommender, launch: Callable[..., Any]
) -> None:
    model = Held(recommender)
    engine = TreeEngine(model, config=TreeConfig(max_waiting=1))
    running = launch(build=lambda: engine)
    gate, url = running.app.state.service.gate, running.url
    model.searched.clear()
    model.go_on.clear()
    with call(url, ROUTE, ASK):
        wait_for(lambda: len(model.searched) == 1)
        with call(url, ROUTE, ASK):
            wait_for(lambda: engine.stats()["waiting"] == 1)
            assert post(url) == 429  # the engine's queue is full
        wait_for(lambda: gate.inside == 1)
        assert engine.stats()["waiting"] == 0  # though the engine is busy all the while
        with call(url, ROUTE, ASK):
            wait_for(lambda: engine.stats()["waiting"] == 1)
    wait_for(lambda: gate.inside == 0)
    assert engine.stats()["cancelled"] == 2
    assert not model.go_on.is_set()
    model.go_on.set()
    assert post(url) == 200
    assert model.searched == [1, 1]  # nothing was searched for those who left their place in the queue
    assert figure(url, "agentrec_clients_left_total", route=ROUTE) == 3
    assert figure(url, "agentrec_requests_total", route=ROUTE, status="499") == 3
    assert figure(url, "agentrec_requests_total", route=ROUTE, status="200") == 1
    assert figure(url, "agentrec_in_flight") == 0


def test_thinking_stops_when_nobody_listens(
    thinker: GenerativeRecommender, thinking_shelf: Shelf, launch: Callable[..., Any]
) -> None:
    engine = TreeEngine(thinker)
    running = launch(ServiceConfig(port=0, max_text=30_000), lambda: engine, thinking_shelf)
    with call(running.url, ROUTE, {**ASK, "mode": "think", "max_tokens": 30_000}):
        wait_for(lambda: engine.stats()["batches"] > 3)
    wait_for(lambda: engine.stats()["running"] == 0)
    assert engine.stats()["batches"] < 30_000
    assert figure(running.url, "agentrec_clients_left_total", route=ROUTE) == 1


def test_half_a_request_is_nobodys_fault(client: httpx.Client) -> None:
    url = str(client.base_url).rstrip("/")
    for path in (ROUTE, "/v1/constraints"):
        call(url, path, {**ASK, "items": []}, cut=5).close()
        wait_for(lambda path=path: figure(url, "agentrec_clients_left_total", route=path) == 1)  # type: ignore[misc]
        assert figure(url, "agentrec_requests_total", route=path, status="499") == 1
    assert post(url) == 200


class Upstream:
    """A server behind the engine that answers at most the beginning, and notices when its caller hangs up."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.asked, self.hung_up = threading.Event(), threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        caller, _ = self.socket.accept()
        with caller:
            caller.settimeout(60)
            if not caller.recv(65_536):
                return
            caller.sendall(self.says)
            self.asked.set()
            with contextlib.suppress(ConnectionResetError):
                while caller.recv(65_536):
                    continue
            self.hung_up.set()


class WithChat(TreeEngine):
    """An engine with a server behind it."""

    def __init__(self, recommender: GenerativeRecommender, server: Upstream) -> None:
        super().__init__(recommender)
        address = "http://{}:{}".format(*server.socket.getsockname())
        self.upstream = httpx.AsyncClient(base_url=address, trust_env=False)


@pytest.fixture
def behind() -> Iterator[Callable[[bytes], Upstream]]:
    made: list[Upstream] = []

    def one(says: bytes) -> Upstream:
        made.append(Upstream(says))
        return made[-1]

    yield one
    for server in made:
        server.thread.join(60)
        server.socket.close()


BEGUN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize("says", [b"", BEGUN], ids=["nothing yet", "a stream that goes on"])
def test_the_server_behind_is_told(
    recommender: GenerativeRecommender,
    launch: Callable[..., Any],
    behind: Callable[[bytes], Upstream],
    says: bytes,
) -> None:
    server = behind(says)
    running = launch(build=lambda: WithChat(recommender, server))
    with call(running.url, CHAT, {"messages": [], "stream": True}) as caller:
        assert server.asked.wait(60)
        while says and b"hello" not in caller.recv(65_536):
            continue
        assert not server.hung_up.is_set()
    assert server.hung_up.wait(60)
    wait_for(lambda: running.app.state.service.gate.inside == 0)
    wait_for(lambda: figure(running.url, "agentrec_clients_left_total", route=CHAT) == 1)
    assert figure(running.url, "agentrec_requests_total", route=CHAT, status="200" if says else "499") == 1


def test_half_a_chat_is_nobodys_fault_either(
    recommender: GenerativeRecommender, launch: Callable[..., Any], behind: Callable[[bytes], Upstream]
) -> None:
    server = behind(b"")
    running = launch(build=lambda: WithChat(recommender, server))
    call(running.url, CHAT, {"messages": []}, cut=3).close()
    wait_for(lambda: figure(running.url, "agentrec_clients_left_total", route=CHAT) == 1)
    assert figure(running.url, "agentrec_requests_total", route=CHAT, status="499") == 1
    assert not server.asked.is_set()
    socket.create_connection(server.socket.getsockname()).close()  # so that its thread ends
