"""Speed of serving a generator: our engines beside vLLM's own beam search and Hugging Face, in one run; writes JSON.

    python scripts/bench_serving.py                      qwen3-tiny, 400 tokens, beams of 20 and 50; some minutes
    python scripts/bench_serving.py --quick              the smallest case only, to see that it works
    python scripts/bench_serving.py --models qwen3-tiny,qwen3-small --tokens 100,400 --threads 2 --out serving.json

Every way runs in a process of its own, because vLLM binds the threads of the process it runs in, on the same generator
with random weights. `tree` and `vllm` answer requests that come in by `concurrency`, each behind its last answer;
`vllm_beam_search`, the same with a marker in the prompt (`vllm_marker`) and `hf` get that many prompts at once. Figures
are medians of seconds per request or per batch. Ratios are of requests per second at the widest case; `same_ranks` is
the share of lists that are those of the tree. `processor_overhead` is the time in our processor while 64 requests are
decoded, by the rest of the time. The JSON is also the last line of the output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WAYS = ("tree", "vllm", "vllm_beam_search", "vllm_marker", "hf", "overhead")
BARS = {
    "vllm_constrained_vs_vllm_beam_search": (1.0, "at least"),
    "tree_beam_vs_vllm_beam_search": (5.0, "at least"),
    "processor_overhead": (0.05, "at most"),
}
LEVELS = (64, 64, 64)
N = 10


def make_generator(name: str, items: int, folder: Path) -> None:
    """A generator with random weights whose logits lie far enough apart to be ranked alike twice."""
    from agentrec.models.presets import build_generator
    from agentrec.prompts.forms import build_form
    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.serving.generative import GenerativeRecommender
    from agentrec.testing.generators import random_codes

    codes = random_codes(2 * items, LEVELS)
    codes = codes[np.random.default_rng(0).permutation(len(codes))[:items]]
    vocabulary = SIDVocabulary(codes, LEVELS)
    model, tokenizer = build_generator(name, vocabulary.all_tokens)
    model.get_input_embeddings().weight.data.mul_(10)
    tokens, sids = vocabulary.item_token_ids(tokenizer), [vocabulary.text(item) for item in range(items)]
    form = build_form({"form": "sequence", "max_items": 1000}, tokenizer, tokens, sids, [""] * items)
    GenerativeRecommender(model, tokenizer, vocabulary, form).save_pretrained(folder)


def prompts_of(folder: Path, tokens: int, count: int) -> list[list[int]]:
    from agentrec.serving.engines.local_sets import sets_of_folder

    _, layout, tokenizer = sets_of_folder(folder)
    rng, vocabulary = np.random.default_rng(tokens), np.concatenate(layout.token_ids)
    return [[tokenizer.bos_token_id, *rng.choice(vocabulary, tokens - 1).tolist()] for _ in range(count)]


def vllm_arguments(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "enforce_eager": True,
        "max_model_len": 1024,
        "max_num_seqs": 256,
        "kv_cache_memory_bytes": case["kv_megabytes"] << 20,
    }


async def closed_loop(engine: Any, requests: list[Any], concurrency: int) -> tuple[list[float], float, list[Any]]:
    """Seconds of every request, of all together, and the answers."""
    waiting, seconds, answers = iter(enumerate(requests)), [0.0] * len(requests), [None] * len(requests)

    async def one_client() -> None:
        for place, request in waiting:
            begin = time.perf_counter()
            answers[place] = (await engine.beam(request)).items.tolist()
            seconds[place] = time.perf_counter() - begin

    begin = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(concurrency)))
    return seconds, time.perf_counter() - begin, answers


async def engine_cases(engine: Any, case: dict[str, Any]) -> list[dict[str, Any]]:
    from agentrec.serving.engines.protocol import BeamRequest

    await engine.start()
    found = []
    for tokens in case["tokens"]:
        for beams in case["beams"]:
            for concurrency in case["concurrency"]:
                count = concurrency * case["rounds"]
                prompts = prompts_of(Path(case["folder"]), tokens, count + concurrency)
                requests = [BeamRequest(tuple(prompt), N, beams) for prompt in prompts]
                await closed_loop(engine, requests[count:], concurrency)
                seconds, total, answers = await closed_loop(engine, requests[:count], concurrency)
                found.append(row(tokens, beams, concurrency, seconds, count / total) | {"lists": answers[:16]})
    await engine.close()
    return found


def row(tokens: int, beams: int, concurrency: int, seconds: list[float], rate: float) -> dict[str, Any]:
    p50, p95 = np.percentile(seconds, [50, 95]).tolist()
    where = {"tokens": tokens, "beams": beams, "concurrency": concurrency}
    return {**where, "p50_s": p50, "p95_s": p95, "requests_per_s": rate}


def batch_cases(case: dict[str, Any], run: Any) -> list[dict[str, Any]]:
    """The same cases for ways that take prompts all at once: run(prompts, beams) -> lists."""
    found = []
    for tokens in case["tokens"]:
        for beams in case["beams"]:
            for concurrency in case["concurrency"]:
                seconds, lists = [], []
                prompts = prompts_of(Path(case["folder"]), tokens, concurrency * (case["rounds"] + 1))
                run(prompts[:concurrency] if concurrency == 1 else prompts[-2:], beams)
                for turn in range(case["rounds"]):
                    begin = time.perf_counter()
                    lists += run(prompts[turn * concurrency : (turn + 1) * concurrency], beams)
                    seconds.append(time.perf_counter() - begin)
                rate = concurrency / float(np.median(seconds))
                found.append(row(tokens, beams, concurrency, seconds, rate) | {"lists": lists[:16]})
    return found


def tree(case: dict[str, Any]) -> Any:
    import torch

    from agentrec.serving.engines.tree import TreeEngine
    from agentrec.serving.generative import GenerativeRecommender

    torch.set_num_threads(case["threads"])
    return asyncio.run(engine_cases(TreeEngine(GenerativeRecommender.load(case["folder"])), case))


def vllm(case: dict[str, Any]) -> Any:
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    config = VllmConfig(dtype="float32", more=vllm_arguments(case))
    return asyncio.run(engine_cases(VllmEngine(case["folder"], config=config), case))


def vllm_beam_search(case: dict[str, Any], **more: Any) -> Any:
    from agentrec.decoding.vllm_scan import engine_starts
    from agentrec.serving.engines.local_sets import sets_of_folder

    with engine_starts():
        from vllm import LLM
        from vllm.sampling_params import BeamSearchParams

        llm = LLM(
            model=case["folder"], dtype="float32", block_size=32, max_logprobs=256, **vllm_arguments(case), **more
        )
    _, layout, _ = sets_of_folder(case["folder"])
    levels = [{int(token): code for code, token in enumerate(ids)} for ids in layout.token_ids]
    known = _items(Path(case["folder"]))

    def run(prompts: list[list[int]], beams: int) -> list[list[int]]:
        params = BeamSearchParams(beam_width=beams, max_tokens=len(levels), ignore_eos=True)
        outputs = llm.beam_search([{"prompt_token_ids": prompt} for prompt in prompts], params)
        lists = []
        for output in outputs:
            tails = [sequence.tokens[-len(levels) :] for sequence in output.sequences[:N]]
            codes = [tuple(level.get(token, -1) for level, token in zip(levels, tail, strict=True)) for tail in tails]
            lists.append([known.get(code, -1) for code in codes])
        return lists

    return batch_cases(case, run)


def vllm_marker(case: dict[str, Any]) -> Any:
    from agentrec.serving.engines.processor import FOLLOWED

    asks = {"agentrec": {"prompt_marker": "<|bos|>", "prompt_constraint": "all"}}
    return vllm_beam_search(
        case, logits_processors=[FOLLOWED], additional_config=asks, logprobs_mode="processed_logprobs"
    )


def _items(folder: Path) -> dict[tuple[int, ...], int]:
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    codes = SIDVocabulary.from_pretrained(folder / "sids").codes
    return {tuple(row): item for item, row in enumerate(codes.tolist())}


def hf(case: dict[str, Any]) -> Any:
    import torch

    from agentrec.serving.generative import GenerativeRecommender

    torch.set_num_threads(case["threads"])
    found = GenerativeRecommender.load(case["folder"])
    items = found.vocabulary.item_token_ids(found.tokenizer).tolist()
    behind: dict[tuple[int, ...], set[int]] = {}
    for tokens in items:
        for length in range(len(tokens)):
            behind.setdefault(tuple(tokens[:length]), set()).add(tokens[length])
    known = {tuple(tokens): item for item, tokens in enumerate(items)}

    @torch.inference_mode()
    def run(prompts: list[list[int]], beams: int) -> list[list[int]]:
        ids, width = torch.tensor(prompts), len(prompts[0])
        out = found.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=beams,
            num_return_sequences=N,
            max_new_tokens=len(LEVELS),
            min_new_tokens=len(LEVELS),
            do_sample=False,
            length_penalty=0.0,
            prefix_allowed_tokens_fn=lambda _, sequence: sorted(behind[tuple(sequence[width:].tolist())]),
            pad_token_id=0,
            eos_token_id=None,
        )
        tails = [known.get(tuple(tail), -1) for tail in out[:, width:].tolist()]
        return [tails[start : start + N] for start in range(0, len(tails), N)]

    widest = {**case, "tokens": case["tokens"][-1:], "beams": case["beams"][-1:], "concurrency": [4], "rounds": 1}
    return batch_cases(widest, run)


def overhead(case: dict[str, Any]) -> Any:
    """Time in our processor while 64 outputs of several items are written, by the rest of the time."""
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
    engine = VllmEngine(case["folder"], config=VllmConfig(dtype="float32", more=vllm_arguments(case)))
    prompts = prompts_of(Path(case["folder"]), 100, 64)
    requests = [TextRequest(tuple(prompt), 1, 1.0, "all", num_items=10, seed=row) for row, prompt in enumerate(prompts)]

    async def work() -> list[float]:
        await engine.start()
        shares = []
        for _ in range(case["rounds"] + 1):
            spent.update(dict.fromkeys(spent, 0.0))
            begin = time.perf_counter()
            await asyncio.gather(*map(engine.generate, requests))
            total, own = time.perf_counter() - begin, sum(spent.values())
            shares.append(own / (total - own))
        await engine.close()
        return shares[1:]

    return asyncio.run(work())


def measure(way: str, case: dict[str, Any]) -> Any:
    """One way in a process of its own."""
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}
    says = {**quiet, "OMP_NUM_THREADS": str(case["threads"])}
    command = [sys.executable, str(Path(__file__).resolve()), "--way", way, "--case", json.dumps(case)]
    done = subprocess.run(command, env={**os.environ, **says}, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:] or ["no reason"]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def ratios(found: dict[str, Any], case: dict[str, Any]) -> dict[str, float]:
    """The figures that bars are about, at the widest case."""
    widest = {"tokens": case["tokens"][-1], "beams": case["beams"][-1], "concurrency": case["concurrency"][-1]}

    def at(way: str, **place: Any) -> dict[str, Any]:
        rows = found.get(way) if isinstance(found.get(way), list) else []
        return next((row for row in rows if all(row[key] == value for key, value in place.items())), {})

    here = {way: at(way, **widest) for way in WAYS[:4]}
    rates = {way: row["requests_per_s"] for way, row in here.items() if row}
    figures = {}
    for name, ours, theirs in [
        ("vllm_constrained_vs_vllm_beam_search", "vllm", "vllm_beam_search"),
        ("tree_beam_vs_vllm_beam_search", "tree", "vllm_beam_search"),
        ("tree_beam_vs_vllm_marker", "tree", "vllm_marker"),
    ]:
        if ours in rates and theirs in rates:
            figures[name] = rates[ours] / rates[theirs]
    if here["tree"] and at("hf"):
        figures["tree_beam_vs_hf_generate"] = here["tree"]["requests_per_s"] / at("hf")["requests_per_s"]
    if here["tree"] and here["vllm"]:
        pairs = list(zip(here["tree"]["lists"], here["vllm"]["lists"], strict=False))
        figures["same_ranks"] = sum(one == other for one, other in pairs) / len(pairs)
    for way in ("vllm_beam_search", "vllm_marker"):
        if here[way]:
            figures[f"{way}_valid"] = float(np.mean([item >= 0 for items in here[way]["lists"] for item in items]))
    if isinstance(found.get("overhead"), list):
        figures["processor_overhead"] = float(np.median(found["overhead"]))
    return figures


def held(figures: dict[str, float]) -> dict[str, Any]:
    found = {}
    for name, (bar, side) in BARS.items():
        if name in figures:
            holds = figures[name] >= bar if side == "at least" else figures[name] <= bar
            found[name] = {"value": figures[name], "bar": bar, "holds": holds}
    return found


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="qwen3-tiny", help="presets, separated by commas")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"some of {', '.join(WAYS)}")
    parser.add_argument("--tokens", type=numbers, default=[400])
    parser.add_argument("--beams", type=numbers, default=[20, 50])
    parser.add_argument("--concurrency", type=numbers, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--kv-megabytes", type=int, default=1024)
    parser.add_argument("--quick", action="store_true", help="one case of 100 tokens and 20 beams, tree and vllm only")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = parse()
    if given.way:
        print(json.dumps(globals()[given.way](json.loads(given.case))))
        return
    from agentrec.core.files import write_json
    from agentrec.core.provenance import machine, versions

    keys = ("tokens", "beams", "concurrency", "rounds", "threads", "kv_megabytes")
    case = {key: getattr(given, key) for key in keys}
    ways = [way for way in WAYS if way in given.ways.split(",")]
    if given.quick:
        case |= {"tokens": [100], "beams": [20], "concurrency": [4], "rounds": 1, "kv_megabytes": 256}
        ways = [way for way in ways if way in ("tree", "vllm")]
    report: dict[str, Any] = {"machine": machine(), "versions": versions(), "case": case, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models.split(","):
            make_generator(name, given.items, Path(folder) / name)
            own = {**case, "folder": str(Path(folder) / name)}
            found = {}
            for way in ways:
                begin = time.perf_counter()
                found[way] = measure(way, own)
                print(f"{name} {way}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
            figures = ratios(found, case)
            for rows in found.values():
                for entry in rows if isinstance(rows, list) else []:
                    if isinstance(entry, dict):
                        entry.pop("lists", None)
            report["models"][name] = {"figures": figures, "held": held(figures), "ways": found}
    if given.out is not None:
        write_json(given.out, report)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
