"""Items by words of their titles or by their ids: every word must occur, and titles that begin with it come first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from agentrec.core.types import Catalogue


@dataclass(frozen=True)
class ItemSearch:
    """A search over a catalogue.

    Attributes:
        catalogue: N items.

    Example:
        >>> found = ItemSearch(Catalogue(("a", "b", "c"), {"title": ("Red tent", "Tent pegs", "Boots")}))
        >>> found.find("TENT", 5)
        [1, 0]
    """

    catalogue: Catalogue

    @cached_property
    def _titles(self) -> list[str]:
        return [title.casefold() for title in self.catalogue.titles]

    @cached_property
    def _ids(self) -> list[str]:
        return [item.casefold() for item in self.catalogue.ids]

    def find(self, words: str, limit: int) -> list[int]:
        """Item indexes, best first: the same id or title, titles that begin alike, words that begin alike, the rest.

        Args:
            words: looked for without regard to case; no words find nothing.
            limit: so many items at most.
        """
        wanted = words.casefold().split()
        if not wanted:
            return []
        whole = " ".join(wanted)
        fitting = [
            item
            for item, title in enumerate(self._titles)
            if all(word in title for word in wanted) or self._ids[item].startswith(whole)
        ]
        return sorted(fitting, key=lambda item: self._order(item, whole, wanted))[:limit]

    def _order(self, item: int, whole: str, wanted: list[str]) -> tuple[bool, bool, int, int, int]:
        title = self._titles[item]
        begins = sum(not f" {title}".count(f" {word}") for word in wanted)
        same = whole in (title, self._ids[item])
        return (not same, not title.startswith(whole), begins, len(title), item)
