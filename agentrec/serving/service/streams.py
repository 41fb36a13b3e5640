"""Ends the endless streams of pages when the service is shut down; an answer to a request is never cut."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = "/ui"


class EndingStreams:
    """ASGI middleware.

    Args:
        app: the application.
        draining: set when the service is shut down.
    """

    def __init__(self, app: ASGIApp, *, draining: asyncio.Event) -> None:
        self.app = app
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one of a page until the service ends at most."""
        if scope["type"] != "http" or not scope["path"].startswith(PAGES):
            await self.app(scope, receive, send)
            return
        begun = done = False

        async def noting(message: Message) -> None:
            nonlocal begun, done
            begun = True
            done = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        answering = asyncio.ensure_future(self.app(scope, receive, noting))
        ending = asyncio.ensure_future(self.draining.wait())
        try:
            await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            if begun and not done:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            answering.cancel()
            ending.cancel()
