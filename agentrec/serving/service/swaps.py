"""When a swapped constraint set may be acknowledged: as soon as no answer made under the old one is still on its way.

Every answer is held against the sets once more when it is written; from there until its last byte is handed to the
socket it holds a ticket. Who swaps a set waits for the tickets that were out at that moment, which takes microseconds
unless a client does not read. Later answers are made under the new set.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from agentrec.core.errors import AgentrecError

Scope = MutableMapping[str, Any]
TICKETS = "agentrec.tickets"


class UndeliveredError(AgentrecError):
    """A set is swapped, and a client has not yet taken an answer made under the old one."""


@dataclass(frozen=True)
class OneAnswer:
    """The answer to one request, as those see it who know nothing of HTTP.

    Attributes:
        swaps: all answers on their way.
        scope: of the request.
    """

    swaps: Swaps
    scope: Scope

    def claim(self) -> None:
        """See `Swaps.claim`."""
        self.swaps.claim(self.scope)

    def release(self) -> None:
        """See `Swaps.release`."""
        self.swaps.release(self.scope)


class Swaps:
    """The answers on their way; belongs to one event loop."""

    def __init__(self) -> None:
        self._out: set[asyncio.Future[None]] = set()

    def begin(self, scope: Scope) -> None:
        """A request begins."""
        scope[TICKETS] = []

    def claim(self, scope: Scope) -> None:
        """An answer is about to be held against the sets, and to be sent if it passes."""
        ticket = asyncio.get_running_loop().create_future()
        self._out.add(ticket)
        scope[TICKETS].append(ticket)

    def release(self, scope: Scope) -> None:
        """The answer is sent, or it is not sent after all."""
        while scope[TICKETS]:
            ticket = scope[TICKETS].pop()
            self._out.discard(ticket)
            ticket.set_result(None)

    async def settle(self, seconds: float) -> None:
        """Wait for the answers that are on their way now.

        Raises:
            UndeliveredError: they were not delivered in time.
        """
        waiting = set(self._out)
        if not waiting:
            return
        _, left = await asyncio.wait(waiting, timeout=seconds)
        if left:
            raise UndeliveredError(
                f"the set is swapped, but {len(left)} answers made under the old one were not taken within "
                f"{seconds:g} s; expected clients to read them, so ask again"
            )
