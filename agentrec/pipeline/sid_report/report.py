"""From saved semantic IDs to ``health.json`` and ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrec.core.files import as_json, whole_file, write_json
from agentrec.core.protocols import Quantiser, TextEncoder
from agentrec.core.types import Catalogue, IntArray
from agentrec.pipeline.semantic_ids import HEALTH, Described, report_semantic_ids
from agentrec.pipeline.sid_report.categories import categories_of, category_paths
from agentrec.semantic_ids.purity import prefix_purity
from agentrec.semantic_ids.vocabulary import SIDVocabulary

PAGE = "report.html"


@dataclass(frozen=True)
class SIDReport:
    """What is known of semantic IDs.

    Attributes:
        vocabulary: the IDs.
        health: as `agentrec.pipeline.semantic_ids.report_semantic_ids` returns it; its ``categories`` are of the IDs in
            use.
        catalogue: their items.
        categories: N categories, empty where unknown; None where the data set has none.
    """

    vocabulary: SIDVocabulary
    health: dict[str, Any]
    catalogue: Catalogue
    categories: Sequence[str] | None

    @property
    def codes(self) -> IntArray:
        """(N, L) int64 codes in use, without a level that only tells colliding items apart."""
        return semantic_codes(self.vocabulary)

    def write(self, folder: str | Path) -> Path:
        """Write ``health.json`` and ``report.html``, each whole or not at all, and return the page.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        from agentrec.pipeline.sid_report.page import to_html

        page = Path(folder) / PAGE
        with whole_file(page) as temporary:
            temporary.write_text(to_html(self), encoding="utf-8")
        write_json(page.with_name(HEALTH), as_json(self.health))
        return page


def describe(
    vocabulary: SIDVocabulary,
    dataset: Described | None = None,
    quantiser: Quantiser | None = None,
    encoder: TextEncoder | None = None,
) -> SIDReport:
    """Measure semantic IDs, and compare their prefixes with the categories of the items.

    Args:
        vocabulary: the semantic IDs.
        dataset: their data set; without it, names, neighbours and categories stay unknown.
        quantiser: what fitted them.
        encoder: what made the item vectors.

    Raises:
        ArtefactError: the data set has other items.
    """
    health = report_semantic_ids(vocabulary, dataset, quantiser, encoder)
    if dataset is None:
        ids = vocabulary.item_ids or tuple(f"item {item}" for item in range(vocabulary.num_items))
        return SIDReport(vocabulary, health, Catalogue(ids), None)
    categories = item_categories(dataset.catalogue)
    purity = None
    if categories is not None:
        purity = prefix_purity(semantic_codes(vocabulary), categories, seed=vocabulary.provenance.get("seed", 0))
    return SIDReport(vocabulary, {**health, "categories": purity}, dataset.catalogue, categories)


def item_categories(catalogue: Catalogue) -> list[str] | None:
    """One category per item, empty where it has none; None where there is no column of categories."""
    paths = category_paths(catalogue)
    return None if paths is None else categories_of(paths)


def semantic_codes(vocabulary: SIDVocabulary) -> IntArray:
    """The codes without a level that only tells colliding items apart."""
    return vocabulary.codes[:, : vocabulary.provenance.get("num_levels", vocabulary.num_levels)]
