"""Answers computed by the agent's own policy from the facts behind the question: no language model.

The baseline that a language model has to beat, and the way to run every workflow without one. Its answers go through
the same checks as any model's.
"""

from __future__ import annotations

import json
from typing import ClassVar

from agentrec.core.errors import ConfigError
from agentrec.core.files import as_json
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import Answerer, ChatRequest, Reply


class PolicyBackend:
    """A Python function answers.

    Args:
        answer: the request to its answer, as text or as JSON content; its module is the name of the model.
    """

    name: ClassVar[str] = "policy"

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self.model = ".".join(getattr(answer, "__module__", "").split(".")[-2:])

    @classmethod
    def open(cls, config: ChatConfig, policy: Answerer | None) -> PolicyBackend:
        """From the agent's policy.

        Raises:
            ConfigError: the agent has none.
        """
        if policy is None:
            raise ConfigError("the backend is 'policy', and this agent has none; expected openai, hf or replay")
        return cls(policy)

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """Compute the answer; a policy takes no tokens, and is not stopped."""
        made = self._answer(request)
        return Reply(made if isinstance(made, str) else json.dumps(as_json(made), ensure_ascii=False), 0, 0)


METHOD = PolicyBackend
