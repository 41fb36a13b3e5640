"""Runs the application until a signal, drains it, and says by the exit code how it ended.

SIGTERM and SIGINT: `/ready` turns to 503, no connection is accepted any more, requests under way are answered, those
of clients that have connected but not asked yet among them, the engine is closed, exit code 0. A second signal ends at
once. A lost engine ends the service with exit code 1, so that whoever watches the process starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from agentrec.core.errors import AgentrecError, ServingWarning
from agentrec.serving.service.logs import log_config
from agentrec.serving.service.service import Service
from agentrec.serving.service.settings import KEY_VARIABLE, ServiceConfig

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ARRIVAL = 2.0  # seconds in which a client that connected before the signal may still send its request


class Server(uvicorn.Server):
    """A server whose signals drain the service.

    Args:
        config: of uvicorn.
        service: told when it drains.
        say: told where the service listens, once it does.

    Attributes:
        exit_code: 0, or 1 once the engine is lost.
    """

    def __init__(self, config: uvicorn.Config, service: Service, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._service = service
        self._say = say
        service.supervisor.on_lost = self._lost

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._say(f"http://{_shown(self.config.host)}:{self.port}")

    @property
    def port(self) -> int:
        """Where it listens, a free port included."""
        found: int = self.servers[0].sockets[0].getsockname()[1]
        return found

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike uvicorn's own, a drained service has not died of its signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody, wait for those who have connected and not asked yet (uvicorn cuts them off), and end."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + ARRIVAL
        while self._awaits_requests() and loop.time() < until and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _awaits_requests(self) -> bool:
        """Whether a client has connected and asked nothing yet."""
        return any(getattr(connection, "cycle", connection) is None for connection in self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at once with a second signal."""
        if self._loop is None:
            self._service.draining.set()
        else:  # a signal does not wake the loop by itself
            self._loop.call_soon_threadsafe(self._service.draining.set)
        self.force_exit = self.should_exit
        self.should_exit = True

    def _lost(self) -> None:
        self.exit_code = 1
        self.should_exit = True


def server_of(app: FastAPI, config: ServiceConfig, say: Callable[[str], None], *, log_level: str = "info") -> Server:
    """A server that is not started yet; arguments as `run`."""
    service: Service = app.state.service
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        lifespan="on",
        log_config=log_config(log_level),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(config.drain)),
    )
    return Server(settings, service, say)


def run(
    app: FastAPI, config: ServiceConfig, *, say: Callable[[str], None] = lambda _: None, log_level: str = "info"
) -> int:
    """Serve until a signal comes or the engine is lost.

    Args:
        app: from `agentrec.serving.service.app.build_app`.
        config: where to listen, and how long to drain.
        say: told the address once the service answers.
        log_level: of the JSON lines on stderr.

    Returns:
        Exit code.

    Raises:
        AgentrecError: the engine could not be started, or the address is taken.

    Warns:
        ServingWarning: anybody who reaches the machine may ask, because there is no API key.
    """
    if not config.is_local and not app.state.has_key:
        warnings.warn(
            f"the service listens on {config.host}, which others can reach, and asks for no API key; set "
            f"{KEY_VARIABLE} or keep to 127.0.0.1",
            ServingWarning,
            stacklevel=2,
        )
    server = server_of(app, config, say, log_level=log_level)
    with contextlib.suppress(SystemExit):  # how uvicorn says that it cannot listen
        server.run()
    if app.state.start_error is not None:
        raise app.state.start_error
    if app.state.service.draining.is_set() and not server.started:
        return 0
    if not server.started:
        raise AgentrecError(
            f"the service could not listen on {config.host}:{config.port}; expected a free port and an address of this "
            "machine, so choose others with --host and --port"
        )
    return server.exit_code


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
