"""What routes share: the shop, the engine, the gate, the figures; one object per application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.engines.protocol import Engine
from agentrec.serving.service.failures import TooLateError
from agentrec.serving.service.gate import Gate
from agentrec.serving.service.item_search import ItemSearch
from agentrec.serving.service.keeping import Keeper
from agentrec.serving.service.metrics import Metrics
from agentrec.serving.service.recommending import Recommending
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.service.supervisor import Supervisor
from agentrec.serving.service.swaps import Swaps


@dataclass(frozen=True)
class Service:
    """The parts of a running service.

    Attributes:
        config: its settings.
        shelf: items and users.
        supervisor: of the engine.
        gate: how many requests run or wait.
        swaps: answers on their way.
        keeper: makes changes of named sets.
        search: of items.
        recommending: answers requests.
        metrics: figures.
        draining: set once no new requests are wanted.
    """

    config: ServiceConfig
    shelf: Shelf
    supervisor: Supervisor
    gate: Gate
    swaps: Swaps
    keeper: Keeper
    search: ItemSearch
    recommending: Recommending
    metrics: Metrics
    draining: asyncio.Event

    @classmethod
    def build(cls, shelf: Shelf, build_engine: Callable[[], Engine], config: ServiceConfig, keeper: Keeper) -> Service:
        """Put the parts together; nothing is started yet."""
        supervisor = Supervisor(build_engine, restarts=config.restarts)
        gate = Gate(config.max_requests)

        def gauges() -> dict[str, float]:
            own = {"in_flight": gate.inside, "ready": supervisor.state == "ready", "restarts": supervisor.restarted}
            return {**own, **{f"engine_{name}": value for name, value in supervisor.engine.stats().items()}}

        return cls(
            config=config,
            shelf=shelf,
            supervisor=supervisor,
            gate=gate,
            swaps=Swaps(),
            keeper=keeper,
            search=ItemSearch(shelf.catalogue),
            recommending=Recommending(shelf, supervisor, config),
            metrics=Metrics(gauges),
            draining=asyncio.Event(),
        )

    @property
    def sets(self) -> ConstraintSets:
        """The engine's named sets."""
        return self.supervisor.engine.sets

    def too_late(self) -> TooLateError:
        """What a request is told whose deadline passed."""
        return TooLateError(
            f"no answer came within {self.config.deadline:g} s; ask again, for fewer items or a narrower beam"
        )


def of_request(request: Request) -> Service:
    """The service that a request reached."""
    found: Service = request.app.state.service
    return found


Parts = Annotated[Service, Depends(of_request)]
