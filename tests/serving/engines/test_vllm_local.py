"""vLLM in this process: the ranks of the exact search, texts that end in items, and sets that change meanwhile."""

import asyncio
from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.types import Histories
from agentrec.serving.engines.protocol import BeamRequest, EngineDeadError, TextRequest
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # vLLM reads names that torch is about to drop
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MARKER = "<|im_start|>"


def asked(recommender: GenerativeRecommender, history: list[int], n: int = 10, **more: Any) -> BeamRequest:
    return BeamRequest(
        tuple(recommender.form.prompt(np.array(history, np.int64))), n, more.pop("num_beams", 12), **more
    )


def test_beams_rank_as_the_exact_search_does(vllm_engine: Any, preset: GenerativeRecommender) -> None:
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 200, length).tolist() for length in (0, 3, 9, 20, 20, 14)]
    vllm_engine.sets.put("few", list(range(0, 200, 9)))
    ways: list[dict[str, Any]] = [{}, {"constraint": "few", "n": 12}, {"num_beams": 40, "n": 30}]
    requests = [asked(preset, history, **ways[row % 3]) for row, history in enumerate(lists)]
    requests += [asked(preset, history, exclude=tuple(history)) for history in lists]

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(vllm_engine.beam, requests))

    for history, request, result in zip([*lists, *lists], requests, asyncio.run(all_of_them()), strict=True):
        exact = preset.recommend(
            Histories.from_lists([history]),
            request.n,
            num_beams=request.num_beams,
            exclude_seen=bool(request.exclude),
            constraint=vllm_engine.sets.get(request.constraint) if request.constraint else None,
        )
        wanted = exact.items[0] >= 0
        assert result.items.tolist() == exact.items[0][wanted].tolist()
        np.testing.assert_allclose(result.scores, exact.scores[0][wanted], rtol=0, atol=1e-3)


def test_texts_are_those_of_the_tree_engine(vllm_engine: Any, preset: GenerativeRecommender) -> None:
    tree = TreeEngine(preset, vllm_engine.sets)
    vllm_engine.sets.put("few", list(range(0, 200, 7)))
    prompt = tuple(preset.tokenizer.encode("tents and boots"))
    requests = [
        TextRequest(prompt, 6, marker=MARKER, constraint="few", num_items=3),
        TextRequest(prompt, 6, constraint="all - few", num_items=2),
        TextRequest(prompt, 7),
    ]

    async def both() -> Any:
        await tree.start()
        found = await asyncio.gather(*map(vllm_engine.generate, requests))
        expected = await asyncio.gather(*map(tree.generate, requests))
        await tree.close()
        return found, expected

    found, expected = asyncio.run(both())
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.items, one.prompt_tokens) == (other.text, other.items, other.prompt_tokens)
    assert [len(set(result.items)) for result in found] == [3, 2, 0]


def test_sets_change_while_texts_and_beams_of_all_kinds_are_under_way(
    vllm_engine: Any, preset: GenerativeRecommender
) -> None:
    halves = set(range(100)), set(range(100, 200))
    prompt = tuple(preset.tokenizer.encode("coffee"))

    async def one(turn: int, number: int, allowed: set[int]) -> None:
        kind = number % 3
        if kind == 0:
            result: Any = await vllm_engine.beam(asked(preset, [turn, number], constraint="now"))
        elif kind == 1:
            request = TextRequest(prompt, 4, 1.0, constraint="now", marker=MARKER, num_items=2, seed=number)
            result = await vllm_engine.generate(request)
            assert len(result.items) == 2
        else:
            result = await vllm_engine.generate(TextRequest(prompt, 4, 1.0, seed=number))
            assert result.items == ()
        assert {int(item) for item in result.items} <= allowed

    async def work() -> None:
        tasks = []
        for turn in range(4):
            vllm_engine.sets.put("now", sorted(halves[turn % 2]))
            tasks += [asyncio.create_task(one(turn, number, halves[turn % 2])) for number in range(12)]
            await asyncio.sleep(0.02)
        tasks[5].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result).__name__ for result in done if result is not None] in (["CancelledError"], [])

    asyncio.run(work())
    assert vllm_engine.stats()["running"] == 0


def test_many_long_prompts_with_seeds_are_written_at_once(vllm_engine: Any, preset: GenerativeRecommender) -> None:
    rng = np.random.default_rng(2)
    prompts = [tuple(rng.integers(10, len(preset.tokenizer), 400).tolist()) for _ in range(40)]
    requests = [TextRequest(prompt, 1, 1.0, "all", num_items=3, seed=row) for row, prompt in enumerate(prompts)]

    async def work() -> list[Any]:
        return await asyncio.gather(*map(vllm_engine.generate, requests))

    first, again = asyncio.run(work()), asyncio.run(work())
    assert all(len(set(result.items)) == 3 for result in first)
    assert [result.items for result in first[:1]] == [result.items for result in again[:1]]


def test_what_cannot_be_answered_is_refused_and_the_engine_goes_on(
    vllm_engine: Any, preset: GenerativeRecommender
) -> None:
    with pytest.raises(UnknownNameError, match="those that exist are"):
        asyncio.run(vllm_engine.beam(asked(preset, [1], constraint="nobody")))
    with pytest.raises(ConfigError, match="shorter history"):
        asyncio.run(vllm_engine.beam(BeamRequest((1,) * 600, 1, 1)))
    with pytest.raises(ConfigError, match="text of one token"):
        asyncio.run(vllm_engine.generate(TextRequest((1, 2), 4, marker="two words")))
    assert len(asyncio.run(vllm_engine.beam(asked(preset, [1]))).items) == 10
    assert vllm_engine.stats()["alive"] == 1


def test_an_engine_that_cannot_start_says_why(folder: Any) -> None:
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    engine = VllmEngine(folder, config=VllmConfig(dtype="float99"))
    with pytest.raises(EngineDeadError, match="vllm engine stopped"):
        asyncio.run(engine.start())
    with pytest.raises(EngineDeadError, match="not running"):
        asyncio.run(engine.beam(BeamRequest((1, 2), 1, 1)))
