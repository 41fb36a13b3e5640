"""Many strings as two arrays, so that they travel in safetensors instead of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import IntArray


def pack(strings: Sequence[str]) -> tuple[NDArray[np.uint8], IntArray]:
    """Join strings as UTF-8 bytes.

    Args:
        strings: S strings.

    Returns:
        The bytes, (total,) uint8, and offsets, (S + 1,) int64: string ``s`` owns ``bytes[offsets[s]:offsets[s + 1]]``.

    Raises:
        DataError: a string holds half a surrogate pair, which no UTF-8 can express.

    Example:
        >>> [part.tolist() for part in pack(["a", "", "é"])]
        [[97, 195, 169], [0, 1, 1, 3]]
    """
    try:
        encoded = [string.encode() for string in strings]
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text {error.object[:40]!r} holds a lone surrogate {error.object[error.start]!r}; expected valid "
            "Unicode, so repair the encoding of the source"
        ) from error
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(part) for part in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8).copy(), offsets


def unpack(data: NDArray[Any], offsets: NDArray[Any]) -> tuple[str, ...]:
    """Split what `pack` joined.

    Args:
        data: (total,) uint8.
        offsets: (S + 1,) int64.

    Raises:
        ArtefactError: the offsets do not fit the bytes, or the bytes are not UTF-8.
    """
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) < 0).any():
        raise ArtefactError(
            f"a string column has offsets that do not fit its {len(data)} bytes; it is damaged, so write it again"
        )
    joined = np.ascontiguousarray(data, np.uint8).tobytes()
    bounds = offsets.tolist()
    try:
        return tuple(joined[start:end].decode() for start, end in pairwise(bounds))
    except UnicodeDecodeError as error:
        raise ArtefactError("a string column is not UTF-8; the artefact is damaged, so write it again") from error
