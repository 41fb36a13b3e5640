"""An engine as a recommender, for batches: many requests at a time, one event loop that lives as long as the engine."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import numpy as np

from agentrec.core.types import PAD, Histories, IntArray, Recommendations
from agentrec.serving.engines.protocol import BeamRequest, BeamResult
from agentrec.serving.service.engines import Served

AT_ONCE = 64  # requests under way


class EngineRecommender:
    """Follows `agentrec.core.protocols.Recommender` inside a ``with`` block, which starts and closes the engine.

    Args:
        served: a generator behind an engine.
        num_beams: beam width; the model's own by default, widened to longer lists.
    """

    def __init__(self, served: Served, *, num_beams: int | None = None) -> None:
        self._served = served
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
        places = asyncio.Semaphore(AT_ONCE)

        async def one(history: IntArray) -> BeamResult:
            request = BeamRequest(
                prompt=tuple(self._served.form.prompt(history)),
                n=n,
                num_beams=max(self._num_beams, n),
                exclude=tuple(np.unique(history).tolist()) if exclude_seen else (),
            )
            async with places:
                return await self._engine.beam(request)

        return list(await asyncio.gather(*(one(history) for history in histories)))
