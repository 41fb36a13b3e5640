"""What calls cost: one line per call, and a hard stop before a budget is passed.

The file outlives a killed run: a run that goes on reads what was spent before. A call that may have been worked on
without an answer is booked at what it might have cost, and marked as assumed. Before a call, its estimate is set
aside, so that calls at the same time cannot pass the budget together; the budget can be passed by no more than what
an estimate falls short of (see `ChatRequest.size`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from agentrec.core.files import as_json
from agentrec.core.lines import append_line, read_lines
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.private import redact_all
from agentrec.serving.chat.protocol import BudgetError, ChatRequest


@dataclass(frozen=True)
class Entry:
    """One call of a backend.

    Attributes:
        step: who asked.
        backend: who answered.
        model: with which model.
        outcome: ``ok``, ``invalid`` (of the wrong shape) or ``failed``.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        cost: money.
        seconds: how long it took.
        repair: how many answers of the same question were sent back before.
        assumed: the tokens are an estimate, because nobody counted.
        error: why it failed.
        at: seconds since 1970.
    """

    step: str
    backend: str
    model: str
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    cost: float
    seconds: float
    repair: int = 0
    assumed: bool = False
    error: str = ""
    at: float = field(default_factory=time.time)


class Totals(NamedTuple):
    """Sums over calls."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens


class Hold(NamedTuple):
    """What is set aside for a call under way."""

    tokens: int
    cost: float


class Ledger:
    """Books calls against a budget.

    Args:
        config: prices and budgets.
        path: where lines are kept; nowhere by default.
    """

    def __init__(self, config: ChatConfig | None = None, path: str | Path | None = None) -> None:
        self.config = config or ChatConfig()
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self._held = Hold(0, 0.0)
        self._totals = Totals()
        for line in read_lines(self.path) if self.path is not None else ():
            self._add(Entry(**line))

    @property
    def totals(self) -> Totals:
        """What was spent so far, earlier runs of the same file included."""
        with self._lock:
            return self._totals

    def hold(self, request: ChatRequest) -> Hold:
        """Set aside what a call may cost.

        Raises:
            BudgetError: it might pass a budget.
        """
        config = self.config
        wanted = Hold(request.size + request.max_tokens, config.cost(request.size, request.max_tokens))
        with self._lock:
            tokens = self._totals.tokens + self._held.tokens + wanted.tokens
            cost = self._totals.cost + self._held.cost + wanted.cost
            if config.token_budget is not None and tokens > config.token_budget:
                raise BudgetError(
                    f"the token budget is {config.token_budget}, {self._totals.tokens} are spent, and the next "
                    f"question may take {wanted.tokens}; expected enough for it, so raise token_budget or lower "
                    "answer_tokens"
                )
            if config.money_budget is not None and cost > config.money_budget:
                raise BudgetError(
                    f"the money budget is {config.money_budget:g}, {self._totals.cost:.4g} is spent, and the next "
                    f"question may cost {wanted.cost:.4g}; expected enough for it, so raise money_budget"
                )
            self._held = Hold(self._held.tokens + wanted.tokens, self._held.cost + wanted.cost)
        return wanted

    def book(self, hold: Hold, entry: Entry) -> None:
        """Write a call down and free what was set aside for it."""
        with self._lock:
            self._held = Hold(self._held.tokens - hold.tokens, self._held.cost - hold.cost)
            self._add(entry)
            if self.path is not None:
                append_line(self.path, redact_all(as_json(asdict(entry))))

    def free(self, hold: Hold) -> None:
        """Give back what was set aside, where no call was made."""
        with self._lock:
            self._held = Hold(self._held.tokens - hold.tokens, self._held.cost - hold.cost)

    def _add(self, entry: Entry) -> None:
        had = self._totals
        self._totals = Totals(
            had.calls + 1,
            had.prompt_tokens + entry.prompt_tokens,
            had.completion_tokens + entry.completion_tokens,
            had.cost + entry.cost,
        )
