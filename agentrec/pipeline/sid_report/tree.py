"""The first two levels of semantic IDs as a tree, every node with its items in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentrec.core.types import IntArray
from agentrec.pipeline.sid_report.naming import Name, Namer
from agentrec.semantic_ids.vocabulary import LETTERS

EXAMPLES = 4  # titles of a first code
FEWER = 2  # titles of a second code


@dataclass(frozen=True)
class Node:
    """Items with the same first codes.

    Attributes:
        codes: the codes they share.
        size: how many items.
        name: what they are.
        kind: the category that more than half of them have, or nothing.
        children: by the next code, largest first; none below the second.
    """

    codes: tuple[int, ...]
    size: int
    name: Name
    kind: str
    children: tuple[Node, ...] = ()

    @property
    def token(self) -> str:
        """The codes as they are written.

        Example:
            >>> Node((3, 1), 1, Name("", (), ()), "").token
            '<a_3><b_1>'
        """
        return "".join(f"<{LETTERS[level]}_{code}>" for level, code in enumerate(self.codes))

    @property
    def slug(self) -> str:
        """The codes as the name of an anchor."""
        return "code-" + "-".join(map(str, self.codes))


def prefix_tree(codes: IntArray, namer: Namer, categories: Sequence[str] | None = None) -> tuple[Node, ...]:
    """Nodes of the first codes, largest first, each with those of the second.

    Args:
        codes: (N, L) int64.
        namer: of the catalogue's N items.
        categories: N categories, empty where unknown.
    """
    kinds = categories or [""] * len(codes)
    return tuple(_nodes(codes[:, :2], np.arange(len(codes)), (), namer, kinds))


def _nodes(codes: IntArray, items: IntArray, above: tuple[int, ...], namer: Namer, kinds: Sequence[str]) -> list[Node]:
    level = len(above)
    column = codes[items, level]
    order = np.argsort(column, kind="stable")
    values, starts = np.unique(column[order], return_index=True)
    found = []
    for code, members in zip(values.tolist(), np.split(items[order], starts[1:]), strict=True):
        own = (*above, code)
        more = level + 1 < codes.shape[1]
        children = _nodes(codes, members, own, namer, kinds) if more else []
        name = namer.name(members, FEWER if above else EXAMPLES)
        found.append(Node(own, len(members), name, _kind(members, kinds), tuple(children)))
    return sorted(found, key=lambda node: (-node.size, node.codes))


def _kind(items: IntArray, kinds: Sequence[str]) -> str:
    kind, count = Counter(kinds[item] for item in items.tolist()).most_common(1)[0]
    return kind if 2 * count > len(items) else ""
