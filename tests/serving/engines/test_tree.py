"""The tree engine ranks as the recommender does, whoever shares the batch, and nobody waits for ever."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, EmptySetError, UnknownNameError
from agentrec.core.types import Histories, Recommendations
from agentrec.decoding.search.plan import LoadPolicy, LoadStep
from agentrec.serving.engines.plan import MOST_WIDENED
from agentrec.serving.engines.protocol import BeamRequest, BeamResult, EngineBusyError, EngineDeadError
from agentrec.serving.engines.tree import TreeConfig, TreeEngine
from agentrec.serving.generative import GenerativeRecommender


def histories_of(recommender: GenerativeRecommender, count: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, recommender.num_items, rng.integers(0, 20)).tolist() for _ in range(count)]


def request(recommender: GenerativeRecommender, history: list[int], n: int = 10, **more: Any) -> BeamRequest:
    prompt = tuple(recommender.form.prompt(np.array(history, np.int64)))
    return BeamRequest(prompt, n, more.pop("num_beams", 12), **more)


def with_engine(engine: TreeEngine, work: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        await engine.start()
        try:
            return await asyncio.wait_for(work(), 60)
        finally:
            await engine.close()

    return asyncio.run(run())


def same(result: BeamResult, ranked: Recommendations, row: int = 0) -> None:
    wanted = ranked.items[row][ranked.items[row] >= 0]
    assert result.items.tolist() == wanted.tolist()
    np.testing.assert_allclose(result.scores, ranked.scores[row][: len(wanted)], rtol=0, atol=1e-4)


def test_lists_are_those_of_the_recommender_whoever_shares_the_batch(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    engine.sets.put("few", list(range(0, 200, 9)))
    engine.sets.put("some", np.arange(200) % 3 > 0)
    lists = histories_of(recommender, 24)
    ways: list[dict[str, Any]] = [
        {},
        {"constraint": "few"},
        {"constraint": "some - few", "n": 5},
        {"num_beams": 30, "n": 20},
    ]
    asked = [request(recommender, history, **ways[row % 4]) for row, history in enumerate(lists)]
    asked += [request(recommender, history, exclude=tuple(history)) for history in lists]
    found = with_engine(engine, lambda: asyncio.gather(*map(engine.beam, asked)))
    for history, one, result in zip([*lists, *lists], asked, found, strict=True):
        alone = recommender.recommend(
            Histories.from_lists([history]),
            one.n,
            num_beams=one.num_beams,
            exclude_seen=bool(one.exclude),
            constraint=engine.sets.get(one.constraint) if one.constraint else None,
        )
        same(result, alone)
        assert result.prompt_tokens == len(one.prompt)
        assert not set(result.items.tolist()) & set(one.exclude)
    stats = engine.stats()
    assert stats["requests"] == 48
    assert stats["batches"] < 30
    assert (stats["waiting"], stats["running"], stats["alive"]) == (0, 0, 0)


def test_many_struck_out_items_cut_the_set_and_leave_the_beam(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    engine.sets.put("few", list(range(40)))
    many = tuple(list(range(30)) * (MOST_WIDENED // 30 + 1))
    left = request(recommender, [1, 2], constraint="few", exclude=many)
    nothing = request(recommender, [1, 2], constraint="few", exclude=(*many, *range(40)))
    some, none = with_engine(engine, lambda: asyncio.gather(engine.beam(left), engine.beam(nothing)))
    assert sorted(some.items.tolist()) == list(range(30, 40))
    assert none.items.shape == none.scores.shape == (0,)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"constraint": "nobody"}, UnknownNameError, "those that exist are all, few"),
        ({"constraint": "few &"}, ConfigError, "the name of a set"),
        ({"constraint": "few - few"}, EmptySetError, "holds none of the 200 items"),
        ({"num_beams": 5000}, ConfigError, "num_beams is 5000; expected at most 1024"),
        ({"prompt": (1, 10**6)}, ConfigError, "token 1000000"),
        ({"prompt": (1,) * 10**6}, ConfigError, "shorter history"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    recommender: GenerativeRecommender, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    engine = TreeEngine(recommender)
    engine.sets.put("few", [1, 2])
    asked = BeamRequest(**{"prompt": (1, 2), "n": 1, "num_beams": 2, **change})
    with pytest.raises(error, match=words):
        with_engine(engine, lambda: engine.beam(asked))


def test_a_request_keeps_the_set_that_it_began_with(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    old, new = set(range(100)), set(range(100, 200))

    async def work() -> None:
        for turn in range(6):
            before, after = (old, new) if turn % 2 == 0 else (new, old)
            engine.sets.put("now", sorted(before))
            first = [asyncio.create_task(engine.beam(request(recommender, [turn], constraint="now"))) for _ in range(8)]
            await asyncio.sleep(0)  # they are in the queue
            engine.sets.put("now", sorted(after))
            later = [asyncio.create_task(engine.beam(request(recommender, [turn], constraint="now"))) for _ in range(8)]
            for result in await asyncio.gather(*first):
                assert set(result.items.tolist()) <= before
            for result in await asyncio.gather(*later):
                assert set(result.items.tolist()) <= after

    with_engine(engine, work)


def test_requests_that_nobody_waits_for_are_dropped(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender, config=TreeConfig(max_rows=12))

    async def work() -> None:
        tasks = [asyncio.create_task(engine.beam(request(recommender, [1, 2]))) for _ in range(40)]
        await asyncio.sleep(0)
        for task in tasks[5:]:
            task.cancel()
        assert all(len(result.items) == 10 for result in await asyncio.gather(*tasks[:5]))
        await engine.beam(request(recommender, [3]))

    with_engine(engine, work)
    stats = engine.stats()
    assert stats["cancelled"] + stats["batches"] == 41
    assert stats["cancelled"] >= 30


def test_a_full_queue_says_so(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender, config=TreeConfig(max_waiting=3, max_rows=12))

    async def work() -> list[Any]:
        return await asyncio.gather(
            *(engine.beam(request(recommender, [1])) for _ in range(30)), return_exceptions=True
        )

    found = with_engine(engine, work)
    busy = [result for result in found if isinstance(result, EngineBusyError)]
    assert 20 <= len(busy) <= 27
    assert "requests wait already; expected fewer than 3" in str(busy[0])
    assert all(isinstance(result, BeamResult | EngineBusyError) for result in found)


def test_under_load_beams_become_narrow_and_lists_stay_full(recommender: GenerativeRecommender) -> None:
    policy = LoadPolicy([LoadStep(0.5, 0.5)])
    engine = TreeEngine(recommender, config=TreeConfig(max_waiting=16, max_rows=10**6), load=policy)
    asked = [request(recommender, [row], n=8, num_beams=40) for row in range(16)]
    found = with_engine(engine, lambda: asyncio.gather(*map(engine.beam, asked)))
    tokens = [result.beam_tokens for result in found]
    assert tokens[-1] == 20 * 3
    assert all(len(result.items) == 8 for result in found)
    same(found[-1], recommender.recommend(Histories.from_lists([[15]]), 8, num_beams=20))


def test_an_engine_that_is_not_running_says_so(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    asked = request(recommender, [1])
    with pytest.raises(EngineDeadError, match="not running"):
        asyncio.run(engine.beam(asked))
    with_engine(engine, lambda: engine.beam(asked))
    with pytest.raises(EngineDeadError, match="not running"):
        asyncio.run(engine.beam(asked))
    asyncio.run(engine.close())


def test_closing_answers_what_was_accepted(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender, config=TreeConfig(max_rows=12))
    before = set(threading.enumerate())

    async def work() -> list[BeamResult]:
        await engine.start()
        tasks = [asyncio.create_task(engine.beam(request(recommender, [row]))) for row in range(12)]
        await asyncio.sleep(0)
        await engine.close()
        return await asyncio.gather(*tasks)

    assert all(len(result.items) == 10 for result in asyncio.run(work()))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "tree-engine"]


def test_a_request_that_breaks_the_model_breaks_no_other(
    recommender: GenerativeRecommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TreeEngine(recommender)
    searched = recommender.search

    def fragile(prompts: Any, *rest: Any) -> Recommendations:
        if any(len(prompt) == 1 + 3 * 7 for prompt in prompts):
            raise RuntimeError("out of memory")
        return searched(prompts, *rest)

    monkeypatch.setattr(recommender, "search", fragile)
    asked = [request(recommender, [1] * length) for length in (5, 6, 7, 8)]

    async def work() -> list[Any]:
        return await asyncio.gather(*map(engine.beam, asked), return_exceptions=True)

    found = with_engine(engine, work)
    assert [type(result).__name__ for result in found] == ["BeamResult", "BeamResult", "RuntimeError", "BeamResult"]
