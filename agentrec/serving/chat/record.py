"""Answers of a live run in a file, so that the run can be repeated without a model.

Questions are known by the hash of what the model saw, and never written; answers are written without secrets and
personal data (see `agentrec.serving.chat.private`). The same question asked again has a line of its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentrec.core.lines import append_line, read_lines
from agentrec.serving.chat.private import redact
from agentrec.serving.chat.protocol import ChatRequest, Reply


class Recorder:
    """Appends answers to a file.

    Args:
        path: file of JSON lines.
        words: words that must not enter it, such as names.
    """

    def __init__(self, path: str | Path, words: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.words = tuple(words)
        self._lock = threading.Lock()
        self._seen = Counter(line["key"] for line in read_lines(self.path))

    def add(self, request: ChatRequest, reply: Reply, source: str) -> None:
        """Write one answer down; ``source`` names backend and model."""
        with self._lock:
            occurrence = self._seen[request.key]
            self._seen[request.key] += 1
            line: dict[str, Any] = {
                "key": request.key,
                "occurrence": occurrence,
                "text": redact(reply.text, self.words),
                "finish": reply.finish,
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "source": redact(source, self.words),
                "step": request.step,
            }
            append_line(self.path, line)
