"""Answers from a list, in order, for tests; running out, or leaving some unsaid, is an error.

No setting opens it: an answer that nobody gave has no place in a run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.files import as_json
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import Answerer, ChatRequest, Reply


class ScriptError(AgentrecError):
    """A script does not fit what was asked; no failure of a model, so that no workflow goes on after it."""


class ScriptedBackend:
    """Says one line after the other.

    Args:
        script: texts, JSON content, whole replies, or errors to raise.

    Attributes:
        asked: the requests so far.
    """

    name: ClassVar[str] = "scripted"
    model = "script"

    def __init__(self, script: Sequence[str | Mapping[str, Any] | Reply | Exception]) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.asked: list[ChatRequest] = []

    @classmethod
    def open(cls, config: ChatConfig, policy: Answerer | None) -> ScriptedBackend:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("the backend is 'scripted', which is for tests alone; expected policy, openai, hf or replay")

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """The next line.

        Raises:
            ScriptError: there is none.
        """
        with self._lock:
            place = len(self.asked)
            self.asked.append(request)
            if place >= len(self._script):
                raise ScriptError(
                    f"question {place + 1} ({request.step}) came after the script's {len(self._script)} answers; "
                    "expected one for each, so write the script on"
                )
            line = self._script[place]
        if isinstance(line, Exception):
            raise line
        if isinstance(line, Reply):
            return line
        return Reply(line if isinstance(line, str) else json.dumps(as_json(line)), 0, 0)

    def finish(self) -> None:
        """Check that all was said.

        Raises:
            ScriptError: lines are left.
        """
        if len(self.asked) < len(self._script):
            raise ScriptError(f"{len(self.asked)} of {len(self._script)} answers were asked for; expected all of them")


METHOD = ScriptedBackend
