"""What produced a result: versions of this project and of the libraries that matter, and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def versions() -> dict[str, str]:
    """Installed versions by name, Python's included; libraries that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in ("agentrec", *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """Processor, cores and system, for benchmark records."""
    return {"processor": platform.machine(), "cores": os.cpu_count() or 1, "system": platform.system()}


@cache
def code_hash(*rooms: str) -> str:
    """Sixteen hexadecimal digits over the source files of this package, or of some of its rooms."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder in [package / room for room in rooms] or [package]:
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.relative_to(package).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
