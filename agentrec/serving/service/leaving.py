"""Clients that go away before they are answered: what was begun for them is given up.

Their places in the gate and in the engine's queue are free at once, and an engine stops what it can stop: the tree
engine drops what waits and texts, vLLM aborts the request, and a vLLM server sees its own connection close.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from agentrec.core.errors import AgentrecError
from agentrec.serving.service.racing import unless

LEFT = 499  # how proxies call the status of a request whose client went away; nobody reads it but logs and figures

Answer = TypeVar("Answer")


class LeftError(AgentrecError):
    """The client went away."""


async def while_there(request: Request, work: Awaitable[Answer]) -> Answer:
    """What work comes to; it is cancelled when the client goes away.

    Args:
        request: whose body is read.
        work: done for this client alone, and harmless to give up.

    Raises:
        LeftError: the client went away.
    """
    return await unless(_gone(request), work, lambda: LeftError("the client went away before it was answered"))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
