"""Files of JSON lines that grow while a run goes on, and may end in half a line where it was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from agentrec.core.errors import ArtefactError


def append_line(path: Path, content: Any) -> None:
    """Write one line and hand it to the operating system; half a line at the end of the file is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(text.encode() + b"\n")


def read_lines(path: Path) -> list[Any]:
    """All whole lines; nothing where there is no file. Half lines, which a kill leaves behind, are skipped.

    Raises:
        ArtefactError: a line is JSON of another kind than an object.
    """
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if not isinstance(content, dict):
            raise ArtefactError(f"line {number} of {path} is {content!r}; expected a JSON object, so restore the file")
        found.append(content)
    return found
