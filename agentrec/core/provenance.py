"""What produced a result: versions of this project and of the libraries that matter, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

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
