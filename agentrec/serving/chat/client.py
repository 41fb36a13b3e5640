"""The chat model that agents hold: retries, repairs, a budget and a ledger around one backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import BaseModel

from agentrec.core.rng import generator
from agentrec.prompts.files import prompt
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.ledger import Entry, Hold, Ledger
from agentrec.serving.chat.private import redact
from agentrec.serving.chat.protocol import AnswerError, Backend, BackendError, ChatError, ChatRequest, Message, Reply
from agentrec.serving.chat.record import Recorder
from agentrec.serving.chat.structured import ShapeError, read_answer, schema_of

Value = TypeVar("Value")
Shape = TypeVar("Shape", bound=BaseModel)

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before a question is sent again
SENT_BACK = 4000  # signs of a wrong answer that its repair quotes


@dataclass
class Usage:
    """What one question cost, whether it was answered or not."""

    step: str
    backend: str
    model: str
    calls: int = 0
    retries: int = 0
    repairs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, entry: Entry) -> None:
        """Count one call."""
        self.calls += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        self.cost += entry.cost


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """An answer, and where it came from.

    Attributes:
        value: the text, or the object it was read as.
        text: as the model wrote it.
        usage: backend, model, calls, retries, repairs, tokens, money and time.
    """

    value: Value
    text: str
    usage: Usage


class Chat:
    """Asks a backend, patiently and within a budget. Safe to use from several threads.

    Args:
        backend: who answers.
        config: patience and prices.
        ledger: where calls are booked; a new one in memory by default.
        recorder: writes answers down for a replay.
        sleep: how to wait; tests wait less.

    Example:
        >>> from agentrec.serving.chat.backends.policy import PolicyBackend
        >>> chat = Chat(PolicyBackend(lambda request: f"{request.facts['n'] + 1}"))
        >>> chat.ask(ChatRequest("demo/add", (Message("user", "Add one to 1."),), {"n": 1})).value
        '2'
    """

    def __init__(
        self,
        backend: Backend,
        config: ChatConfig | None = None,
        *,
        ledger: Ledger | None = None,
        recorder: Recorder | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.backend = backend
        self.config = config or ChatConfig()
        self.ledger = ledger or Ledger(self.config)
        self.recorder = recorder
        self._sleep = sleep
        self._jitter = generator(0, "chat waits")
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the backend's connections, where it has any."""
        close = getattr(self.backend, "close", None)
        if close is not None:
            close()

    def ask(self, request: ChatRequest) -> Answer[str]:
        """Ask for text.

        Raises:
            BackendError: no answer after all retries.
            BudgetError: the question might pass the budget; it was not sent.
        """
        return self._asked(request, lambda reply: reply.text, repairs=0)

    def ask_for(self, request: ChatRequest, shape: type[Shape]) -> Answer[Shape]:
        """Ask for an object; an answer of another shape is sent back with what is wrong about it.

        Args:
            request: its schema is that of ``shape``, whatever it was.
            shape: what the answer is read as.

        Raises:
            AnswerError: no answer fits, repairs included.
            BackendError: no answer after all retries.
            BudgetError: the question might pass the budget; it was not sent.
        """
        request = replace(request, schema=schema_of(shape))
        return self._asked(request, lambda reply: read_answer(reply, shape), repairs=self.config.repairs)

    def _asked(self, request: ChatRequest, read: Callable[[Reply], Value], *, repairs: int) -> Answer[Value]:
        usage = Usage(request.step, self.backend.name, self.backend.model)
        began = time.perf_counter()
        try:
            for turn in range(repairs + 1):
                usage.repairs = turn
                reply, value = self._call(request, read, usage)
                if not isinstance(value, ShapeError):
                    return Answer(value, reply.text, usage)
                request = _sent_back(request, reply, value)
        except ChatError as error:
            error.usage = usage
            raise
        finally:
            usage.model, usage.seconds = self.backend.model, time.perf_counter() - began
        failed = AnswerError(
            f"{self.backend.name} gave no usable answer to {request.step} in {repairs + 1} tries (the last one: "
            f"{redact(str(value))}); expected JSON of the shape asked for, so try another model or more repairs"
        )
        failed.usage = usage
        raise failed

    def _call(
        self, request: ChatRequest, read: Callable[[Reply], Value], usage: Usage
    ) -> tuple[Reply, Value | ShapeError]:
        """One answer, retried after passing failures, booked and recorded."""
        for attempt in range(self.config.retries + 1):
            hold, began = self.ledger.hold(request), time.perf_counter()
            try:
                reply = self.backend.reply(request, self.config.timeout)
            except BackendError as error:
                self._book(hold, request, usage, began, error=error)
                wait = self._wait(attempt, error)
                if wait is None:
                    raise
                usage.retries += 1
                self._sleep(wait)
                continue
            except BaseException:
                self.ledger.free(hold)
                raise
            try:
                value: Value | ShapeError = read(reply)
            except ShapeError as problem:
                value = problem
            self._book(hold, request, usage, began, reply=reply, fits=not isinstance(value, ShapeError))
            if self.recorder is not None:
                self.recorder.add(request, reply, f"{self.backend.name}:{self.backend.model}")
            return reply, value
        raise AssertionError("the last attempt answers or raises")

    def _wait(self, attempt: int, error: BackendError) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        if not error.passing or attempt >= self.config.retries or (error.wait or 0.0) > LONGEST_WAIT:
            return None
        with self._lock:
            share = float(self._jitter.uniform(0.5, 1.0))
        backoff = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
        return max(error.wait or 0.0, share * backoff)

    def _book(
        self,
        hold: Hold,
        request: ChatRequest,
        usage: Usage,
        began: float,
        *,
        reply: Reply | None = None,
        error: BackendError | None = None,
        fits: bool = False,
    ) -> None:
        read = None if reply is None else reply.prompt_tokens
        written = None if reply is None else reply.completion_tokens
        worked = reply is not None or (error is not None and error.worked)
        assumed = worked and None in (read, written)
        read = request.size if assumed and read is None else read or 0
        written = _length(request, reply) if assumed and written is None else written or 0
        entry = Entry(
            request.step,
            self.backend.name,
            self.backend.model,
            "failed" if reply is None else "ok" if fits else "invalid",
            prompt_tokens=read,
            completion_tokens=written,
            cost=self.config.cost(read, written),
            seconds=time.perf_counter() - began,
            repair=usage.repairs,
            assumed=assumed,
            error="" if error is None else redact(str(error)),
        )
        usage.add(entry)
        self.ledger.book(hold, entry)


def _length(request: ChatRequest, reply: Reply | None) -> int:
    """Tokens of an answer that nobody counted; of one that never came, as many as it could have."""
    return request.max_tokens if reply is None else min(request.max_tokens, -(-len(reply.text.encode()) // 3))


def _sent_back(request: ChatRequest, reply: Reply, problem: ShapeError) -> ChatRequest:
    """The conversation with the wrong answer and what is wrong about it."""
    asked = prompt("chat/repair").render(problems=problem.problems)
    return replace(
        request,
        messages=(*request.messages, Message("assistant", reply.text[:SENT_BACK]), Message("user", asked)),
    )
