"""Where measurements are kept: a folder per key, so that nothing is measured twice and a killed run loses little.

The key of a measurement is a hash of everything that shapes it: task and its code, data, settings, the system and its
seed. Whoever measures holds a lock; it is a lock of the operating system, which frees it when a process dies. Any
number of processes, and of machines that share the folder, may work on one store.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from agentrec.core.errors import AgentrecError, ArtefactError, DataWarning
from agentrec.core.files import MANIFEST
from agentrec.evaluation.measured import Measured


@dataclass(frozen=True)
class Store:
    """A folder of measurements.

    Attributes:
        root: the folder; made when something is first written.
    """

    root: Path

    def folder(self, key: str) -> Path:
        """Where the measurement of that key lies, or will."""
        return self.root / "measured" / key[:2] / key

    def get(self, key: str) -> Measured | None:
        """The measurement of that key, or None; a damaged one counts as absent, with a warning."""
        folder = self.folder(key)
        if not folder.is_dir():
            return None
        try:
            return Measured.load(folder)
        except ArtefactError as error:
            warnings.warn(f"{error}; it is measured again", DataWarning, stacklevel=2)
            return None

    def put(self, key: str, measured: Measured) -> None:
        """Keep a measurement, in place of a damaged one; whole or not at all.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        folder = self.folder(key)
        if folder.is_dir() and not (folder / MANIFEST).is_file():
            shutil.rmtree(folder, ignore_errors=True)
        for last in (False, False, True):
            try:
                return measured.save(folder)
            except (OSError, AgentrecError):  # in this moment another process may put the same measurement there
                if last:
                    raise

    @contextlib.contextmanager
    def claim(self, key: str, *, wait: bool) -> Iterator[bool]:
        """Hold the right to measure a key.

        Args:
            key: of the measurement.
            wait: until whoever holds it is done; otherwise False is yielded at once.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        path = self.root / "locks" / f"{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise AgentrecError(
                f"{path} could not be locked ({error.strerror or error}); expected a folder that can be written, so "
                "choose another store"
            ) from error
        try:
            yield True
        finally:
            lock.release()
