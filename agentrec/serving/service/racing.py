"""Work that is given up when something else happens first: a client leaves, an engine dies, a signal comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def unless(happens: Awaitable[Any], work: Awaitable[Answer], error: Callable[[], Exception]) -> Answer:
    """What work comes to, or an error when something happens before that; whichever comes later is cancelled.

    Args:
        happens: ends when the work is not wanted any more.
        work: what is wanted.
        error: makes what is raised in its place.
    """
    working, happening = asyncio.ensure_future(work), asyncio.ensure_future(happens)
    working.add_done_callback(_looked_at)
    try:
        await asyncio.wait({working, happening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise error()
        return working.result()
    finally:
        working.cancel()
        happening.cancel()


def _looked_at(done: asyncio.Future[Any]) -> None:
    """Look at the error of work that nobody waits for any more, so that asyncio does not report it."""
    if not done.cancelled():
        done.exception()
