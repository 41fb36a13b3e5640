"""What an agent is to the command line, the page and the tests: settings, a graph, and how its questions read.

Every agent is a folder: ``state.py`` (what a checkpoint holds, JSON alone), ``context.py`` (settings, and the live
things that are made from them), ``nodes.py`` (the steps), ``graph.py`` (how they follow each other; it binds
``METHOD`` to the `Agent` and ``graph`` to the graph that LangGraph's studio opens).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

from agentrec.core.config import from_mapping
from agentrec.core.registry import Registry
from agentrec.core.types import JSON
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.factory import open_chat
from agentrec.serving.chat.protocol import Answerer

REGISTRY = Registry("agentrec.agents", "graph")


@dataclass(frozen=True)
class AgentContext:
    """What the nodes of every agent may hold; a subclass adds its settings.

    Everything but ``live`` is JSON, so that a run is described by it and the studio can fill it in.

    Attributes:
        chat_settings: settings of `agentrec.serving.chat.config.ChatConfig`.
        folder: of the run, for its ledger and logs; empty for none.
        live: a chat model that is there already, in place of those settings.
    """

    chat_settings: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    live: Any = None

    policy: ClassVar[Answerer | None] = None

    @cached_property
    def chat(self) -> Chat:
        """The chat model of this run.

        Raises:
            ConfigError: its settings are not as they should be.
        """
        if self.live is not None:
            given: Chat = self.live
            return given
        ledger = Path(self.folder) / "ledger.jsonl" if self.folder else None
        return open_chat(from_mapping(ChatConfig, self.chat_settings), policy=type(self).policy, ledger=ledger)

    def close(self) -> None:
        """Close the connections of a chat model that was opened here; one that was there already stays open."""
        if self.live is None and "chat" in vars(self):
            self.chat.close()


class Agent(Protocol):
    """An agent behind its graph."""

    config: ClassVar[type]
    prompts: ClassVar[tuple[str, ...]]

    def build(self) -> Any:
        """The graph, not compiled: a ``langgraph.graph.StateGraph`` with a ``context_schema``."""

    def context(self, settings: Mapping[str, Any], **shared: Any) -> AgentContext:
        """The context from settings of `config`, and from the fields of `AgentContext`."""

    def fingerprint(self, context: AgentContext) -> str:
        """Sixteen hexadecimal digits over the data, so that a run is not gone on with on other data."""

    def result(self, values: Mapping[str, Any], context: AgentContext) -> JSON:
        """What came out so far, from the state."""

    def told(self, result: JSON) -> tuple[list[str], list[list[str]]]:
        """The result as a table: columns and rows."""

    def asked(self, question: JSON) -> list[str]:
        """A question to a person, in lines."""

    def heard(self, question: JSON, words: str) -> JSON:
        """A person's words as the answer that the graph goes on with.

        Raises:
            AgentrecError: they are none.
        """
