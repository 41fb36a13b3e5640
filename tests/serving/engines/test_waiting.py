"""Answers cross from a thread to an event loop once, and no more requests are under way than an engine takes."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from agentrec.serving.engines.protocol import BeamResult, EngineBusyError
from agentrec.serving.engines.waiting import Awaited, UnderWay


def settled_elsewhere(awaited: Awaited, *results: Any) -> None:
    """Settle from another thread, one result after the other."""
    thread = threading.Thread(target=lambda: [awaited.settle(result) for result in results])
    thread.start()
    thread.join(60)


def test_the_first_answer_counts_whatever_comes_after_it() -> None:
    async def scenario() -> None:
        one, other = Awaited(), Awaited()
        settled_elsewhere(one, "first", ValueError("later"))
        settled_elsewhere(other, ValueError("first"), "later")
        assert await asyncio.wait_for(one.future, 20) == "first"
        with pytest.raises(ValueError, match="first"):
            await asyncio.wait_for(other.future, 20)

    asyncio.run(scenario())


def test_nobody_who_left_is_disturbed() -> None:
    async def leave() -> Awaited:
        awaited = Awaited()
        awaited.future.cancel()
        settled_elsewhere(awaited, "too late")
        await asyncio.sleep(0)
        assert awaited.future.cancelled()
        return Awaited()

    settled_elsewhere(asyncio.run(leave()), "its loop is closed")


def test_places_are_limited_and_come_back() -> None:
    under_way = UnderWay(2)

    def break_off() -> None:
        with under_way.one():
            assert under_way.now == 2
            with pytest.raises(EngineBusyError, match="2 requests are under way; expected fewer than 2"):
                under_way.one().__enter__()
            raise RuntimeError("broken")

    with under_way.one():
        with pytest.raises(RuntimeError, match="broken"):
            break_off()
        assert under_way.now == 1
    under_way.answered(BeamResult(np.zeros(0, np.int64), np.zeros(0, np.float32), 5, 7))
    expected = {"requests": 2, "batches": 0, "prompt_tokens": 5, "beam_tokens": 7}
    assert (under_way.now, under_way.counts) == (0, expected)
