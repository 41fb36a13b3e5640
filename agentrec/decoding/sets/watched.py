"""Named sets of a folder that another process writes: opened again when the folder changed.

Looking costs one question to the file system. A folder that is damaged, or that belongs to other items, leaves the sets
as they were.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from agentrec.core.errors import AgentrecError
from agentrec.core.files import MANIFEST
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.named import ConstraintSets

log = logging.getLogger(__name__)


class WatchedSets:
    """The sets of a folder as they are now; call it. Safe to share between threads.

    Args:
        folder: written by `ConstraintSets.save`; it may come to exist later, until when there is only ``all``.
        index: whose items they are.
    """

    def __init__(self, folder: str | Path, index: StaticIndex) -> None:
        self.folder = Path(folder)
        self._sets = ConstraintSets(index)
        self._seen: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> ConstraintSets:
        """The sets; the same object until the folder changes."""
        now = self._written()
        if now is None or now == self._seen:
            return self._sets
        with self._lock:
            now = self._written()
            if now is not None and now != self._seen:
                self._seen = now
                try:
                    self._sets = ConstraintSets.load(self.folder, self._sets.index)
                except AgentrecError as error:
                    log.error("constraint sets stay as they were: %s", error)
        return self._sets

    def _written(self) -> tuple[int, int] | None:
        """What tells one writing of the folder from another; None where there is none, or at the moment of a swap."""
        try:
            found = (self.folder / MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
