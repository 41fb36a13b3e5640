"""An engine as a recommender, for batches: many requests at a time, one event loop that lives as long as the engine.

An engine that says it is busy, perhaps because others use its server too, is asked again a little later. The first
request that fails otherwise takes back all that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

import numpy as np

from agentrec.core.types import PAD, Histories, IntArray, Recommendations
from agentrec.serving.engines.protocol import BeamRequest, BeamResult, Engine, EngineBusyError
from agentrec.serving.service.engines import Served

AT_ONCE = 64  # requests under way
LONGEST_PAUSE = 5.0  # seconds between two questions to an engine that is busy


class EngineRecommender:
    """Follows `agentrec.core.protocols.Recommender` inside a ``with`` block, which starts and closes the engine.

    Args:
        served: a generator behind an engine.
        num_beams: beam width; the model's own by default, widened to longer lists.
        patience: seconds for which a request is asked again while the engine is busy.
    """

    def __init__(self, served: Served, *, num_beams: int | None = None, patience: float = 300.0) -> None:
        self._served = served
        self._patience = patience
        self._num_beams = num_beams or served.num_beams
        self._engine = served.build()
        self._runner = asyncio.Runner()

    @property
    def num_items(self) -> int:
        """N."""
        return self._served.vocabulary.num_items

    def __enter__(self) -> Self:
        self._runner.run(self._engine.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._engine.close())
        self._runner.close()

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; raises as `agentrec.serving.engines.protocol.Engine.beam`."""
        found = self._runner.run(self._all(histories, n, exclude_seen))
        items = np.full((len(histories), n), PAD, np.int64)
        scores = np.full((len(histories), n), -np.inf, np.float32)
        for row, result in enumerate(found):
            items[row, : len(result.items)], scores[row, : len(result.items)] = result.items, result.scores
        return Recommendations(items, scores)

    async def _all(self, histories: Histories, n: int, exclude_seen: bool) -> list[BeamResult]:
        places, over = asyncio.Semaphore(AT_ONCE), asyncio.Condition()

        async def one(history: IntArray) -> BeamResult:
            request = BeamRequest(
                prompt=tuple(self._served.form.prompt(history)),
                n=n,
                num_beams=max(self._num_beams, n),
                exclude=tuple(np.unique(history).tolist()) if exclude_seen else (),
            )
            async with places:
                return await _answer(self._engine, request, over, self._patience)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(history)) for history in histories]
        except* Exception as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]


async def _answer(engine: Engine, request: BeamRequest, over: asyncio.Condition, patience: float) -> BeamResult:
    """What an engine answers once it is not busy; raises as `Engine.beam` when patience is at its end.

    It is asked again when one of our requests is over, which ``over`` tells one who waits, and after a pause at the
    latest.
    """
    until, pause = time.monotonic() + patience, 0.05
    while True:
        try:
            result = await engine.beam(request)
            break
        except EngineBusyError:
            if time.monotonic() + pause > until:
                raise
        async with over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    async with over:
        over.notify()
    return result
