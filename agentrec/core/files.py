"""Files that are either whole or absent, and the hashes that name their content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import AgentrecError, ArtefactError

MANIFEST = "agentrec.json"  # marks a folder that we wrote
DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EIO,
}


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success rename it into place, on any failure remove it.

    Raises:
        AgentrecError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``, on failure it is removed.

    Raises:
        AgentrecError: the disk is full, the folder cannot be written, or what lies there is no artefact of ours.
    """
    path = Path(path)
    _check_replaceable(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
                try:
                    path.replace(old / path.name)
                    try:
                        temporary.replace(path)
                    except OSError:
                        (old / path.name).replace(path)
                        raise
                finally:
                    shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(path: Path) -> None:
    """Refuse to put a folder in the place of somebody's files."""
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file()):
        raise AgentrecError(
            f"{path} exists and was not written by agentrec; expected a new or empty folder or an older artefact, so "
            "choose another"
        )


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise AgentrecError(
            f"{path} could not be written: {error.strerror or error}; free space or choose another folder (nothing "
            "half-written was left)"
        ) from error


def as_json(content: Any) -> Any:
    """The same content in the types of JSON: arrays as lists, numpy's numbers as Python's, anything unknown as text."""
    if isinstance(content, Mapping):
        return {str(name): as_json(value) for name, value in content.items()}
    if isinstance(content, set | frozenset):
        return sorted(map(str, content))
    if isinstance(content, list | tuple):
        return [as_json(value) for value in content]
    if isinstance(content, np.generic | np.ndarray):
        return as_json(content.tolist())
    return content if content is None or isinstance(content, bool | int | float | str) else str(content)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with sorted keys, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ArtefactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} does not exist; expected a JSON file there, so check the folder's name") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{path} is not valid JSON ({error}); it looks truncated or edited, so write it again"
        ) from error


def array_hash(*arrays: NDArray[Any]) -> str:
    """Sixteen hexadecimal digits over the shapes, types and bytes of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def json_hash(content: Any) -> str:
    """Sixteen hexadecimal digits over JSON content, independent of key order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_hash(path: str | Path) -> str:
    """Sixteen hexadecimal digits over the bytes of a file, read piece by piece."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def folder_hash(path: str | Path) -> str:
    """Sixteen hexadecimal digits over the names and bytes of all files in a folder; hidden ones do not count."""
    folder = Path(path)
    files = (file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.is_file())
    visible = [file for file in files if not any(part.startswith(".") for part in file.parts)]
    return json_hash([[file.as_posix(), file_hash(folder / file)] for file in visible])
