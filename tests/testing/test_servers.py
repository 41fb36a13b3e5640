"""Servers beside a test: nothing of them is left behind, and two get two ports."""

import os
import socket
import sys
import time
from pathlib import Path

from agentrec.testing.servers import free_port, running

PARENT = """
import os, subprocess
child = subprocess.Popen(["sleep", "600"])
print(child.pid, os.environ["WORD"], flush=True)
child.wait()
"""


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_and_its_child_end_with_the_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running([sys.executable, "-c", PARENT], log, {"WORD": "tents"}) as process:
        while not log.read_text().endswith("\n"):
            assert process.poll() is None
            time.sleep(0.01)
        child, word = log.read_text().split()
        assert word == "tents"
        assert "WORD" not in os.environ
        assert lives(int(child))
    assert process.returncode is not None
    until = time.monotonic() + 60
    while lives(int(child)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", free_port()))
        assert free_port() != first.getsockname()[1]
