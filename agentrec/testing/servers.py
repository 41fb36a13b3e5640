"""Servers that run beside a test: a free port, a process that ends with its block, and the flags of a small vLLM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SMALL_VLLM = ("--enforce-eager", "--dtype", "float32", "--gpu-memory-utilization", "0.1", "--block-size", "32")
GRACE = 60  # seconds between asking a process to end and killing it


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block lasts; it is asked to end, then killed with its children.

    Args:
        command: program and arguments.
        log: file for what it prints; it is written anew.
        environment: set over that of this process.
    """
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=told, stderr=told, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
