"""Answers from a file of an earlier run, by the content of the question; one that was never asked is an error."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError
from agentrec.core.lines import read_lines
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import Answerer, ChatRequest, Reply


class ReplayMissError(AgentrecError):
    """The file lacks an answer; no failure of a model, so that no workflow goes on after it."""


class ReplayBackend:
    """Repeats what `agentrec.serving.chat.record` wrote.

    Args:
        path: file of JSON lines.

    Raises:
        ArtefactError: there is no such file, or it holds no answers.
    """

    name: ClassVar[str] = "replay"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        lines = read_lines(self.path)
        try:
            self._lines = {(line["key"], line["occurrence"]): _reply(line) for line in lines}
            self.model = ",".join(sorted({str(line["source"]) for line in lines}))
        except KeyError as error:
            raise ArtefactError(f"{path} has a line without {error}; expected a file of recorded answers") from error
        if not lines:
            raise ArtefactError(f"{path} holds no recorded answers; expected a file written with record, so check it")
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, config: ChatConfig, policy: Answerer | None) -> ReplayBackend:
        """From the setting ``replay``.

        Raises:
            ConfigError: it is not set.
        """
        if config.replay is None:
            raise ConfigError("the backend is 'replay' and no file is given; expected one, so set replay")
        return cls(config.replay)

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """What was answered then.

        Raises:
            ReplayMissError: this was not asked then, or not so often.
        """
        with self._lock:
            occurrence = self._asked[request.key]
            found = self._lines.get((request.key, occurrence))
            if found is None:
                times = "never" if not occurrence else f"only {occurrence} times"
                raise ReplayMissError(
                    f"{self.path} has no answer to {request.step} (key {request.key}, asked {times} when it was "
                    "recorded); expected the same prompts, data and settings, so record it anew"
                )
            self._asked[request.key] += 1
        return found


def _reply(line: dict[str, Any]) -> Reply:
    return Reply(line["text"], line["prompt_tokens"], line["completion_tokens"], line["finish"])


METHOD = ReplayBackend
