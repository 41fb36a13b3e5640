"""Chats go through to the server behind the engine as they are: bodies, statuses and streams."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender


def upstream_app() -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = await request.json()
        if "messages" not in asked:
            return JSONResponse({"error": {"message": "messages are missing"}}, 400)
        if not asked.get("stream"):
            return JSONResponse({"echo": asked["messages"]})

        async def words() -> AsyncIterator[str]:
            for word in ("one", "two"):
                yield f"data: {word}\n\n"

        return StreamingResponse(words(), media_type="text/event-stream")

    return app


class WithChat(TreeEngine):
    """An engine with a server behind it."""

    def __init__(self, recommender: GenerativeRecommender, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(recommender)
        self.upstream = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1")


def test_a_chat_goes_through(launch: Callable[..., Any], recommender: GenerativeRecommender) -> None:
    transport = httpx.ASGITransport(app=upstream_app())
    running = launch(build=lambda: WithChat(recommender, transport), key="ours")
    key = {"Authorization": "Bearer ours"}
    with httpx.Client(base_url=running.url, headers=key, trust_env=False) as client:

        def ask(**body: Any) -> httpx.Response:
            return client.post("/v1/chat/completions", content=json.dumps(body))

        assert ask(messages=["掛け"]).json() == {"echo": ["掛け"]}
        refused = ask()
        assert (refused.status_code, refused.json()) == (400, {"error": {"message": "messages are missing"}})
        streamed = ask(messages=[], stream=True)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.text == "data: one\n\ndata: two\n\n"
    assert running.app.state.service.gate.inside == 0


def test_a_server_that_is_gone_is_a_503(launch: Callable[..., Any], recommender: GenerativeRecommender) -> None:
    running = launch(build=lambda: WithChat(recommender, httpx.AsyncHTTPTransport()))
    asked = httpx.post(f"{running.url}/v1/chat/completions", json={"messages": []}, timeout=30, trust_env=False)
    assert asked.status_code == 503
    assert "cannot be reached" in asked.json()["error"]
    assert running.app.state.service.gate.inside == 0
