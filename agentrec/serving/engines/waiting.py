"""Those who wait for an engine: in an event loop while a thread works for them, and how many an engine takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentrec.serving.engines.protocol import BeamResult, EngineBusyError


@dataclass(eq=False)
class Awaited:
    """Something that an event loop awaits and another thread settles; made in that loop.

    Attributes:
        loop: that waits.
        future: what is awaited; done early where nobody waits any more.
    """

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop, kw_only=True, repr=False)
    future: asyncio.Future[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def settle(self, result: Any) -> None:
        """Hand over a result or an exception, from any thread; nobody may be waiting any more."""

        def tell() -> None:
            if not self.future.done():
                (self.future.set_exception if isinstance(result, BaseException) else self.future.set_result)(result)

        try:
            self.loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop was closed, and with it everybody who waited
            return


class UnderWay:
    """The requests that an engine works on; belongs to one event loop.

    Args:
        limit: so many at a time at most.

    Attributes:
        now: how many there are.
        counts: what was done from the start, as `Engine.stats` names it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.now = 0
        self.counts = dict.fromkeys(("requests", "batches", "prompt_tokens", "beam_tokens"), 0)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Work on one more.

        Raises:
            EngineBusyError: there are too many.
        """
        if self.now >= self.limit:
            raise EngineBusyError(
                f"{self.now} requests are under way; expected fewer than {self.limit}, so try again in a moment"
            )
        self.counts["requests"] += 1
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1

    def answered(self, result: BeamResult) -> None:
        """Count the tokens of a search."""
        self.counts["prompt_tokens"] += result.prompt_tokens
        self.counts["beam_tokens"] += result.beam_tokens
