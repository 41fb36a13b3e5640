"""The application: routes, layers around them, and the engine's life from start to end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import FastAPI

from agentrec import __version__
from agentrec.core.errors import AgentrecError
from agentrec.serving.engines.protocol import Engine
from agentrec.serving.service.failures import add_failures
from agentrec.serving.service.keeping import Keeper
from agentrec.serving.service.keys import APIKey
from agentrec.serving.service.limits import BodyLimit
from agentrec.serving.service.observed import Observed
from agentrec.serving.service.pages import add_pages
from agentrec.serving.service.racing import unless
from agentrec.serving.service.routes import chat, constraints, health, items, recommendations
from agentrec.serving.service.service import Service
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.service.streams import EndingStreams

Mount = Callable[[FastAPI], Any]

ABOUT = "Recommendations by a language model that writes semantic IDs, held to sets of items that may be shown."


def build_app(
    shelf: Shelf,
    build_engine: Callable[[], Engine],
    config: ServiceConfig | None = None,
    *,
    key: str = "",
    keeper: Keeper | None = None,
    mounts: Sequence[Mount] = (),
) -> FastAPI:
    """Put the application together; the engine starts with it.

    Args:
        shelf: items and users.
        build_engine: makes an engine that is not yet started, and another one when it died; all share their sets.
        config: limits; the defaults are those of `ServiceConfig`.
        key: API key that is asked for; none by default.
        keeper: of the named sets, closed with the application; by default they end with the process.
        mounts: each puts a page of its own into the application.
    """
    config = config or ServiceConfig()
    service = Service.build(shelf, build_engine, config, keeper or Keeper())
    app = FastAPI(
        title="agentrec", version=__version__, description=ABOUT, lifespan=_life, docs_url=None, redoc_url=None
    )
    app.state.service = service
    app.state.start_error = None
    app.state.has_key = bool(key)
    for part in (recommendations, constraints, items, health, chat):
        app.include_router(part.router)
    add_failures(app)
    add_pages(app, service)
    app.add_middleware(EndingStreams, draining=service.draining)
    app.add_middleware(BodyLimit, limit=config.max_body)
    if key:
        app.add_middleware(APIKey, key=key)
    app.add_middleware(Observed, metrics=service.metrics, swaps=service.swaps)
    for mount in mounts:
        mount(app)
    return app


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.shelf.warm()
    try:
        await _start(service)
        yield
    except AgentrecError as error:
        app.state.start_error = error
        raise
    finally:
        await service.supervisor.close()
        service.keeper.close()


async def _start(service: Service) -> None:
    """Start the engine, which may take minutes, unless a signal comes first."""
    stopped = InterruptedError("the service was stopped while its engine started")
    await unless(service.draining.wait(), service.supervisor.start(), lambda: stopped)
