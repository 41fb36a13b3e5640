"""A trie of Python dictionaries behind ``prefix_allowed_tokens_fn``: what most generative recommenders ship.

Hugging Face calls the function once per beam and step, with every token so far, and writes a mask of the vocabulary
from the list that comes back (`transformers.PrefixConstrainedLogitsProcessor`). `DictTrie.allowed` does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from agentrec.core.types import IntArray

Node = dict[int, Any]


class DictTrie:
    """One dictionary per node: code -> node.

    Args:
        rows: (N, L) int64 codes, or token ids.
        size: codes, or tokens in the vocabulary.
    """

    def __init__(self, rows: IntArray, size: int) -> None:
        self.size = size
        self.root: Node = {}
        for row in rows.tolist():
            node = self.root
            for code in row:
                node = node.setdefault(code, {})

    def prefix_function(self, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
        """What ``generate`` takes: batch row and all its tokens -> the tokens that may follow."""

        def allowed(_: int, sequence: torch.Tensor) -> list[int]:
            node = self.root
            for token in sequence[prompt_length:].tolist():
                node = node.get(token, {})
            return list(node)

        return allowed

    def allowed(self, prefixes: torch.Tensor) -> torch.Tensor:
        """See `agentrec.testing.decoding_rivals.masked.PrefixMask`."""
        found = torch.zeros(len(prefixes), self.size, dtype=torch.bool)
        follow = self.prefix_function(0)
        for row, prefix in enumerate(prefixes):
            found[row, follow(0, prefix)] = True
        return found
