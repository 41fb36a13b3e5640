"""The ways that `bench_serving.py` compares, each run in a process of its own; prints one JSON line per cell.

A cell is a prompt length, a beam width and a concurrency. It begins with one or two requests that do not count, and
ends with the first round behind its time bound, so that a slow cell is one round. No prompt comes twice in a process,
because vLLM's prefix cache would know it; every way gets the same ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MARK = "@cell "
N = 10
ROUNDS = 20  # at most
RANKED = 16  # lists of a cell whose hashes are kept, to compare ways

Row = dict[str, Any]
Lists = list[list[int]]


def tokens_of(folder: Path) -> tuple[Any, Any]:
    """The tokenizer of a generator, and the token ids of its items: (N, L)."""
    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.serving.engines.local_sets import sets_of_folder

    tokenizer = sets_of_folder(folder)[2]
    return tokenizer, SIDVocabulary.from_pretrained(folder / "sids").item_token_ids(tokenizer)


def prompts_of(folder: Path, cell: tuple[int, int, int], count: int) -> list[list[int]]:
    """Prompts of a cell: as many random items as fit into its tokens."""
    tokenizer, items = tokens_of(folder)
    rng, length = np.random.default_rng(cell), (cell[0] - 1) // items.shape[1]
    drawn = rng.integers(0, len(items), (count, length))
    return [[tokenizer.bos_token_id, *items[row].reshape(-1).tolist()] for row in drawn]


def row(cell: tuple[int, int, int], seconds: list[float], rate: float, lists: Lists) -> Row:
    from agentrec.core.files import json_hash

    p50, p95 = np.percentile(seconds, [50, 95]).tolist()
    facts = {"p50_s": p50, "p95_s": p95, "requests_per_s": rate, "requests": len(lists)}
    found = [item >= 0 for items in lists for item in items]
    ranks = [json_hash(items) for items in lists[:RANKED]]
    where = dict(zip(("tokens", "beams", "concurrency"), cell, strict=True))
    return {**where, **facts, "valid": float(np.mean(found)), "ranks": ranks}


async def closed_loop(engine: Any, prompts: list[list[int]], cell: tuple[int, int, int], bound: float) -> Row:
    """So many clients, each with a request behind its last answer, until the bound; one each at least."""
    from agentrec.serving.engines.protocol import BeamRequest

    waiting, seconds, answers = iter(range(len(prompts))), {}, {}
    begin = time.perf_counter()

    async def one_client() -> None:
        for place in waiting:
            start = time.perf_counter()
            answers[place] = (await engine.beam(BeamRequest(tuple(prompts[place]), N, cell[1]))).items.tolist()
            seconds[place] = time.perf_counter() - start
            if time.perf_counter() - begin > bound:
                return

    await asyncio.gather(*(one_client() for _ in range(cell[2])))
    rate = len(answers) / (time.perf_counter() - begin)
    return row(cell, list(seconds.values()), rate, [answers[place] for place in sorted(answers)])


def engine_cells(engine: Any, case: Row) -> Iterator[Row]:
    with asyncio.Runner() as runner:
        runner.run(engine.start())
        try:
            for cell in map(tuple, case["cells"]):
                prompts = prompts_of(Path(case["folder"]), cell, cell[2] * ROUNDS + 2)
                runner.run(closed_loop(engine, prompts[-2:], (*cell[:2], min(cell[2], 2)), 0.0))
                yield runner.run(closed_loop(engine, prompts[:-2], cell, case["seconds"]))
        finally:
            runner.run(engine.close())


def batch_cells(case: Row, run: Callable[[list[list[int]], int], Lists], longest: float = np.inf) -> Iterator[Row]:
    """For ways that take prompts all at once; fewer where that would take longer than ``longest`` seconds."""
    for cell in map(tuple, case["cells"]):
        prompts = prompts_of(Path(case["folder"]), cell, cell[2] * ROUNDS + 2)
        begin = time.perf_counter()
        run(prompts[-2:-1], cell[1])
        alone = time.perf_counter() - begin
        at_once = max(1, min(cell[2], int(min(longest / alone, 1e9))))
        seconds: list[float] = []
        lists: list[Any] = []
        while sum(seconds) <= case["seconds"] and len(seconds) < ROUNDS:
            begin, start = time.perf_counter(), len(seconds) * at_once
            lists += run(prompts[start : start + at_once], cell[1])
            seconds.append(time.perf_counter() - begin)
        yield {**row(cell, seconds, at_once / float(np.median(seconds)), lists), "at_once": at_once}


def tree(case: Row) -> Iterator[Row]:
    import torch

    from agentrec.serving.engines.tree import TreeEngine
    from agentrec.serving.generative import GenerativeRecommender

    torch.set_num_threads(case["threads"])
    yield from engine_cells(TreeEngine(GenerativeRecommender.load(case["folder"])), case)


def vllm_arguments(case: Row) -> Row:
    size = {"max_model_len": 1024, "max_num_seqs": 256, "kv_cache_memory_bytes": case["kv_megabytes"] << 20}
    return {"enforce_eager": True, "dtype": "float32", "block_size": 32, **size}


def vllm(case: Row) -> Iterator[Row]:
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    yield from engine_cells(VllmEngine(case["folder"], config=VllmConfig(more=vllm_arguments(case))), case)


@contextlib.contextmanager
def process(command: list[str], says: dict[str, str]) -> Iterator[None]:
    """A server beside us; what it logs goes to stderr, and it ends with the block."""
    environment = {**os.environ, **says}
    environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    running = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def vllm_http(case: Row) -> Iterator[Row]:
    from agentrec.serving.engines.vllm_http import HttpConfig, HttpEngine, server_command
    from agentrec.testing.servers import free_port

    port = free_port()
    switches = {"enforce_eager"}
    more = [f"--{name.replace('_', '-')}" for name in switches]
    for name, value in vllm_arguments(case).items():
        more += [] if name in switches else [f"--{name.replace('_', '-')}", str(value)]
    with process(*server_command(case["folder"], port=port, more=more)):
        config = HttpConfig(url=f"http://127.0.0.1:{port}", start_timeout=case["patience"])
        yield from engine_cells(HttpEngine(case["folder"], config=config), case)


def items_of(folder: Path) -> dict[tuple[int, ...], int]:
    """The item of each row of token ids."""
    return {tuple(line): item for item, line in enumerate(tokens_of(folder)[1].tolist())}


def vllm_beam_search(case: Row, **more: Any) -> Iterator[Row]:
    from agentrec.decoding.vllm_scan import engine_starts

    known = items_of(Path(case["folder"]))
    levels = len(next(iter(known)))
    with engine_starts():
        from vllm import LLM
        from vllm.sampling_params import BeamSearchParams

        llm = LLM(model=case["folder"], max_logprobs=256, **vllm_arguments(case), **more)

    def run(prompts: list[list[int]], beams: int) -> Lists:
        params = BeamSearchParams(beam_width=beams, max_tokens=levels, ignore_eos=True)
        outputs = llm.beam_search([{"prompt_token_ids": prompt} for prompt in prompts], params)
        return [[known.get(tuple(one.tokens[-levels:]), -1) for one in output.sequences[:N]] for output in outputs]

    yield from batch_cells(case, run)


def vllm_marker(case: Row) -> Iterator[Row]:
    from agentrec.serving.engines.processor import FOLLOWED

    asks = {"agentrec": {"prompt_marker": "<|bos|>", "prompt_constraint": "all"}}
    held = {"logits_processors": [FOLLOWED], "logprobs_mode": "processed_logprobs"}
    yield from vllm_beam_search(case, additional_config=asks, **held)


def hf(case: Row) -> Iterator[Row]:
    import torch

    from agentrec.serving.generative import GenerativeRecommender

    torch.set_num_threads(case["threads"])
    found = GenerativeRecommender.load(case["folder"])
    known = items_of(Path(case["folder"]))
    levels = len(next(iter(known)))
    behind: dict[tuple[int, ...], set[int]] = {}
    for tokens in known:
        for length in range(levels):
            behind.setdefault(tokens[:length], set()).add(tokens[length])

    @torch.inference_mode()
    def run(prompts: list[list[int]], beams: int) -> Lists:
        ids, width = torch.tensor(prompts), len(prompts[0])
        out = found.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=beams,
            num_return_sequences=N,
            max_new_tokens=levels,
            min_new_tokens=levels,
            do_sample=False,
            length_penalty=0.0,
            prefix_allowed_tokens_fn=lambda _, sequence: sorted(behind[tuple(sequence[width:].tolist())]),
            pad_token_id=0,
            eos_token_id=None,
        )
        tails = [known.get(tuple(tail), -1) for tail in out[:, width:].tolist()]
        return [tails[start : start + N] for start in range(0, len(tails), N)]

    yield from batch_cells(case, run, longest=3 * case["seconds"])


def overhead(case: Row) -> Iterator[Row]:
    """Time in our processor while 64 outputs of ten items are written, by the rest of the time."""
    from agentrec.decoding.vllm import ConstrainedProcessor
    from agentrec.serving.engines.protocol import TextRequest
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    spent = {"apply": 0.0, "update_state": 0.0}

    def timed(name: str) -> None:
        plain = getattr(ConstrainedProcessor, name)

        def inner(*args: Any) -> Any:
            begin = time.perf_counter()
            try:
                return plain(*args)
            finally:
                spent[name] += time.perf_counter() - begin

        setattr(ConstrainedProcessor, name, inner)

    for name in spent:
        timed(name)
    engine = VllmEngine(case["folder"], config=VllmConfig(more=vllm_arguments(case)))
    prompts = prompts_of(Path(case["folder"]), (100, 0, 64), 64)
    requests = [TextRequest(tuple(prompt), 1, 1.0, "all", num_items=10, seed=row) for row, prompt in enumerate(prompts)]

    async def work() -> list[float]:
        await engine.start()
        shares: list[float] = []
        start = time.perf_counter()
        while len(shares) < 2 or (time.perf_counter() - start < case["seconds"] and len(shares) < ROUNDS):
            spent.update(dict.fromkeys(spent, 0.0))
            begin = time.perf_counter()
            await asyncio.gather(*map(engine.generate, requests))
            total, own = time.perf_counter() - begin, sum(spent.values())
            shares.append(own / (total - own))
        await engine.close()
        return shares[1:]

    yield {"shares": asyncio.run(work())}


def service(case: Row) -> Iterator[Row]:
    """What `agentrec serve` adds to the engine's time: a client's seconds less those that the answer names."""
    import httpx

    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.testing.servers import free_port

    ids = SIDVocabulary.from_pretrained(Path(case["folder"]) / "sids").item_ids
    assert ids is not None
    rng, port = np.random.default_rng(0), free_port()
    with tempfile.TemporaryDirectory() as data:
        rows = [f"{user},{item},{place}" for user in range(2) for place, item in enumerate(ids)]
        (Path(data) / "interactions.csv").write_text("\n".join(["user_id,item_id,order", *rows]))
        (Path(data) / "items.csv").write_text("\n".join(["item_id,title", *(f"{item},{item}" for item in ids)]))
        words = ["serve", "--model", case["folder"], "--data", data, "--port", str(port), "--no-ui"]
        command = [sys.executable, "-m", "agentrec", *words, "--log-level", "error"]
        address = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        with process(command, {}), address as client:
            until = time.monotonic() + case["patience"]
            while time.monotonic() < until:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get("/ready").status_code == 200:
                        break
                time.sleep(0.2)
            added: list[float] = []
            start = time.perf_counter()
            while len(added) < 20 or (time.perf_counter() - start < case["seconds"] and len(added) < 200):
                history = [ids[item] for item in rng.integers(0, len(ids), 30)]
                begin = time.perf_counter()
                answer = client.post("/v1/recommendations", json={"history": history, "n": N})
                seconds = time.perf_counter() - begin
                added.append(1000 * seconds - answer.raise_for_status().json()["timings"]["engine_ms"])
    p50, p95 = np.percentile(added[5:], [50, 95]).tolist()
    yield {"added_p50_ms": p50, "added_p95_ms": p95, "requests": len(added) - 5}


WAYS: dict[str, Callable[[Row], Iterator[Row]]] = {
    way.__name__: way for way in (tree, vllm, vllm_http, vllm_beam_search, vllm_marker, hf, overhead, service)
}


def main() -> None:
    way, case = sys.argv[1], json.loads(sys.argv[2])
    for found in WAYS[way](case):
        print(MARK + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
