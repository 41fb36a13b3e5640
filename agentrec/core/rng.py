"""Random generators derived from one seed and a purpose, so that steps do not share or disturb a stream."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for one purpose under one seed.

    Example:
        >>> bool(generator(0, "shop").random() == generator(0, "shop").random())
        True
        >>> bool(generator(0, "shop").random() == generator(0, "split").random())
        False
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return np.random.default_rng([seed, *words])
