"""The last code is a hash of the item's business key, as in the IDs of GR4AD (UA-SID): it needs no vectors.

SHA-256 of the key modulo the size of the level: the same on every machine and in every run, whoever else is in the
catalogue. Where two items of a prefix hash alike, the first in the order of keys has the code and the other the next
free one (linear probing). The hash takes the place of the last level, for all items; or it is a level of its own behind
it (``replace=False``). Either way the last code says nothing about what an item is like.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.groups import row_keys
from agentrec.semantic_ids.collisions.problem import Problem, Resolved, distinct


@dataclass(frozen=True)
class Config:
    """Settings of `Hash`."""

    replace: bool = setting(True, "take the place of the last level, rather than a further level")
    size: int = setting(0, "codes of the further level; 0: as many as on the last")
    salt: str = setting("", "put in front of every key")

    def __post_init__(self) -> None:
        if self.size < 0 or (self.replace and self.size):
            raise ConfigError(
                f"hash settings are size={self.size}, replace={self.replace}; expected a size of 0, as the last level "
                "has one, or replace=False"
            )


def hashed(key: str, size: int, salt: str = "") -> int:
    """The code of a key: 0..size-1.

    Example:
        >>> hashed("B00004YMY4", 256), hashed("B00004YMY4", 256, "other")
        (170, 49)
    """
    return int.from_bytes(hashlib.sha256(f"{salt}{key}".encode()).digest()[:8], "big") % size


class Hash:
    """Ends every ID with a hash of the item's key.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Hash all items, whether they collide or not.

        Raises:
            DataError: no keys, a single level that would be replaced, more items in a prefix than codes, or codes in
                use without the further level.
        """
        replace = self.config.replace
        self._check(problem)
        size = problem.level_sizes[-1] if replace else self.config.size or problem.level_sizes[-1]
        prefixes = problem.codes[:, :-1] if replace else problem.codes
        held = problem.blocked if replace else problem.taken
        if held is None:
            held = np.zeros((0, problem.num_levels + 1), np.int64)
        last = self._probe(problem, prefixes, held, size)
        codes = np.column_stack([prefixes, last])
        if replace:
            return distinct(problem, codes)._replace(num_semantic=problem.num_levels - 1)
        zeros = np.zeros(problem.num_items, np.int64)
        return Resolved(codes, (*problem.level_sizes, size), zeros, problem.num_levels)

    def _check(self, problem: Problem) -> None:
        if problem.keys is None:
            raise DataError("collisions 'hash' needs a business key per item and has none; pass them, such as item ids")
        if self.config.replace and problem.num_levels < 2:
            raise DataError("collisions 'hash' replaces the last level, and there is 1; expected 2, or replace=False")
        if not self.config.replace and problem.taken is not None and not problem.numbered:
            raise DataError("the codes in use have no level of hashes; expected one, so extend them with replace=True")

    def _probe(self, problem: Problem, prefixes: IntArray, held: IntArray, size: int) -> IntArray:
        """The first free code from the hash on, items in the order of their keys: (N,) int64."""
        assert problem.keys is not None
        keys = row_keys(np.concatenate([prefixes, held[:, : prefixes.shape[1]]])).tolist()
        used: dict[int, set[int]] = {}
        for key, code in zip(keys[len(prefixes) :], held[:, prefixes.shape[1]].tolist(), strict=True):
            used.setdefault(key, set()).add(code)
        found = np.empty(len(prefixes), np.int64)
        for row in np.argsort(problem.order).tolist():
            there = used.setdefault(keys[row], set())
            if len(there) >= size:
                raise DataError(
                    f"more than {size} items share the codes {prefixes[row].tolist()}; expected at most as many as "
                    "the hashed level has, so take more levels, or replace=False with a larger size"
                )
            code = hashed(problem.keys[row], size, self.config.salt)
            while code in there:
                code = (code + 1) % size
            there.add(code)
            found[row] = code
        return found


METHOD = Hash
