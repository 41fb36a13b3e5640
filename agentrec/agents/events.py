"""The events of a run as LangGraph streams them, one line each on disk, and read again as steps.

Texts are written without secrets and personal data, and long ones are cut: a trace is for reading, checkpoints hold
everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrec.core.files import as_json
from agentrec.core.lines import append_line, read_lines
from agentrec.core.types import JSON
from agentrec.serving.chat.private import redact_all

LONGEST_TEXT, LONGEST_LIST = 1500, 80


class EventLog:
    """Appends events.

    Args:
        path: file of JSON lines.
        say: told of progress and of calls.
    """

    def __init__(self, path: Path, say: Callable[[JSON], None] | None = None) -> None:
        self.path = path
        self._say = say or (lambda event: None)

    def mark(self, what: str) -> None:
        """The run was started, resumed, waits, or is done."""
        self._write({"kind": "run", "what": what})

    def add(self, mode: str, event: Any) -> None:
        """An event of the stream modes ``tasks`` and ``custom``."""
        if mode == "custom":
            self._write(event)
            self._say(event)
        elif "input" in event:
            self._write({"kind": "start", "id": event["id"], "node": event["name"], "content": event["input"]})
        else:
            questions = [part["value"] for part in event.get("interrupts") or ()]
            ended = {"content": event.get("result"), "error": event.get("error"), "questions": questions}
            self._write({"kind": "end", "id": event["id"], "node": event["name"], **ended})

    def _write(self, event: JSON) -> None:
        append_line(self.path, {"at": time.time(), **redact_all(cut(as_json(event)))})


@dataclass
class Step:
    """One node at work.

    Attributes:
        node: its name.
        at: when it began, in seconds since 1970.
        seconds: how long it took; None where the run was killed in it.
        content: what it was given.
        update: what it gave back.
        error: what it raised; empty for nothing.
        questions: what it asked a person.
        calls: of the chat model.
    """

    node: str
    at: float
    seconds: float | None = None
    content: Any = None
    update: Any = None
    error: str = ""
    questions: list[Any] = field(default_factory=list)
    calls: list[JSON] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Read and written."""
        return sum(call.get("prompt_tokens", 0) + call.get("completion_tokens", 0) for call in self.calls)


def read_steps(path: Path) -> tuple[list[Step], list[JSON]]:
    """The steps of a trace in order of their beginning, and the marks of the run."""
    steps: list[Step] = []
    open_steps: dict[str, Step] = {}
    marks = []
    for event in read_lines(path):
        kind = event.get("kind")
        if kind == "run":
            marks.append(event)
        elif kind == "start":
            open_steps[event["id"]] = Step(event["node"], event["at"], content=event["content"])
            steps.append(open_steps[event["id"]])
        elif kind == "call" and event.get("id") in open_steps:
            open_steps[event["id"]].calls.append(event)
        elif kind == "end" and event["id"] in open_steps:
            step = open_steps[event["id"]]
            step.seconds, step.update = event["at"] - step.at, event["content"]
            step.error, step.questions = event["error"] or "", event["questions"]
    return steps, marks


def cut(content: Any) -> Any:
    """The same with long texts and lists cut, and how much was left out."""
    if isinstance(content, dict):
        return {name: cut(value) for name, value in content.items()}
    if isinstance(content, list):
        kept = [cut(value) for value in content[:LONGEST_LIST]]
        return [*kept, f"... {len(content) - LONGEST_LIST} more"] if len(content) > LONGEST_LIST else kept
    if isinstance(content, str) and len(content) > LONGEST_TEXT:
        return f"{content[:LONGEST_TEXT]} ... {len(content) - LONGEST_TEXT} signs more"
    return content
