"""Which checkpoint a killed run goes on from: the newest complete one that was made under the very same settings."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from agentrec.core.errors import AgentrecError, TrainingWarning
from agentrec.core.files import json_hash, read_json, write_json


def resumable_checkpoint(folder: str | Path, made_from: Mapping[str, Any]) -> str | None:
    """The checkpoint to go on from, if one was made under the very same data and settings.

    Checkpoints of other settings are removed, with a warning: going on from them would train a model that no setting
    describes.

    Raises:
        AgentrecError: the folder holds files that training did not write.
    """
    folder, key = Path(folder), json_hash(made_from)
    mark = folder / "made_from.json"
    if mark.is_file() and read_json(mark) == key:
        return last_complete_checkpoint(folder)
    if mark.is_file():
        warnings.warn(
            f"{folder} belongs to other settings or data; training starts anew", TrainingWarning, stacklevel=2
        )
        shutil.rmtree(folder)
    elif folder.is_dir() and any(folder.iterdir()):
        raise AgentrecError(f"{folder} holds files that training did not write; move them, or choose another --out")
    write_json(mark, key)
    return None


def last_complete_checkpoint(folder: str | Path) -> str | None:
    """The newest checkpoint that was written to its end; a half-written one is passed over."""
    found = [path for path in Path(folder).glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        if _complete(path):
            return str(path)
    return None


def _complete(checkpoint: Path) -> bool:
    if not all((checkpoint / name).is_file() for name in ("trainer_state.json", "optimizer.pt", "scheduler.pt")):
        return False
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(file, "pt") as weights:
                weights.keys()
    except (json.JSONDecodeError, SafetensorError, OSError):
        return False
    return True
