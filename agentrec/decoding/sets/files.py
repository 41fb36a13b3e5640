"""Named constraint sets as a folder: the manifest of every artefact, and packed bits of items per set.

The folder holds no index, but the hash of the one its sets belong to: item 7 of another catalogue is another item.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.artefact import ARRAYS, FORMAT, read_arrays, read_manifest, writing_weights
from agentrec.core.errors import ArtefactError
from agentrec.core.files import MANIFEST, array_hash, whole_folder, write_json
from agentrec.decoding.sets.subset import universe

if TYPE_CHECKING:
    from agentrec.decoding.index.csr import StaticIndex

ROOM, METHOD = "decoding", "constraint_sets"


def index_hash(index: StaticIndex) -> str:
    """Sixteen hexadecimal digits over the codes and items of an index."""
    sizes = np.array(index.level_sizes)
    return array_hash(sizes, *(part.cpu().numpy() for part in (*index.tokens, index.items)))


def write_sets(index: StaticIndex, members: Mapping[str, torch.Tensor], folder: str | Path) -> None:
    """Write; an older folder of that name stays as it was if that fails."""
    from safetensors.numpy import save_file

    arrays = {name: part.cpu().numpy() for name, part in members.items()}
    sizes = {name: int(np.bitwise_count(part).sum()) for name, part in arrays.items()}
    config = {"index": index_hash(index), "sizes": sizes}
    manifest = {"format": FORMAT, "room": ROOM, "method": METHOD, "config": config, "provenance": {}}
    with whole_folder(folder) as temporary:
        write_json(temporary / MANIFEST, manifest)
        with writing_weights(folder):
            save_file(arrays, temporary / ARRAYS)


def read_sets(index: StaticIndex, folder: str | Path) -> dict[str, NDArray[np.bool_]]:
    """Masks of items by the names of their sets: (I,) bool each.

    Raises:
        ArtefactError: it is missing or damaged, holds something else, or belongs to another index.
    """
    manifest: dict[str, Any] = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != (ROOM, METHOD):
        found = f"{manifest['room']}/{manifest['method']}"
        raise ArtefactError(f"{folder} holds {found}; expected {ROOM}/{METHOD}, so point to another folder")
    own, theirs = index_hash(index), manifest["config"].get("index")
    if own != theirs:
        raise ArtefactError(
            f"the constraint sets in {folder} belong to the index {theirs}, and this one is {own}; expected the same "
            "items and codes, so build the sets anew"
        )
    arrays, size = read_arrays(Path(folder) / ARRAYS), universe(index)
    claimed = manifest["config"].get("sizes", {})
    counts = {name: int(np.bitwise_count(part).sum()) for name, part in arrays.items()}
    if counts != claimed or any(part.shape != ((size + 7) // 8,) for part in arrays.values()):
        raise ArtefactError(f"{folder} has sets of other sizes than its {MANIFEST} says; write or copy it again")
    return {name: np.unpackbits(part, count=size, bitorder="little").astype(bool) for name, part in arrays.items()}
