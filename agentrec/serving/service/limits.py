"""How large a body may be: what says so is refused at once, what only turns out so while it is read is refused then."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentrec.serving.service.failures import failure

READ_ON = 67_108_864  # bytes read and thrown away, because a client that still writes does not see an answer
READ_FOR = 5.0  # seconds


class BodyLimit:
    """ASGI middleware.

    Args:
        app: the application.
        limit: bytes.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if claimed.isdigit() and int(claimed) > self.limit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READ_FOR):
                    await _read_off(receive)
            await failure(413, self._told(int(claimed)), {"Connection": "close"})(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(READ_FOR):
                        await _read_off(receive)
                raise HTTPException(413, self._told(read), {"Connection": "close"})
            return message

        await self.app(scope, counted, send)

    def _told(self, size: int) -> str:
        return f"the body has {size} bytes or more; expected at most {self.limit}, so send less at once"


async def _read_off(receive: Receive) -> None:
    left = READ_ON
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
