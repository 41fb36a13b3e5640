"""``agentrec serve`` as a process: it answers, logs without personal data, and SIGTERM drains it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from agentrec.cli.app import app as command_line
from agentrec.core.errors import AgentrecError, ConfigError, ServingWarning, UnknownNameError
from agentrec.core.types import Catalogue, Histories
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.app import build_app
from agentrec.serving.service.engines import Server, served
from agentrec.serving.service.keeping import Keeper
from agentrec.serving.service.server import run
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.through_engine import EngineRecommender


@pytest.fixture(scope="module")
def folder(recommender: GenerativeRecommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served") / "generator"
    recommender.save_pretrained(made)
    return made


def started(folder: Path, data: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    """The command as a process, and where it serves."""
    words = ["serve", "--model", str(folder), "--data", str(data), "--port", "0", "--no-ui", *more]
    process = subprocess.Popen([sys.executable, "-m", "agentrec", *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    found = re.search(r"serving at (http://127\.0\.0\.1:\d+) ", first)
    assert found, first
    return process, found[1]


@contextmanager
def half_asked(url: str, body: dict[str, Any]) -> Iterator[Callable[[], bytes]]:
    """A request whose body the service is waiting for; called, it sends the body and gives the answer."""
    sent = json.dumps(body).encode()
    fields = {"host": "localhost", "content-length": len(sent), "content-type": "application/json"}
    fields |= {"expect": "100-continue", "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=60) as client:
        client.sendall(f"POST /v1/recommendations HTTP/1.1\r\n{head}\r\n".encode())
        assert b"100 Continue" in client.recv(1000)

        def rest_asked() -> bytes:
            client.sendall(sent)
            return b"".join(iter(lambda: client.recv(65_536), b""))

        yield rest_asked


def await_refusal(url: str) -> None:
    """Until nobody new is let in."""
    until = time.monotonic() + 180
    with suppress(ConnectionError):
        while time.monotonic() < until:
            socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=30).close()
            time.sleep(0.02)
        raise AssertionError("the service still accepts connections")


def test_the_command_serves_and_sigterm_drains_it(folder: Path, data: Path) -> None:
    process, url = started(folder, data)

    def ask(body: dict[str, Any]) -> int:
        return httpx.post(f"{url}/v1/recommendations", json=body, timeout=60, trust_env=False).status_code

    assert ask({"user_id": "secret-user-1", "n": 5}) == 200
    assert ask({"user_id": "secret-user-9", "n": 5}) == 404
    assert ask({"history": ["i1", "i77"], "constraint": "i77-set"}) == 404
    httpx.get(f"{url}/v1/items/search", params={"q": "private words"}, trust_env=False)
    with half_asked(url, {"history": ["i1"], "n": 60}) as rest_asked:
        process.send_signal(signal.SIGTERM)
        await_refusal(url)
        assert process.poll() is None
        assert b"HTTP/1.1 200" in rest_asked()
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0, logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert {line["event"] for line in lines} == {"request"}
    assert {"/v1/recommendations", "/v1/items/search"} <= {line["route"] for line in lines}
    for word in ("secret", "i77", "private", "user_id"):
        assert word not in logged


@pytest.mark.slow
def test_sets_outlive_a_kill(folder: Path, data: Path, tmp_path: Path) -> None:
    sizes: list[dict[str, int]] = []
    for turn in range(3):
        process, url = started(folder, data, "--sets", str(tmp_path))
        with process, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            listed = client.get("/v1/constraints").json()["sets"]
            sizes.append({row["name"]: row["items"] for row in listed})
            assert client.put("/v1/constraints/few", json={"items": [f"i{turn}", "i50"]}).status_code == 200
            put = client.put(f"/v1/constraints/turn{turn}", json={"column": "title", "values": ["boots number 1"]})
            assert put.status_code == 200
            if turn:
                assert client.delete(f"/v1/constraints/turn{turn - 1}").status_code == 204
            process.kill()
    assert sizes == [{"all": 120}, {"all": 120, "few": 2, "turn0": 1}, {"all": 120, "few": 2, "turn1": 1}]


def test_folders_of_sets_are_looked_at_before_anything_is_read(tmp_path: Path) -> None:
    def said(*more: str) -> str:
        words = ["serve", "--model", "nothing", "--data", "nothing", *more]
        found = CliRunner().invoke(command_line, words)
        assert isinstance(found.exception, ConfigError)
        return str(found.exception)

    keeper = Keeper(tmp_path)
    assert "another service keeps its constraint sets" in said("--sets", str(tmp_path))
    keeper.close()
    assert "there is no folder of constraint sets" in said("--sets", str(tmp_path / "missing"))
    both = said("--sets", str(tmp_path), "--vllm-sets", str(tmp_path / "x" / ".."))
    assert "expected two folders" in both


def test_a_taken_port_is_one_sentence(recommender: GenerativeRecommender, shelf: Shelf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = ServiceConfig(port=taken.getsockname()[1])
        app = build_app(shelf, lambda: TreeEngine(recommender), config)
        with pytest.raises(AgentrecError, match=r"could not listen on 127\.0\.0\.1"):
            run(app, config, log_level="error")


def test_an_open_door_without_a_key_is_a_warning(recommender: GenerativeRecommender, shelf: Shelf) -> None:
    config = ServiceConfig(host="0.0.0.0", port=0)
    app = build_app(shelf, lambda: TreeEngine(recommender), config)

    def stop(_: str) -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.warns(ServingWarning, match="asks for no API key"):
        assert run(app, config, say=stop, log_level="error") == 0


@pytest.mark.parametrize(
    ("setting", "value"), [("port", 70_000), ("deadline", 0.0), ("max_body", -1), ("drain", float("inf"))]
)
def test_settings_are_looked_at(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=setting):
        ServiceConfig(**{setting: value})


def test_an_engine_is_picked_by_name(folder: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UnknownNameError, match="those that exist are tree, vllm, vllm-http"):
        served("trees", folder, catalogue)
    with pytest.raises(ConfigError, match="missing; expected an address"):
        served("vllm-http", folder, catalogue)
    with pytest.raises(ConfigError, match="and with no other"):
        served("tree", folder, catalogue, server=Server("http://127.0.0.1:1"))
    far = served("vllm-http", folder, catalogue, server=Server("http://127.0.0.1:1"))
    near = served("tree", folder, catalogue)
    history = np.array([3, 1, 2])
    assert far.form.prompt(history) == near.form.prompt(history)
    assert (far.num_beams, far.build().name) == (near.num_beams, "vllm-http")


def test_an_engine_recommends_what_its_generator_does(
    folder: Path, catalogue: Catalogue, recommender: GenerativeRecommender
) -> None:
    histories = Histories.from_lists([[1, 2, 3], [4], list(range(30))])
    with EngineRecommender(served("tree", folder, catalogue)) as engine:
        assert engine.num_items == 120
        for seen in (False, True):
            found, own = (one.recommend(histories, 8, exclude_seen=seen) for one in (engine, recommender))
            np.testing.assert_array_equal(found.items, own.items)
            np.testing.assert_allclose(found.scores, own.scores, rtol=1e-4)
