"""From settings to a chat model that is ready to ask."""

from __future__ import annotations

from pathlib import Path

from agentrec.serving.chat.backends import REGISTRY
from agentrec.serving.chat.client import Chat
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.ledger import Ledger
from agentrec.serving.chat.protocol import Answerer
from agentrec.serving.chat.record import Recorder


def open_chat(config: ChatConfig, *, policy: Answerer | None = None, ledger: str | Path | None = None) -> Chat:
    """Make the chat model that the settings name.

    Args:
        config: which backend, and how patiently it is asked.
        policy: what answers under the backend ``policy``; most agents bring one.
        ledger: file in which calls are booked; one that exists is gone on with.

    Raises:
        UnknownNameError: there is no such backend.
        ConfigError: a setting that the backend needs is missing.
        MissingExtraError: a library that it needs is not installed.
    """
    backend = REGISTRY.load(config.backend).open(config, policy)
    recorder = None if config.record is None else Recorder(config.record)
    return Chat(backend, config, ledger=Ledger(config, ledger), recorder=recorder)
