"""When a swapped constraint set may be acknowledged: as soon as no answer made under the old one is still on its way.

Every answer is held against the sets once more when it is written; from there until its last byte is handed to the
socket it holds a ticket. Who swaps a set waits for the tickets that were out at that moment, which takes microseconds
unless a client does not read. Later answers are made under the new set.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from agentrec.core.errors import AgentrecError

Scope = MutableMapping[str, Any]
TICKETS = "agentrec.tickets"


class UndeliveredError(AgentrecError):
    """A set is swapped, and a client has not yet taken an answer made under the old one."""


class Swaps:
    """The answers on their way; belongs to one event loop."""

    def __init__(self) -> None:
        self._out: set[asyncio.Future[None]] = set()

    def begin(self, scope: Scope) -> None:
        """A request begins."""
        scope[TICKETS] = []

    def claim(self, scope: Scope) -> None:
        """An answer is about to be held against the sets, and no step of the event loop lies between."""
        ticket = asyncio.get_running_loop().create_future()
        self._out.add(ticket)
        scope[TICKETS].append(ticket)

    def end(self, scope: Scope) -> None:
        """The request is answered, or its client is gone."""
        for ticket in scope.pop(TICKETS, []):
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
