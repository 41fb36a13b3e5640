"""What an agent may ask of a chat model, what comes back, and how it fails.

A failure of the model (no server, no time, no budget left, no answer of the right shape) is a `ChatError`: a workflow
may go on without the answer. A mistake in how a run was set up (a script that ran out, a replay that lacks the
question) is none of those, and stops the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from agentrec.core.errors import AgentrecError
from agentrec.core.files import json_hash
from agentrec.serving.chat.private import redact

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One question.

    Attributes:
        step: who asks, as prompts are named: ``"inventory/or_to_llm"``.
        messages: the conversation so far, which ends with the question.
        facts: what the text was written from, in JSON; a policy answers from it, and no network sees it.
        schema: JSON schema of the answer; None for free text.
        temperature: 0 takes the likeliest token each time.
        max_tokens: length of the answer at most.
        seed: of sampling, where the model can be seeded.
    """

    step: str
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits over all that a model sees; secrets and personal data are blotted out before."""
        said = [[message.role, redact(message.content)] for message in self.messages]
        return json_hash([said, self.schema, self.temperature, self.max_tokens, self.seed])

    @property
    def size(self) -> int:
        """Tokens that the messages have at most, by a rule of thumb: a token for every third byte, and eight a turn."""
        return sum(8 + -(-len(message.content.encode()) // 3) for message in self.messages)


class Reply(NamedTuple):
    """What a backend answered.

    ``finish`` is ``"length"`` where the answer was cut off; token counts are None where the backend does not count.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish: str = "stop"


Answerer = Callable[[ChatRequest], Mapping[str, Any] | str]


class Backend(Protocol):
    """Where answers come from. Safe to call from several threads; one that holds connections has `close` too."""

    name: ClassVar[str]

    @property
    def model(self) -> str:
        """Which model answers, for ledgers and results."""

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """Answer within so many seconds.

        Raises:
            BackendError: no answer.
        """


class ChatError(AgentrecError):
    """No usable answer; ``usage`` says what was spent on trying."""

    usage: Any = None


class BackendError(ChatError):
    """A backend did not answer.

    Attributes:
        passing: the same question may be answered if asked again.
        wait: seconds that the backend asks for before that.
        worked: the model may have worked on it, so tokens may have been spent.
    """

    def __init__(self, message: str, *, passing: bool = False, wait: float | None = None, worked: bool = False) -> None:
        super().__init__(message)
        self.passing, self.wait, self.worked = passing, wait, worked


class AnswerError(ChatError):
    """No answer had the shape that was asked for, repairs included."""


class BudgetError(ChatError):
    """The next question might cost more than what is left."""
