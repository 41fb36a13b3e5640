"""``POST /v1/chat/completions``: the OpenAI API of the server behind the engine, passed through for agents.

Bodies and answers go through as they are, streams included. Only an engine that is an OpenAI-compatible server itself
has one to offer; the others answer 501.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from agentrec.serving.engines.protocol import EngineDeadError
from agentrec.serving.service.failures import failure, failures
from agentrec.serving.service.leaving import while_there
from agentrec.serving.service.service import Parts, Service

router = APIRouter(tags=["chat"])

PASSED = ("content-type", "cache-control")


@router.post(
    "/v1/chat/completions",
    response_class=Response,
    responses={**failures(401, 413, 429, 501, 503, 504), 200: {"content": {"application/json": {}}}},
)
async def chat(request: Request, service: Parts) -> Response:
    """Pass a chat on to the server behind the engine."""
    upstream = getattr(service.supervisor.engine, "upstream", None)
    if upstream is None:
        return failure(
            501,
            f"the engine {service.supervisor.engine.name!r} has no chat; expected a service that was started with "
            "--engine vllm-http, so start one, or ask a vLLM server itself",
        )
    with contextlib.ExitStack() as places:
        places.enter_context(service.gate.entered())
        body = await request.body()
        answer = await while_there(request, _ask(upstream, body, service))
        held = places.pop_all()
    headers = {name: answer.headers[name] for name in PASSED if name in answer.headers}
    return StreamingResponse(_passed(answer, held), answer.status_code, headers)


async def _ask(upstream: httpx.AsyncClient, body: bytes, service: Service) -> httpx.Response:
    """The beginning of the answer, whose body is not read yet."""
    asked = upstream.build_request(
        "POST",
        "/v1/chat/completions",
        content=body,
        headers={"content-type": "application/json"},
        timeout=service.config.deadline,
    )
    try:
        return await upstream.send(asked, stream=True)
    except httpx.TimeoutException as error:
        raise service.too_late() from error
    except httpx.TransportError as error:
        service.supervisor.report_death()
        raise EngineDeadError("the server behind the engine cannot be reached; ask again in a few seconds") from error


async def _passed(answer: httpx.Response, held: contextlib.ExitStack) -> AsyncIterator[bytes]:
    with held:
        try:
            async for part in answer.aiter_bytes():
                yield part
        finally:
            await answer.aclose()
