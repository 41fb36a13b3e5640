"""Whether items with the same first codes are of the same category.

Two measures, each with its chance level. The share of the majority category is easy to read, and rises by itself with
the number of prefixes: alone, every item is of one category. Adjusted mutual information (Vinh, Epps and Bailey, 2010)
is 0 by chance whatever the numbers, 1 where prefixes and categories are the same partition; it falls where prefixes
are finer than categories, so compare it at equal prefix length and codebook size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.rng import generator
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.groups import groups

SHUFFLES = 5


def prefix_purity(
    codes: IntArray, categories: Sequence[str], *, longest: int = 3, shuffles: int = SHUFFLES, seed: int = 0
) -> dict[str, Any] | None:
    """Compare the groups of items that share their first 1, 2, ... codes with categories.

    Args:
        codes: (N, L) int64.
        categories: N categories; items whose category is empty are left out.
        longest: prefix, at most L.
        shuffles: of the categories among the items, for the chance level of the majority.
        seed: of the shuffles.

    Returns:
        JSON-able: ``num_items`` and ``num_categories`` that count, and per prefix (``prefixes``) its ``length``,
        ``majority`` (the share of items whose category is the most frequent one of their prefix),
        ``majority_chance``, ``mutual_information`` (adjusted) and ``mutual_information_chance`` (0 by construction).
        None where no item has a category.

    Raises:
        DataError: there are not as many categories as rows of codes.

    Example:
        >>> found = prefix_purity(np.array([[0, 1], [0, 2], [1, 0]]), ["nail", "nail", "lamp"])
        >>> found["prefixes"][0]["majority"], found["prefixes"][0]["mutual_information"]
        (1.0, 1.0)
    """
    if len(categories) != len(codes):
        raise DataError(f"{len(categories)} categories do not fit {len(codes)} rows of codes; expected as many")
    known = np.flatnonzero([bool(name) for name in categories])
    if not len(known):
        return None
    names, category = np.unique(np.asarray(categories, dtype=object)[known].astype(str), return_inverse=True)
    rng = generator(seed, "prefix_purity")
    shuffled = [rng.permutation(category) for _ in range(shuffles)]
    rows = []
    for length in range(1, min(longest, codes.shape[1]) + 1):
        prefix = groups(codes[known, :length])[0]
        rows.append(
            {
                "length": length,
                "majority": majority_share(prefix, category),
                "majority_chance": float(np.mean([majority_share(prefix, other) for other in shuffled])),
                "mutual_information": adjusted_mutual_information(prefix, category),
                "mutual_information_chance": 0.0,
            }
        )
    return {"num_items": len(known), "num_categories": len(names), "prefixes": rows}


def majority_share(group: IntArray, category: IntArray) -> float:
    """The share of items whose category is the most frequent one of their group: (N,) and (N,) int64 from 0."""
    pairs, counts = _contingency(group, category)
    largest = np.zeros(int(group.max()) + 1, np.int64)
    np.maximum.at(largest, pairs[0], counts)
    return float(largest.sum() / len(group))


def adjusted_mutual_information(first: IntArray, second: IntArray) -> float:
    """Mutual information of two partitions, less what chance gives, over the most it could be.

    ``(MI - E[MI]) / (mean of both entropies - E[MI])``, the expectation over all partitions with groups of these sizes,
    exactly. The same number as scikit-learn's, in time that grows with the number of different group sizes rather than
    of groups. It is 0 where nothing is left to explain, as when every item is alone, unless both are the same.

    Args:
        first: (N,) int64 from 0.
        second: (N,) int64 from 0.
    """
    (rows, columns), counts = _contingency(first, second)
    sizes, others = np.bincount(first), np.bincount(second)
    shares, total = counts / len(first), len(first)
    information = float((shares * np.log(total * counts / (sizes[rows] * others[columns].astype(np.float64)))).sum())
    expected = _expected_information(sizes[sizes > 0], others[others > 0])
    room = (_entropy(sizes) + _entropy(others)) / 2 - expected
    if room < 1e-12:
        return float(len(counts) == (sizes > 0).sum() == (others > 0).sum())
    return (information - expected) / room


def _contingency(first: IntArray, second: IntArray) -> tuple[tuple[IntArray, IntArray], IntArray]:
    """Pairs of groups that share items, and how many they share."""
    width = int(second.max()) + 1
    keys, counts = np.unique(first * width + second, return_counts=True)
    return (keys // width, keys % width), counts


def _entropy(sizes: IntArray) -> float:
    shares = sizes[sizes > 0] / sizes.sum()
    return float(-(shares * np.log(shares)).sum())


def _expected_information(sizes: IntArray, others: IntArray) -> float:
    """E[MI] where a group of x items and one of y share a hypergeometric number of them."""
    from scipy.special import gammaln

    total = int(sizes.sum())
    log_factorial: NDArray[np.float64] = gammaln(np.arange(total + 1) + 1.0)
    found = 0.0
    for x, times_x in zip(*_multiplicities(sizes), strict=True):
        for y, times_y in zip(*_multiplicities(others), strict=True):
            shared = np.arange(max(1, x + y - total), min(x, y) + 1)
            ways = log_factorial[x] + log_factorial[y] + log_factorial[total - x] + log_factorial[total - y]
            ways = ways - log_factorial[total] - log_factorial[shared] - log_factorial[x - shared]
            chance = np.exp(ways - log_factorial[y - shared] - log_factorial[total - x - y + shared])
            terms = shared / total * np.log(total * shared / (x * y)) * chance
            found += times_x * times_y * float(terms.sum())
    return found


def _multiplicities(sizes: IntArray) -> tuple[list[int], list[int]]:
    """Different sizes, and how often each occurs."""
    values, counts = np.unique(sizes, return_counts=True)
    return values.tolist(), counts.tolist()
