"""Fetch a file over HTTP: resumed where it stopped, checked before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import stat
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from agentrec.core.errors import AgentrecError, DataError
from agentrec.core.files import whole_folder

ATTEMPTS = 3
BLOCK = 1 << 20
TIMEOUT = 30.0


def fetch(url: str, target: Path, *, checksum: str | None = None, progress: bool = False) -> Path:
    """Download a file unless it is there.

    Bytes gather in ``<target>.part``; a later call goes on where this one stopped, unless the server says that the file
    changed. A file without published checksum is pinned on first use: its SHA-256 is written to ``<target>.sha256`` and
    checked from then on.

    Args:
        url: http or https.
        target: where the file goes.
        checksum: ``"md5:..."`` or ``"sha256:..."``.
        progress: show a progress bar.

    Returns:
        ``target``.

    Raises:
        DataError: the network refuses, or the bytes are not those expected.
    """
    pin = target.with_name(f"{target.name}.sha256")
    if checksum is None and pin.is_file():
        checksum = f"sha256:{pin.read_text(encoding='utf-8').strip()}"
    if target.is_file():
        _verify(target, checksum, url, "delete it to fetch it again")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        if _advance(url, part, target, progress=progress):
            break
        if attempt == ATTEMPTS:
            raise DataError(
                f"the download of {url} was cut off {ATTEMPTS} times, last at {part.stat().st_size} bytes; expected "
                "the whole file, so run the command again to go on from there"
            )
    try:
        _verify(part, checksum, url, "it was removed, so run the command again")
    except DataError:
        part.unlink()
        raise
    if checksum is None:
        pin.write_text(f"{file_hash(part, 'sha256')}\n", encoding="utf-8")
    part.replace(target)
    _tag(part).unlink(missing_ok=True)
    return target


def file_hash(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def extract_zip(archive: Path, folder: Path) -> Path:
    """Unpack an archive into a new folder, whole or not at all.

    Raises:
        DataError: the archive is damaged, or a member would leave the folder.
    """
    try:
        with zipfile.ZipFile(archive) as content, whole_folder(folder) as temporary:
            for member in content.infolist():
                _check_member(archive, member)
            content.extractall(temporary)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} is no readable zip file ({error}); delete it and fetch it again") from error
    return folder


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    escapes = path.is_absolute() or ".." in path.parts or ":" in member.filename
    if escapes or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{archive} holds {member.filename!r}, which leads out of its folder; do not trust it")


def _advance(url: str, part: Path, target: Path, *, progress: bool) -> bool:
    """Go on with a download; False where the connection ended early."""
    have = part.stat().st_size if part.is_file() else 0
    tag = _tag(part)
    headers = {"User-Agent": "agentrec"}
    if have and tag.is_file():
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
            start = have if answer.status == 206 else 0
            if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink()  # another range than the one asked for: start over
                return False
            _remember(tag, answer.headers)
            length = answer.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            size = _copy(answer, part, start, total if progress else None, progress=progress)
            return total is None or size >= total
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing lies beyond what we have: start over
                part.unlink(missing_ok=True)
                return False
            raise _refused(url, target, f"the server answered {error.code} {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        if part.is_file() and part.stat().st_size > have:
            return False
        raise _refused(url, target, str(error) or type(error).__name__) from error
    except (urllib.error.URLError, ValueError) as error:
        raise _refused(url, target, str(getattr(error, "reason", error))) from error


def _copy(answer: Any, part: Path, start: int, total: int | None, *, progress: bool) -> int:
    from tqdm import tqdm

    try:
        with (
            part.open("r+b" if start else "wb") as content,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=not progress) as bar,
        ):
            content.seek(start)
            while block := answer.read(BLOCK):
                content.write(block)
                bar.update(len(block))
            return content.tell()
    except OSError as error:
        if isinstance(error, (TimeoutError, ConnectionError)):
            raise
        raise AgentrecError(
            f"{part} could not be written: {error.strerror or error}; free space or set AGENTREC_CACHE"
        ) from error


def _remember(tag: Path, headers: Any) -> None:
    """Keep what identifies this version of the file; without it, nothing can be resumed safely."""
    version = headers.get("ETag") or headers.get("Last-Modified")
    if version and not version.startswith("W/"):
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _verify(path: Path, checksum: str | None, url: str, remedy: str) -> None:
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    found = file_hash(path, algorithm)
    if found != expected:
        raise DataError(f"{path} from {url} has {algorithm} {found}; expected {expected}, {remedy}")


def _refused(url: str, target: Path, reason: str) -> DataError:
    return DataError(
        f"{url} could not be fetched ({' '.join(reason.split())}); expected a network that reaches it, so fetch it "
        f"elsewhere and put it at {target}, or load a local folder instead of a name"
    )
