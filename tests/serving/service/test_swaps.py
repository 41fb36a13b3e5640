"""Sets are swapped while requests run: no answer after the acknowledgement holds an item outside the new set."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.recommending import TRIES, inside
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.service.swaps import Swaps, UndeliveredError

HALVES = (frozenset(range(60)), frozenset(range(60, 120)))
KINDS = ("live", "", "even", "live & even", "nowhere")
READING = 0.2  # seconds in which the client reads what was already delivered when it read the acknowledgement


def ids(items: Any) -> list[str]:
    return [f"i{item}" for item in sorted(items)]


def numbers(answer: httpx.Response) -> list[int]:
    return [int(item["id"][1:]) for item in answer.json()["items"]]


class Slow(GenerativeRecommender):
    """A generator whose searches wait until they are let through."""

    def __init__(self, whole: GenerativeRecommender) -> None:
        super().__init__(whole.model, whole.tokenizer, whole.vocabulary, whole.form)
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def search(self, *args: Any, **more: Any) -> Any:
        found = super().search(*args, **more)
        self.began.set()
        assert self.go_on.wait(20)
        return found


@pytest.fixture
def slow(recommender: GenerativeRecommender, launch: Callable[..., Any]) -> tuple[Slow, Any]:
    model = Slow(recommender)
    sets = ConstraintSets(model.index)
    sets.put("live", sorted(HALVES[0]))
    return model, launch(build=lambda: TreeEngine(model, sets))


def under_way(model: Slow, url: str, then: Callable[[], httpx.Response]) -> tuple[httpx.Response, httpx.Response]:
    """The answers of a request, and of what is done while the engine still works on it."""
    answers: list[httpx.Response] = []
    body = {"history": ["i1"], "n": 8, "constraint": "live"}

    def ask() -> None:
        answers.append(httpx.post(f"{url}/v1/recommendations", json=body, timeout=30, trust_env=False))

    model.began.clear()
    model.go_on.clear()
    asking = threading.Thread(target=ask)
    asking.start()
    assert model.began.wait(20)
    done = then()
    model.go_on.set()
    asking.join(60)
    return answers[0], done


def test_a_request_under_way_is_held_to_the_new_set(slow: tuple[Slow, Any]) -> None:
    model, running = slow
    new = {"items": ids(HALVES[1])}
    found, put = under_way(
        model, running.url, lambda: httpx.put(f"{running.url}/v1/constraints/live", json=new, trust_env=False)
    )
    assert put.status_code == 200
    assert found.status_code == 200
    assert len(numbers(found)) == 8
    assert set(numbers(found)) <= HALVES[1]


def test_a_request_under_way_whose_set_is_removed_is_told(slow: tuple[Slow, Any]) -> None:
    model, running = slow
    found, removed = under_way(
        model, running.url, lambda: httpx.delete(f"{running.url}/v1/constraints/live", trust_env=False)
    )
    assert removed.status_code == 204
    assert found.status_code == 404
    assert "'live'" in found.json()["error"]


def test_what_is_outside_a_set_is_known_at_once(recommender: GenerativeRecommender) -> None:
    sets = ConstraintSets(recommender.index)
    sets.put("live", [3, 5])
    items = np.array([5, 4, 3, 119])
    assert inside(sets, "live", items).tolist() == [True, False, True, False]
    assert inside(sets, "", items).all()
    sets.put("live", [4])
    assert inside(sets, "live", items).tolist() == [False, True, False, False]


def test_an_acknowledgement_waits_for_answers_on_their_way() -> None:
    async def scenario() -> None:
        swaps = Swaps()
        first: dict[str, Any] = {}
        second: dict[str, Any] = {}
        await swaps.settle(0)
        for scope in (first, second):
            swaps.begin(scope)
        swaps.claim(first)
        with pytest.raises(UndeliveredError, match="1 answers"):
            await swaps.settle(0.01)
        settling = asyncio.ensure_future(swaps.settle(5))
        await asyncio.sleep(0)
        swaps.claim(second)  # later than the swap, so nobody waits for it
        assert not settling.done()
        swaps.release(first)
        await asyncio.wait_for(settling, 1)
        swaps.release(second)
        await swaps.settle(0)

    asyncio.run(scenario())


@dataclass
class Load:
    """Mixed requests at concurrency 16 against a service whose set ``live`` is swapped all the while."""

    url: str
    requests: int
    swap_every: float
    thinks: float = 0.0  # share of the requests that ask for text in front of the items
    swaps: list[tuple[float, float]] = field(default_factory=list)  # asked, acknowledged; the halves take turns
    answers: list[tuple[float, float, str, int, list[int]]] = field(default_factory=list)

    async def run(self) -> None:
        rng = np.random.default_rng(0)
        plan = [
            (KINDS[kind], ids(rng.integers(0, 120, length)), int(n), bool(draw < self.thinks))
            for kind, length, n, draw in zip(
                rng.choice(5, self.requests, p=[0.4, 0.2, 0.15, 0.2, 0.05]),
                rng.integers(1, 30, self.requests),
                rng.integers(1, 40, self.requests),
                rng.random(self.requests),
                strict=True,
            )
        ]
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as client:
            await self._swap(client)
            swapping = asyncio.ensure_future(self._keep_swapping(client))
            await asyncio.gather(*(self._work(client, plan) for _ in range(16)))
            swapping.cancel()

    async def _keep_swapping(self, client: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(self.swap_every)
            await self._swap(client)

    async def _swap(self, client: httpx.AsyncClient) -> None:
        asked = time.perf_counter()
        answer = await client.put("/v1/constraints/live", json={"items": ids(HALVES[len(self.swaps) % 2])})
        assert answer.status_code == 200, answer.text
        self.swaps.append((asked, time.perf_counter()))

    async def _work(self, client: httpx.AsyncClient, plan: list[tuple[str, list[str], int, bool]]) -> None:
        while plan:
            constraint, history, n, thinks = plan.pop()
            asked = time.perf_counter()
            body = {"history": history, "n": n, "constraint": constraint}
            if thinks:
                body |= {"mode": "think", "max_tokens": 3, "n": min(n, 5)}
            answer = await client.post("/v1/recommendations", json=body)
            items = numbers(answer) if answer.status_code == 200 else []
            self.answers.append((asked, time.perf_counter(), constraint, answer.status_code, items))

    def halves(self, asked: float, answered: float) -> list[int]:
        """Which halves ``live`` may have been for somebody who asked and was answered at these times."""
        later = [*(acknowledged for _, acknowledged in self.swaps[1:]), float("inf")]
        since = max(asked, answered - READING)
        return [
            number % 2
            for number, ((put, _), replaced) in enumerate(zip(self.swaps, later, strict=True))
            if put < answered and replaced > since
        ]


def check(load: Load) -> None:
    assert len(load.answers) == load.requests
    certain = 0
    for asked, answered, constraint, status, items in load.answers:
        assert status == (404 if constraint == "nowhere" else 200)
        assert len(set(items)) == len(items)
        assert set(items) <= set(range(120))
        if "even" in constraint:
            assert not any(item % 2 for item in items)
        if "live" in constraint:
            halves = load.halves(asked, answered)
            certain += len(set(halves)) == 1
            assert set(items) <= frozenset().union(*(HALVES[half] for half in halves))
        swapped = sum(asked < acknowledged and put < answered for put, acknowledged in load.swaps)
        assert items or status == 404 or swapped >= TRIES
    assert certain > load.requests // 10


def test_nothing_gets_lost_and_nothing_slips_through(launch: Callable[..., Any]) -> None:
    load = Load(launch().url, 200, 0.4)
    asyncio.run(load.run())
    check(load)
    assert len(load.swaps) >= 2


@pytest.mark.slow
def test_two_thousand_requests_and_a_swap_every_second(
    launch: Callable[..., Any], thinker: GenerativeRecommender, thinking_shelf: Shelf
) -> None:
    sets = ConstraintSets(thinker.index)
    sets.put("even", range(0, 120, 2))
    running = launch(None, lambda: TreeEngine(thinker, sets), thinking_shelf)
    load = Load(running.url, 2000, 1.0, thinks=0.1)
    asyncio.run(load.run())
    check(load)
    assert len(load.swaps) >= 3
    assert running.app.state.service.gate.inside == 0
