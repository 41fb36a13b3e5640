"""Rank several semantic IDs of one catalogue on the same vectors, and write what was found."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agentrec.core.files import as_json, whole_file, write_json
from agentrec.core.provenance import versions
from agentrec.core.types import JSON, FloatArray
from agentrec.evaluation.result import Comparison, Estimate
from agentrec.pipeline.sid_compare.downstream import Downstream
from agentrec.pipeline.sid_compare.entries import Entry
from agentrec.pipeline.sid_compare.scores import ASPECTS, aspects, mean_ranks, numbers
from agentrec.semantic_ids.health import health, levels
from agentrec.semantic_ids.neighbours import Metric

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One of the semantic IDs, measured.

    Attributes:
        entry: the IDs.
        health: the report, None where there are no IDs.
        aspects: the numbers that count for the rank; empty where there are no IDs.
        mean_rank: of the aspects; None where there are no IDs.
        ndcg: NDCG@10 of the generator; None where it was not trained.
        difference: of NDCG@10 to the reference; None for the reference and where there is no NDCG.
    """

    entry: Entry
    health: JSON | None = None
    aspects: dict[str, float | None] | None = None
    mean_rank: float | None = None
    ndcg: Estimate | None = None
    difference: Comparison | None = None

    def flat(self) -> dict[str, Any]:
        """Everything as one row of a table."""
        row: dict[str, Any] = {"name": self.entry.name, "origin": self.entry.origin, "mean_rank": self.mean_rank}
        row |= {f"aspect_{name}": value for name, value in (self.aspects or {}).items()}
        row |= {} if self.health is None else numbers(self.health)
        if self.ndcg is not None:
            row |= {f"ndcg@10_{name}": value for name, value in self.ndcg._asdict().items()}
        if self.difference is not None:
            found = self.difference
            row |= {"ndcg@10_difference": found.difference, "difference_low": found.low, "difference_high": found.high}
            row |= {"difference_holm": found.holm}
        return {**row, "fit_seconds": self.entry.seconds, "error": self.entry.error}


@dataclass(frozen=True)
class Comparing:
    """What a comparison found.

    Attributes:
        rows: best first: by NDCG@10 where it was measured, else by mean rank; those without IDs last.
        about: data, vectors, budget and versions.
        downstream: the evaluation of the generator, if it was asked for.
    """

    rows: tuple[Row, ...]
    about: JSON
    downstream: Downstream | None = None

    def to_json(self) -> JSON:
        """Everything, for machines."""
        rows = [
            {
                "name": row.entry.name,
                "origin": row.entry.origin,
                "error": row.entry.error or None,
                "fit_seconds": row.entry.seconds,
                "mean_rank": row.mean_rank,
                "aspects": row.aspects,
                "health": row.health,
                "ndcg@10": None if row.ndcg is None else row.ndcg._asdict(),
                "difference": None if row.difference is None else asdict(row.difference),
            }
            for row in self.rows
        ]
        known = [aspect._asdict() for aspect in ASPECTS]
        reference = None if self.downstream is None else self.downstream.reference
        found: JSON = {"format": FORMAT, **self.about, "aspects": known, "reference": reference, "rows": rows}
        return {name: as_json(value) for name, value in found.items()}

    def with_downstream(self, found: Downstream) -> Comparing:
        """The same with what a generator makes of the IDs, in its order."""
        measured = found.result.systems
        rows = [
            replace(row, ndcg=found.estimate(row.entry.name), difference=found.difference(row.entry.name))
            if row.entry.name in measured
            else row
            for row in self.rows
        ]
        return replace(self, rows=_ordered(rows), downstream=found)

    def write(self, folder: str | Path) -> Path:
        """Write ``compare.json``, ``compare.csv`` and ``compare.html``, each whole or not at all; return the page.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        from agentrec.pipeline.sid_compare.page import to_html

        folder = Path(folder)
        write_json(folder / "compare.json", self.to_json())
        table = [row.flat() for row in self.rows]
        columns = list(dict.fromkeys(name for row in table for name in row))
        with whole_file(folder / "compare.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(table)
        with whole_file(folder / "compare.html") as temporary:
            temporary.write_text(to_html(self), encoding="utf-8")
        return folder / "compare.html"


def compare_sids(
    entries: Sequence[Entry],
    table: FloatArray,
    categories: Sequence[str] | None,
    *,
    metric: Metric = "euclidean",
    seed: int = 0,
    about: JSON | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Comparing:
    """Measure semantic IDs on the same vectors, whatever they were fitted on, and rank them.

    Args:
        entries: the IDs.
        table: (N, D) float32 item vectors.
        categories: N categories, empty where unknown; None for none.
        metric: of neighbours.
        seed: of draws and shuffles.
        about: what is known beside the numbers.
        say: told one line per IDs.
    """
    rows = []
    for entry in entries:
        if entry.vocabulary is None:
            say(f"{entry.name}: {entry.error}")
            rows.append(Row(entry))
            continue
        say(f"{entry.name}: measuring")
        report = health(table, entry.codes, categories=categories, metric=metric, seed=seed)
        report["levels"] = levels(entry.codes, entry.level_sizes)
        rows.append(Row(entry, report, aspects(report)))
    good = [row for row in rows if row.aspects is not None]
    ranks = iter(mean_ranks([row.aspects or {} for row in good]))
    ranked = [row if row.aspects is None else replace(row, mean_rank=next(ranks)) for row in rows]
    known = {**(about or {}), "metric": metric, "seed": seed, "num_items": len(table), "versions": versions()}
    return Comparing(_ordered(ranked), known)


def _ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    def place(row: Row) -> tuple[float, float, float, str]:
        ndcg = 0.0 if row.ndcg is None or row.ndcg.mean is None else row.ndcg.mean
        return (row.mean_rank is None, -ndcg, row.mean_rank or 0.0, row.entry.name)

    return tuple(sorted(rows, key=place))
