"""Keeps an engine running: notices that it died, answers everybody at once, starts another, and knows when to give up.

An engine may die while a request waits for it, or while nobody asks; `Supervisor.watch` looks every second. Requests
that were under way then fail together with one sentence, whatever the engine does with them, so that nothing hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from agentrec.serving.engines.protocol import Engine, EngineDeadError
from agentrec.serving.service.racing import unless

Answer = TypeVar("Answer")
State = Literal["starting", "ready", "restarting", "lost", "closed"]

LOG = logging.getLogger("agentrec.service")
LOOK_EVERY = 1.0  # seconds
START_WITHIN = 600.0  # seconds, for a large model
CLOSE_WITHIN = 10.0


class Supervisor:
    """One engine at a time, and its state.

    Args:
        build: makes an engine that is not yet started; all of them share their named sets.
        restarts: attempts to start another when one died.
        pause: seconds before the first attempt, doubled each time.

    Attributes:
        engine: the one that is asked.
        state: of the engine.
        restarted: how often it came back.
        on_lost: called when it did not; the service then ends.
    """

    def __init__(self, build: Callable[[], Engine], *, restarts: int = 3, pause: float = 0.5) -> None:
        self._build = build
        self.engine = build()
        self.state: State = "starting"
        self.restarted = 0
        self.on_lost: Callable[[], None] = lambda: None
        self._restarts = restarts
        self._pause = pause
        self._died = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the engine and watch it.

        Raises:
            EngineDeadError: it could not be started.
        """
        await self.engine.start()
        self.state = "ready"
        self._spawn(self._watch())

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask the engine something.

        Raises:
            EngineDeadError: it is not ready, or died before the answer came.
        """
        if self.state != "ready":
            raise self.dead()
        try:
            return await unless(self._died.wait(), call(), self.dead)
        except EngineDeadError:
            self.report_death()
            raise

    def report_death(self) -> None:
        """Fail what is under way and begin to start the engine again; further reports of the same death do nothing."""
        if self.state != "ready":
            return
        self.state = "restarting"
        self._died.set()
        LOG.error("the engine died", extra={"facts": {"engine": self.engine.name}})
        self._spawn(self._restart())

    async def close(self) -> None:
        """Stop watching and close the engine."""
        self.state = "closed"
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close_engine()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.state == "ready" and not self.engine.stats().get("alive", 1.0):
                self.report_death()

    async def _restart(self) -> None:
        for attempt in range(self._restarts):
            await self._close_engine()
            await asyncio.sleep(self._pause * 2**attempt)
            try:
                async with asyncio.timeout(START_WITHIN):
                    self.engine = self._build()
                    await self.engine.start()
            except Exception as error:  # whatever it is, the next attempt or the end of the service follows
                facts = {"engine": self.engine.name, "attempt": attempt + 1, "reason": type(error).__name__}
                LOG.error("the engine could not be started again", extra={"facts": facts})
                continue
            self._died = asyncio.Event()
            self.state = "ready"
            self.restarted += 1
            LOG.warning("the engine runs again", extra={"facts": {"engine": self.engine.name}})
            return
        self.state = "lost"
        LOG.critical("the engine is lost, and the service ends", extra={"facts": {"engine": self.engine.name}})
        self.on_lost()

    async def _close_engine(self) -> None:
        with contextlib.suppress(Exception):  # a dead engine may not be able to close
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.engine.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def dead(self) -> EngineDeadError:
        """Why nothing can be asked now."""
        words = {
            "restarting": "died and is started again; ask again in a few seconds",
            "starting": "is being started; ask again in a few seconds",
            "lost": "died and could not be started again; the service ends",
        }
        return EngineDeadError(f"the engine {self.engine.name!r} {words.get(self.state, 'is closed; ask elsewhere')}")
