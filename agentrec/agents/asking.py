"""How nodes ask their chat model and tell how far they are; both show in traces and on the terminal.

Imports LangGraph's types for checkers alone: a node gets its runtime handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from agentrec.prompts.files import prompt
from agentrec.serving.chat.client import Answer, Chat, Usage
from agentrec.serving.chat.protocol import ChatError, ChatRequest, Message

if TYPE_CHECKING:
    from langgraph.runtime import Runtime

Shape = TypeVar("Shape", bound=BaseModel)


def ask(
    runtime: Runtime[Any],
    step: str,
    variables: Mapping[str, Any],
    shape: type[Shape],
    *,
    facts: Mapping[str, Any],
    system: str = "",
) -> Answer[Shape]:
    """Ask the chat model of the context; what it cost is told, whether it answered or not.

    Args:
        runtime: of the node.
        step: the prompt file of the question.
        variables: that the prompt takes.
        shape: of the answer.
        facts: what a policy answers from.
        system: the prompt file of the system message, without variables.

    Raises:
        ChatError: no usable answer.
    """
    chat: Chat = runtime.context.chat
    messages = [Message("user", prompt(step).render(**variables))]
    if system:
        messages.insert(0, Message("system", prompt(system).render()))
    limits: dict[str, Any] = {"temperature": chat.config.temperature, "max_tokens": chat.config.answer_tokens}
    try:
        answer = chat.ask_for(ChatRequest(step, tuple(messages), facts, **limits), shape)
    except ChatError as error:
        _cost(runtime, error.usage, str(error))
        raise
    _cost(runtime, answer.usage, "")
    return answer


def tell(runtime: Runtime[Any], text: str, *, done: int, total: int) -> None:
    """Say how far the run is."""
    runtime.stream_writer({"kind": "progress", "text": text, "done": done, "total": total})


def prompt_hashes(names: Sequence[str]) -> dict[str, str]:
    """Name -> hash of prompts, for the record of a run."""
    return {name: prompt(name).hash for name in names}


def _cost(runtime: Runtime[Any], usage: Usage | None, error: str) -> None:
    task = runtime.execution_info.task_id if runtime.execution_info is not None else ""
    spent = asdict(usage) if usage is not None else {}
    runtime.stream_writer({"kind": "call", "id": task, **spent, "error": error})
