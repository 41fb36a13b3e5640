"""Rows of codes as whole numbers, so that sorting a catalogue is sorting integers.

The codes of a row lie side by side in 64-bit words, the first level in the highest bits, no level across two words.
Sorted words are then rows in lexicographic order, and the first bit that differs between two neighbours tells the level
at which their prefixes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray
from agentrec.decoding.index.kernels import radix_pass

WORD = 64
DIGIT = 8  # bits per pass of the radix sort: 256 counters stay in the first-level cache

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Layout:
    """Where the code of each level lies.

    Attributes:
        level_sizes: K_l per level.
        word: (L,) which word.
        shift: (L,) how many bits lie below it in that word.
        bits: (L,) its own bits.
    """

    level_sizes: tuple[int, ...]
    word: tuple[int, ...]
    shift: tuple[int, ...]
    bits: tuple[int, ...]

    @classmethod
    def of(cls, level_sizes: Sequence[int]) -> Layout:
        """As few words as hold the levels in order, each filled from below by its last level.

        Raises:
            DataError: there is no level, or a level has no code.
        """
        sizes = tuple(int(size) for size in level_sizes)
        if not sizes or min(sizes) < 1:
            raise DataError(f"level sizes are {sizes}; expected one or more levels of at least one code each")
        bits = [max(1, (size - 1).bit_length()) for size in sizes]
        words: list[list[int]] = [[]]
        for level, width in enumerate(bits):
            if sum(bits[other] for other in words[-1]) + width > WORD:
                words.append([])
            words[-1].append(level)
        word = [number for number, levels in enumerate(words) for _ in levels]
        shift = [sum(bits[other] for other in words[word[level]] if other > level) for level in range(len(sizes))]
        return cls(sizes, tuple(word), tuple(shift), tuple(bits))

    @property
    def num_words(self) -> int:
        """Words per row."""
        return self.word[-1] + 1

    def used_bits(self, word: int) -> int:
        """How many of the low bits of a word are in use."""
        return sum(width for width, where in zip(self.bits, self.word, strict=True) if where == word)

    def pack(self, codes: IntArray) -> Words:
        """Codes (N, L) -> words (W, N) uint64.

        Raises:
            DataError: the shape does not fit, or a code is out of range; the message names the row.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != len(self.level_sizes):
            raise DataError(f"codes have shape {codes.shape}; expected (N, {len(self.level_sizes)})")
        words = np.zeros((self.num_words, len(codes)), np.uint64)
        for level, size in enumerate(self.level_sizes):
            column = codes[:, level]
            if len(column) and (int(column.min()) < 0 or int(column.max()) >= size):
                row = int(((column < 0) | (column >= size)).argmax())
                raise DataError(f"row {row} has code {int(column[row])} at level {level}; expected 0 to {size - 1}")
            words[self.word[level]] |= column.astype(np.uint64) << np.uint64(self.shift[level])
        return words


def sorted_rows(words: Words, layout: Layout) -> tuple[Words, NDArray[Any]]:
    """Sort rows: words (W, N) -> the sorted words, and the former place of each row (N,).

    A radix sort, stable, by the bits in use only.
    """
    count = words.shape[1]
    order = np.arange(count, dtype=np.uint32 if count < 2**32 else np.uint64)
    spare = np.empty_like(order)
    for word in range(layout.num_words - 1, -1, -1):
        keys = words[word].copy() if layout.num_words == 1 else words[word][order]
        room = np.empty_like(keys)
        for shift in range(0, layout.used_bits(word), DIGIT):
            radix_pass(keys, order, room, spare, shift)
            keys, room, order, spare = room, keys, spare, order
    placed = keys[None] if layout.num_words == 1 else words[:, order]
    return placed, order
