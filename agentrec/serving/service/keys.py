"""An optional API key: as a bearer token, or as the password that a browser asks for when it opens the page."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from agentrec.serving.service.failures import WORDS, failure

OPEN = frozenset({"/health", "/ready"})  # for whoever watches the process


class APIKey:
    """ASGI middleware.

    Args:
        app: the application.
        key: asked of everybody but watchers of the process.
    """

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        self.app = app
        self.key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._fits(scope):
            page = scope["path"].startswith("/ui") or scope["path"] in ("/docs", "/openapi.json")
            challenge = 'Basic realm="agentrec"' if page else "Bearer"
            await failure(401, WORDS[401], {"WWW-Authenticate": challenge})(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _fits(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, rest = given.partition(b" ")
        if kind.lower() == b"bearer":
            return hmac.compare_digest(rest.strip(), self.key)
        if kind.lower() == b"basic":
            try:
                _, _, password = base64.b64decode(rest, validate=True).partition(b":")
            except binascii.Error:
                return False
            return hmac.compare_digest(password, self.key)
        return False
