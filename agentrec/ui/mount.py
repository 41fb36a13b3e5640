"""Puts the page into an application at ``/ui``, or serves it alone beside a service that runs elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentrec.ui.client import ServiceClient
from agentrec.ui.page import build_page, look

PATH = "/ui"
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"  # the browser refuses every other site


class OwnOnly:
    """ASGI middleware that lets the page ask nobody but its own server.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the policy to every answer under the page's path."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self.app(scope, receive, guarded)


def mount_page(app: FastAPI, *, key: str = "", service: str = "") -> FastAPI:
    """Mount the page.

    Args:
        app: of the service, or any other.
        key: API key of the service.
        service: address of a service that runs elsewhere; by default ``app`` is the service.
    """
    client = ServiceClient(service or "http://service", key=key, app=None if service else app)
    options: dict[str, Any] = {"footer_links": [], "run_history": False, "pwa": False, "ssr_mode": False}
    app.add_middleware(OwnOnly)

    def mount() -> FastAPI:
        mounted: FastAPI = gr.mount_gradio_app(app, build_page(client), PATH, show_error=True, **options, **look())
        return mounted

    return in_loop(mount)


def in_loop(make: Callable[[], FastAPI]) -> FastAPI:
    """Make something while an event loop runs; where none does, Gradio opens several and closes none of them."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def alone() -> FastAPI:
            return make()

        return asyncio.run(alone())
    return make()


def page_app(service: str, *, key: str = "") -> FastAPI:
    """An application that is the page alone.

    Args:
        service: address of the service.
        key: its API key.
    """
    app = FastAPI(title="agentrec", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse(PATH)

    return mount_page(app, key=key, service=service)
