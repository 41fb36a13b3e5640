"""What a group of items is, in words: its typical category, the words its titles have and others have not, examples."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentrec.core.types import Catalogue, IntArray
from agentrec.pipeline.sid_report.categories import LARGEST, Path, category_paths

WORD = re.compile(r"[^\W\d_]{3,}")
WORDS = 3
TYPICAL = 0.5  # more of the items than that must share a category for it to name the group
OFTEN = 0.25  # of the titles must have a word ...
LIFT = 3.0  # ... so many times as many as of all titles ...
COMMON = 0.2  # ... of which no more may have it


@dataclass(frozen=True)
class Name:
    """What a group of items is.

    Attributes:
        category: the most particular category that more than half of the items share, or nothing.
        words: words that a quarter of the titles have, and a far smaller part of all titles, most telling first.
        examples: titles of typical items.
    """

    category: str
    words: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def label(self) -> str:
        """The category, else the words, else nothing."""
        return self.category or ", ".join(self.words)

    @property
    def detail(self) -> str:
        """The words that the category does not hold; nothing where the label is made of words."""
        said = self.category.lower()
        return ", ".join(word for word in self.words if word.rstrip("s") not in said) if said else ""


class Namer:
    """Names groups of one catalogue's items.

    Args:
        catalogue: N items; without titles groups have no words, without categories no category.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.titles = catalogue.titles
        self._paths = category_paths(catalogue) or [()] * len(catalogue)
        has_titles = any(catalogue.columns.get("title", ()))
        self._words = [words_of(title) for title in self.titles] if has_titles else [frozenset()] * len(catalogue)
        self._word_counts = Counter(word for words in self._words for word in words)
        self._node_counts = Counter(node for path in self._paths for node in nodes_of(path))

    def name(self, items: IntArray, examples: int) -> Name:
        """Name a group: (n,) int64 item indexes, how many examples to give."""
        rows = items.tolist()
        words = self._typical_words(rows)
        return Name(self._typical_category(rows), words, self._examples(rows, words, examples))

    def _typical_category(self, rows: Sequence[int]) -> str:
        """The deepest node of the paths that enough of the items, and not most of the catalogue, lie under."""
        counts = Counter(node for row in rows for node in nodes_of(self._paths[row]))
        total = len(self._paths)
        fit = [
            (len(node), count, node)
            for node, count in counts.items()
            if count > TYPICAL * len(rows) and (self._node_counts[node] <= LARGEST * total or len(rows) == total)
        ]
        return max(fit, key=lambda entry: (entry[0], entry[1], entry[2]))[2][-1] if fit else ""

    def _typical_words(self, rows: Sequence[int]) -> tuple[str, ...]:
        """By how much more often the group's titles have them than all titles."""
        counts = Counter(word for row in rows for word in self._words[row])
        scores = {}
        for word, count in counts.items():
            often, everywhere = count / len(rows), self._word_counts[word] / len(self._words)
            telling = everywhere <= COMMON and often >= LIFT * everywhere
            if telling and often >= OFTEN and count >= min(2, len(rows)):
                scores[word] = often * math.log(often / everywhere)
        ranked = sorted(scores, key=lambda word: (-scores[word], word))
        return tuple(ranked[:WORDS])

    def _examples(self, rows: Sequence[int], words: Iterable[str], wanted: int) -> tuple[str, ...]:
        """Different titles, those with most of the typical words first."""
        telling = frozenset(words)
        ordered = sorted(rows, key=lambda row: (-len(telling & self._words[row]), row))
        return tuple(dict.fromkeys(self.titles[row] for row in ordered))[:wanted]


def words_of(title: str) -> frozenset[str]:
    """Words of three letters or more, in lower case."""
    return frozenset(WORD.findall(title.lower()))


def nodes_of(path: Path) -> list[Path]:
    """Every start of a path, from general to particular.

    Example:
        >>> nodes_of(("tools", "drills"))
        [('tools',), ('tools', 'drills')]
    """
    return [path[:depth] for depth in range(1, len(path) + 1)]
