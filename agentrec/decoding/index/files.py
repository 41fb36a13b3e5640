"""A `StaticIndex` as a folder: the manifest of every artefact, and arrays that are mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrec.core.artefact import ARRAYS, FORMAT, read_manifest, writing_weights
from agentrec.core.errors import ArtefactError
from agentrec.core.files import MANIFEST, whole_folder, write_json
from agentrec.decoding.index.offsets import Offsets

if TYPE_CHECKING:
    from agentrec.decoding.index.csr import StaticIndex

ROOM, METHOD = "decoding", "static_index"


def write_index(index: StaticIndex, folder: str | Path) -> None:
    """Write; an older folder of that name stays as it was if that fails. Plain tables are made anew when opened."""
    from safetensors.torch import save_file

    arrays = {"items": index.items}
    for level, (tokens, offsets) in enumerate(zip(index.tokens, index.offsets, strict=True)):
        arrays |= {f"tokens.{level}": tokens, f"base.{level}": offsets.base, f"small.{level}": offsets.small}
    config = {"level_sizes": list(index.level_sizes), "branches": list(index.branches)}
    manifest = {"format": FORMAT, "room": ROOM, "method": METHOD, "config": config, "provenance": {}}
    with whole_folder(folder) as temporary:
        write_json(temporary / MANIFEST, manifest)
        with writing_weights(folder):
            save_file({name: part.contiguous() for name, part in arrays.items()}, temporary / ARRAYS)


def read_index(folder: str | Path) -> StaticIndex:
    """Open; pages of the file are read when they are first used.

    Raises:
        ArtefactError: it is missing, damaged, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    from agentrec.decoding.index.csr import StaticIndex

    manifest = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != (ROOM, METHOD):
        found = f"{manifest['room']}/{manifest['method']}"
        raise ArtefactError(f"{folder} holds {found}; expected {ROOM}/{METHOD}, so point to another folder")
    file = Path(folder) / ARRAYS
    try:
        sizes, branches = (tuple(int(size) for size in manifest["config"][key]) for key in ("level_sizes", "branches"))
        with safe_open(file, framework="pt") as arrays:
            get: Any = arrays.get_tensor
            tokens = tuple(get(f"tokens.{level}") for level in range(len(sizes)))
            rows = range(len(sizes))
            offsets = tuple(Offsets(get(f"base.{level}"), get(f"small.{level}")) for level in rows)
            items = get("items")
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise ArtefactError(f"{file} is missing, truncated or damaged ({error}); write or copy it again") from error
    if len(tokens[-1]) != len(items) or any(
        len(offsets[level].small) != (1 if level == 0 else len(tokens[level - 1])) + 1 for level in rows
    ):
        raise ArtefactError(f"{file} has levels that do not fit each other; write or copy it again")
    return StaticIndex(sizes, tokens, offsets, items, branches, (None,) * len(sizes)).with_tables()
