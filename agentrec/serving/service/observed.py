"""The outermost layer: every request gets an id, a line in the log and a place in the figures, and never a bare 500."""

from __future__ import annotations

import logging
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentrec.serving.service.failures import failure
from agentrec.serving.service.leaving import LEFT
from agentrec.serving.service.logs import where
from agentrec.serving.service.metrics import Metrics
from agentrec.serving.service.swaps import Swaps

LOG = logging.getLogger("agentrec.service")
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Observed:
    """ASGI middleware.

    Args:
        app: the application.
        metrics: counts requests.
        swaps: is told when an answer is delivered.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, swaps: Swaps) -> None:
        self.app = app
        self.metrics = metrics
        self.swaps = swaps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name, began = uuid.uuid4().hex[:16], time.perf_counter()
        status, done, left = 0, False, False

        async def hearing() -> Message:
            nonlocal status, left
            message = await receive()
            if message["type"] == "http.disconnect" and not done:
                status, left = status or LEFT, True
            return message

        async def noting(message: Message) -> None:
            nonlocal status, done
            if message["type"] == "http.response.start":
                status = status or message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            done = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        self.swaps.begin(scope)
        try:
            await self.app(scope, hearing, noting)
        except Exception as error:
            LOG.error("an error that was not foreseen", extra={"facts": {"request": name, **where(error)}})
            if not status:
                told = f"the service met an error that was not foreseen; report it with the request id {name}"
                await failure(500, told)(scope, receive, noting)
        finally:
            self.swaps.release(scope)
            if left:
                self.metrics.left.labels(route_of(scope)).inc()
            self._note(scope, name, status, time.perf_counter() - began)

    def _note(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.observe(route, method, status, seconds)
        facts = {"request": name, "method": method, "route": route, "status": status, "ms": round(1000 * seconds, 2)}
        LOG.info("request", extra={"facts": facts})


def route_of(scope: Scope) -> str:
    """The route as declared, or the page, or ``none`` for paths that lead nowhere."""
    route = getattr(scope.get("route"), "path", None)
    if isinstance(route, str):
        return route
    return "/ui" if scope.get("path", "").startswith("/ui") else "none"
