"""How many requests are taken at once; whoever comes beyond is told when to come again."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator

from agentrec.core.errors import AgentrecError

LONGEST_WAIT = 60  # seconds that anybody is told to wait at most
REMEMBERED = 10.0  # seconds over which the rate of answers is counted


class FullError(AgentrecError):
    """The service takes no more requests at the moment.

    Attributes:
        retry_after: seconds after which there is likely room.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Gate:
    """Counts requests that run or wait; belongs to one event loop.

    Args:
        limit: so many at most.

    Example:
        >>> gate = Gate(1)
        >>> with gate.entered():
        ...     gate.inside
        1
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self._answered: deque[float] = deque()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Hold a place while the body runs.

        Raises:
            FullError: none is left.
        """
        if self.inside >= self.limit:
            wait = self.retry_after()
            raise FullError(
                f"{self.inside} requests run or wait, as many as the service takes; ask again in {wait} s", wait
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._answered.append(time.monotonic())

    def retry_after(self) -> int:
        """Seconds in which those inside are likely answered, at the rate of the last ten seconds: 1 to 60."""
        now = time.monotonic()
        while self._answered and self._answered[0] < now - REMEMBERED:
            self._answered.popleft()
        rate = len(self._answered) / REMEMBERED
        return max(1, min(LONGEST_WAIT, math.ceil(self.inside / rate))) if rate else LONGEST_WAIT // 10
