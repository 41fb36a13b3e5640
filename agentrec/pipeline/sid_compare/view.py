"""A comparison as text, for the terminal and the page: columns, cells, the best of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from agentrec.pipeline.sid_compare.compare import Comparing, Row
from agentrec.pipeline.sid_compare.scores import ASPECTS, numbers
from agentrec.pipeline.sid_report.words import share

DASH = "–"
LAST_OF_CODES = "items per first code"  # of `details`: columns behind it say what items with the same codes share


class Column(NamedTuple):
    """One column: its head, which direction is better, a row's number, and how it is written."""

    head: str
    better: Literal["higher", "lower", "neither"]
    value: Callable[[Row], float | None]
    written: Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """One number as text, with what stands below it, and whether it is the best of its column."""

    text: str
    below: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Heads, and names with their cells; IDs that could not be measured are left out."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    def split(self, head: str) -> tuple[Table, Table]:
        """The columns up to the one of that head, and those behind it.

        Raises:
            ValueError: no column has that head.
        """
        place = self.heads.index(head) + 1
        left = Table(self.heads[:place], tuple((name, cells[:place]) for name, cells in self.rows))
        return left, Table(self.heads[place:], tuple((name, cells[place:]) for name, cells in self.rows))


def ranking(found: Comparing) -> Table:
    """Rank, NDCG@10 where it was measured, and the aspects."""
    columns = [Column("mean rank", "lower", lambda row: row.mean_rank, lambda value: f"{value:.1f}")]
    if found.downstream is not None:
        columns.insert(0, Column("NDCG@10", "higher", _ndcg, lambda value: f"{value:.4f}"))
    for aspect in ASPECTS:
        columns.append(Column(aspect.name, aspect.better, _aspect(aspect.name), lambda value: f"{value:.3f}"))
    return _table(found, columns)


def details(found: Comparing) -> Table:
    """The numbers behind the aspects, with chance levels below them."""
    shares: list[tuple[str, str]] = [(f"neighbours_{n}", f"neighbours, {n}") for n in (1, 2, 3)]
    shares += [(f"majority_{n}", f"majority category, {n}") for n in (1, 2, 3)]
    columns = [Column("levels", "neither", _number("num_levels"), _count)]
    columns.append(Column("error of means", "lower", _number("relative_error"), lambda value: f"{value:.3f}"))
    columns.append(Column("collisions", "lower", _number("collision_rate"), share))
    columns.append(Column("largest group", "lower", _number("largest_group"), _count))
    columns.append(Column("lowest perplexity", "higher", _number("lowest_perplexity"), lambda value: f"{value:.1f}"))
    columns.append(Column("lowest use", "higher", _number("lowest_utilisation"), share))
    columns.append(Column(LAST_OF_CODES, "neither", _number("items_per_first_code_median"), _count))
    columns += [Column(head, "higher", _number(name), share) for name, head in shares]
    columns += [
        Column(f"mutual information, {n}", "higher", _number(f"mutual_information_{n}"), lambda value: f"{value:.3f}")
        for n in (1, 2, 3)
    ]
    return _table(found, columns, below=_chances(len(columns)))


def _chances(columns: int) -> Callable[[Row], tuple[str, ...]]:
    """What stands below the cells of `details`."""

    def below(row: Row) -> tuple[str, ...]:
        known = numbers(row.health or {})
        said = [""] * columns
        said[1] = f"{known['relative_error_chance']:.3f} by chance"
        said[6] = f"{known['items_per_first_code_min']:,} to {known['items_per_first_code_max']:,}"
        for place, name in enumerate([f"{kind}_{n}" for kind in ("neighbours", "majority") for n in (1, 2, 3)], 7):
            chance = known.get(f"{name}_chance")
            said[place] = "" if chance is None else f"{share(chance)} by chance"
        return tuple(said)

    return below


def _table(found: Comparing, columns: Sequence[Column], below: Callable[[Row], tuple[str, ...]] | None = None) -> Table:
    rows = [row for row in found.rows if row.health is not None]
    kept = [place for place, column in enumerate(columns) if any(column.value(row) is not None for row in rows)]
    best = {place: _best(columns[place], rows) for place in kept}
    table = []
    for row in rows:
        said = below(row) if below else _intervals(row, columns)
        cells = [_cell(columns[place], row, said[place], best[place]) for place in kept]
        table.append((row.entry.name, tuple(cells)))
    return Table(tuple(columns[place].head for place in kept), tuple(table))


def _cell(column: Column, row: Row, below: str, best: float | None) -> Cell:
    value = column.value(row)
    return Cell(DASH) if value is None else Cell(column.written(value), below, value == best)


def _intervals(row: Row, columns: Sequence[Column]) -> tuple[str, ...]:
    ndcg = row.ndcg
    interval = "" if ndcg is None or ndcg.low is None or ndcg.high is None else f"{ndcg.low:.4f} to {ndcg.high:.4f}"
    return tuple(interval if column.value is _ndcg else "" for column in columns)


def _best(column: Column, rows: Sequence[Row]) -> float | None:
    values = [value for row in rows if (value := column.value(row)) is not None]
    if column.better == "neither" or len(values) < 2 or len(set(values)) == 1:
        return None
    return max(values) if column.better == "higher" else min(values)


def _ndcg(row: Row) -> float | None:
    return None if row.ndcg is None else row.ndcg.mean


def _aspect(name: str) -> Callable[[Row], float | None]:
    return lambda row: (row.aspects or {}).get(name)


def _number(name: str) -> Callable[[Row], float | None]:
    return lambda row: numbers(row.health).get(name) if row.health is not None else None


def _count(value: float) -> str:
    return f"{value:,g}"
