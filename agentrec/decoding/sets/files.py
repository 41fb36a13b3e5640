"""Named constraint sets as a folder: the manifest of every artefact, and packed bits of items per set.

The folder holds no index, but the hash of the one its sets belong to: item 7 of another catalogue is another item.

It may be written again and again while others read it and whatever kills the writer: the bits go to a file of a new
name, and renaming the manifest, which names that file, is the one step that makes them count.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.artefact import ARRAYS, FORMAT, read_arrays, read_manifest, writing_weights
from agentrec.core.errors import AgentrecError, ArtefactError
from agentrec.core.files import MANIFEST, array_hash, json_hash, whole_file, write_json
from agentrec.decoding.sets.subset import universe

if TYPE_CHECKING:
    from agentrec.decoding.index.csr import StaticIndex

ROOM, METHOD = "decoding", "constraint_sets"
BITS = re.compile(r"arrays(-[0-9a-f]{16})?\.safetensors")  # the name of a file of bits; without a hash in older folders

_writing = threading.Lock()  # one writer of this process at a time


def index_hash(index: StaticIndex) -> str:
    """Sixteen hexadecimal digits over the codes and items of an index."""
    sizes = np.array(index.level_sizes)
    return array_hash(sizes, *(part.cpu().numpy() for part in (*index.tokens, index.items)))


def write_sets(index: StaticIndex, members: Mapping[str, torch.Tensor], folder: str | Path) -> None:
    """Write; what an older folder of that name says stays as it was until all is written.

    The bits that counted before are kept once more, for readers who have just read the old manifest.

    Raises:
        AgentrecError: the disk is full, the folder cannot be written, or what lies there is something else.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    arrays = {name: part.cpu().numpy() for name, part in sorted(members.items())}
    sizes = {name: int(np.bitwise_count(part).sum()) for name, part in arrays.items()}
    bits = f"arrays-{json_hash([list(arrays), array_hash(*arrays.values())])}.safetensors"
    config = {"index": index_hash(index), "sizes": sizes, "arrays": bits}
    manifest = {"format": FORMAT, "room": ROOM, "method": METHOD, "config": config, "provenance": {}}
    with _writing:
        before = _bits_before(folder)
        with writing_weights(folder), whole_file(folder / bits) as temporary:
            save_file(arrays, temporary)
        write_json(folder / MANIFEST, manifest)
        for file in folder.glob("arrays*.safetensors"):
            if BITS.fullmatch(file.name) and file.name not in (bits, before):
                file.unlink(missing_ok=True)


def _bits_before(folder: Path) -> str:
    """The file of bits that counts now; empty where there is none."""
    if (folder / MANIFEST).is_file():
        return str(_config(folder).get("arrays", ARRAYS))
    if not holds_no_sets(folder) and folder.exists():
        raise AgentrecError(
            f"{folder} exists and holds no constraint sets; expected a new or empty folder or one of older sets, so "
            "choose another"
        )
    return ""


def holds_no_sets(folder: str | Path) -> bool:
    """Whether a folder is there and empty, but for hidden files and what a writer that was killed left behind."""
    folder = Path(folder)
    return folder.is_dir() and all(
        file.name.startswith(".") or BITS.fullmatch(file.name) is not None for file in folder.iterdir()
    )


def _config(folder: str | Path) -> dict[str, Any]:
    """What the manifest says of the sets."""
    manifest: dict[str, Any] = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != (ROOM, METHOD):
        found = f"{manifest['room']}/{manifest['method']}"
        raise ArtefactError(f"{folder} holds {found}; expected {ROOM}/{METHOD}, so point to another folder")
    config: dict[str, Any] = manifest["config"]
    return config


def read_sets(index: StaticIndex, folder: str | Path) -> dict[str, NDArray[np.bool_]]:
    """Masks of items by the names of their sets: (I,) bool each.

    Raises:
        ArtefactError: it is missing or damaged, holds something else, or belongs to another index.
    """
    config = _config(folder)
    own, theirs = index_hash(index), config.get("index")
    if own != theirs:
        raise ArtefactError(
            f"the constraint sets in {folder} belong to the index {theirs}, and this one is {own}; expected the same "
            "items and codes, so build the sets anew"
        )
    bits = str(config.get("arrays", ARRAYS))
    if not BITS.fullmatch(bits):
        raise ArtefactError(f"{Path(folder) / MANIFEST} names {bits!r} as its bits; it was edited, so write it again")
    arrays, size = read_arrays(Path(folder) / bits), universe(index)
    claimed = config.get("sizes", {})
    counts = {name: int(np.bitwise_count(part).sum()) for name, part in arrays.items()}
    if counts != claimed or any(part.shape != ((size + 7) // 8,) for part in arrays.values()):
        raise ArtefactError(f"{folder} has sets of other sizes than its {MANIFEST} says; write or copy it again")
    return {name: np.unpackbits(part, count=size, bitorder="little").astype(bool) for name, part in arrays.items()}
