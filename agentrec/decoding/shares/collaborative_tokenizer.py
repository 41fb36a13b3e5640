"""The collaborative tokenizer: item scores of any recommender as probabilities of the next token (arXiv:2601.18457).

Behind a prefix y of tokens stand the items S whose identifiers begin so. Their scores z give each item a share of S,
and a token that may follow gets the shares of the items that have it there::

    p(v | y) = sum over i in S with next token v of exp(z_i / beta)  /  sum over i in S of exp(z_i / beta)

Items lie in the order of their identifiers (`agentrec.decoding.index.item_ranges`), so both are sums over slices. They
are taken less the largest score, in compiled code. The paper's code skips a prefix that is a whole title; here the end
token is a token like any other, and items of the same title add up.

What it does not know: where scores come from, and language models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.decoding.index.item_ranges import ItemRanges
from agentrec.decoding.shares.kernels import child_shares


class CollaborativeTokenizer:
    """Scores of items to shares of tokens.

    Args:
        ranges: the trie of the items' tokens.
        beta: temperature of the scores; small values sharpen.

    Raises:
        ConfigError: beta is not above zero.

    Example:
        >>> from agentrec.decoding.index.sequences import SequenceTrie
        >>> ranges = ItemRanges.of_trie(SequenceTrie.build([[5, 6], [5], [7]], eos=9))
        >>> tokenizer = CollaborativeTokenizer(ranges)
        >>> tokens, shares = tokenizer.next_tokens(np.log(np.array([1, 2, 5], np.float32)), [])
        >>> tokens.tolist(), shares.round(3).tolist()
        ([5, 7], [0.375, 0.625])
    """

    def __init__(self, ranges: ItemRanges, beta: float = 1.0) -> None:
        if not beta > 0:
            raise ConfigError(f"beta is {beta}; expected a temperature above 0")
        self.ranges = ranges
        self.beta = beta

    def shares(self, scores: FloatArray, rows: IntArray, nodes: IntArray) -> FloatArray:
        """Probabilities of the children of nodes, each under the scores of a row.

        Args:
            scores: (R, N) float32 scores of all items by index; ``-inf`` leaves an item out.
            rows: (P,) int64, whose scores are asked.
            nodes: (P,) int64, behind which prefix.

        Returns:
            (E,) float32, the shares of the children of ``nodes[0]``, then those of ``nodes[1]`` and so on; those of one
            node sum to 1. Where all items behind a node are left out, they count alike.

        Raises:
            DataError: the scores are of another number of items, or one is not a number or is ``+inf``.
        """
        placed = self.in_order(scores)
        top = placed.max(axis=1, keepdims=True)
        weights = np.subtract(placed, np.where(np.isneginf(top), np.float32(0), top))
        np.exp(weights, out=weights)
        widths = self.ranges.first[nodes + 1] - self.ranges.first[nodes]
        found = np.empty(int(widths.sum()), np.float32)
        arrays = self.ranges.first, self.ranges.begins, self.ranges.ends
        child_shares(placed, weights, arrays, (np.asarray(rows, np.int64), np.asarray(nodes, np.int64)), found)
        return found

    def in_order(self, scores: FloatArray) -> FloatArray:
        """Scores over beta in the order of the leaves: (R, N) -> (R, items in the trie); raises as `shares`."""
        known = len(self.ranges.starts) - 1
        if scores.ndim != 2 or scores.shape[1] != known:
            raise DataError(
                f"scores have shape {scores.shape} and the trie has {known} items; expected one score per item, so use "
                "a scorer of the same catalogue"
            )
        placed = np.empty((len(scores), self.ranges.num_items), np.float32)
        np.take(np.asarray(scores, np.float32), self.ranges.order, axis=1, out=placed, mode="clip")  # clip: no buffer
        if self.beta != 1:
            placed /= np.float32(self.beta)
        if not placed.max(initial=-np.inf) < np.inf:  # false of NaN too
            row = int(np.flatnonzero(~(placed.max(axis=1) < np.inf))[0])
            raise DataError(f"row {row} has a score that is not a number or infinite; expected numbers or -inf")
        return placed

    def next_tokens(self, scores: FloatArray, prefix: Sequence[int]) -> tuple[IntArray, FloatArray]:
        """What one user's scores say about the token behind a prefix, for looking at it.

        Args:
            scores: (N,) float32.
            prefix: the model's tokens so far.

        Returns:
            (C,) tokens that may follow, and (C,) float32 their probabilities.

        Raises:
            DataError: no item begins with the prefix.
        """
        node = np.array([self.ranges.find(prefix)])
        tokens = self.ranges.tokens[self.ranges.children(node).values]
        return tokens, self.shares(np.asarray(scores, np.float32)[None], np.zeros(1, np.int64), node)
