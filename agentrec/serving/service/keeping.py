"""Named sets that outlive the process: a change is written to a folder first, and counts from then on.

So a set that was acknowledged is there after a restart, whatever ended the process, and a change that could not be
written is none. One service at a time keeps its sets in a folder; others may read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.decoding.sets.named import ConstraintSets

LOCK = ".lock"

Answer = TypeVar("Answer")


class NotKeptError(AgentrecError):
    """A change of sets could not be written, and was not made."""


class Keeper:
    """Makes changes of named sets, one after the other, and writes them down where there is a folder.

    Args:
        folder: an empty one, or one that `ConstraintSets.save` wrote; taken until `close`. Without one, changes last
            as long as the process.

    Raises:
        ConfigError: there is no such folder, it cannot be written, or another service keeps its sets there.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._one = threading.Lock()
        self._taken: FileLock | None = None if self.folder is None else _taken(self.folder)

    def change(self, sets: ConstraintSets, change: Callable[[ConstraintSets], Answer]) -> Answer:
        """Make a change, or none at all; from any thread.

        Args:
            sets: that are asked.
            change: changes the sets it is given; called twice where there is a folder.

        Raises:
            NotKeptError: it could not be written.
            AgentrecError: as ``change``.
        """
        with self._one:
            if self.folder is not None:
                after = sets.copy()
                change(after)
                try:
                    after.save(self.folder)
                except (AgentrecError, OSError) as error:
                    raise NotKeptError(f"the sets stay as they were, because of their folder: {error}") from error
            return change(sets)

    def close(self) -> None:
        """Leave the folder to others."""
        if self._taken is not None:
            self._taken.release()


def _taken(folder: Path) -> FileLock:
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder of constraint sets at {folder}; expected one that was written before, or an empty one "
            "to begin with, so make it or correct the path"
        )
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"another service keeps its constraint sets in {folder}; expected one service per folder, so choose "
            "another or begin with these sets and keep none by --no-save-sets"
        ) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"constraint sets cannot be kept in {folder} ({reason}); expected a folder that can be written, so choose "
            "another or begin with these sets and keep none by --no-save-sets"
        ) from error
    for left in (*folder.glob(".arrays-*"), *folder.glob(".agentrec.json.*")):  # of a writer that was killed
        left.unlink(missing_ok=True)
    return lock
