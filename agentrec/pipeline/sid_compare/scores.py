"""The numbers by which semantic IDs are ranked, and the ranks.

Five aspects count alike: error, collisions, evenness of use, neighbours and categories. The rank is by the mean of the
ranks in each; it is an order for reading. What a generator makes of the IDs is another question, and the one that
counts: `agentrec.pipeline.sid_compare.downstream` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from agentrec.core.types import JSON


class Aspect(NamedTuple):
    """One aspect: its name, which direction is better, and what it is."""

    name: str
    better: Literal["higher", "lower"]
    meaning: str


ASPECTS = (
    Aspect("error", "lower", "error where a code stands for the mean of its items, over that of the codes shuffled"),
    Aspect("collisions", "lower", "share of items that share all codes with an earlier item"),
    Aspect("evenness", "higher", "perplexity over the number of codes, mean of the levels"),
    Aspect("neighbours", "higher", "nearest neighbours with the same first 1, 2, 3 codes, above chance, their mean"),
    Aspect("categories", "higher", "adjusted mutual information of categories and the first 1, 2, 3 codes, their mean"),
)
LENGTHS = (1, 2, 3)


def aspects(health: JSON) -> dict[str, float | None]:
    """The five numbers of a report (`agentrec.semantic_ids.health.health` with vectors); None where unknown."""
    error = health["additive_error"]
    near, kinds = (_prefixes(health[name]) for name in ("neighbours", "categories"))
    return {
        "error": error["relative_error"] / error["chance"] if error["chance"] else None,
        "collisions": health["collision_rate"],
        "evenness": float(np.mean([level["perplexity"] / level["size"] for level in health["levels"]])),
        "neighbours": _mean([_above_chance(row["shared"], row["chance"]) for row in near]),
        "categories": _mean([row["mutual_information"] for row in kinds]),
    }


def numbers(health: JSON) -> dict[str, float | None]:
    """Every number of a report in one flat row, chance levels beside what they belong to."""
    error, levels, loads = health["additive_error"], health["levels"], health["items_per_first_code"]
    row: dict[str, float | None] = {
        "num_levels": len(levels),
        "relative_error": error["relative_error"],
        "relative_error_chance": error["chance"],
        "collision_rate": health["collision_rate"],
        "largest_group": health["largest_group"],
        "lowest_utilisation": min(level["utilisation"] for level in levels),
        "lowest_perplexity": min(level["perplexity"] for level in levels),
        "highest_gini": max(level["gini"] for level in levels),
    }
    row |= {f"items_per_first_code_{name}": value for name, value in loads.items()}
    for length, near in enumerate(_prefixes(health["neighbours"]), 1):
        row |= {f"neighbours_{length}": near["shared"], f"neighbours_{length}_chance": near["chance"]}
    for length, kind in enumerate(_prefixes(health["categories"]), 1):
        row |= {f"majority_{length}": kind["majority"], f"majority_{length}_chance": kind["majority_chance"]}
        row[f"mutual_information_{length}"] = kind["mutual_information"]
    return row


def mean_ranks(rows: Sequence[Mapping[str, float | None]]) -> list[float]:
    """The mean over the aspects of each row's rank, 1 the best; aspects that a row lacks do not count for anybody."""
    from scipy.stats import rankdata

    if not rows:
        return []
    ranks = []
    for aspect in ASPECTS:
        values = [row[aspect.name] for row in rows]
        if None not in values:
            sign = -1.0 if aspect.better == "higher" else 1.0
            ranks.append(rankdata([sign * value for value in values if value is not None]))
    return [float(rank) for rank in np.mean(ranks, axis=0)]


def _prefixes(part: JSON | None) -> list[JSON]:
    """Rows for 1, 2, 3 codes; IDs of fewer levels repeat their last, since all codes are then the same."""
    if part is None:
        return []
    rows: list[JSON] = part["prefixes"]
    return [rows[min(length, len(rows)) - 1] for length in LENGTHS]


def _above_chance(value: float, chance: float) -> float:
    """0 at chance, 1 where all is shared; 0 where chance itself shares all."""
    return (value - chance) / (1 - chance) if chance < 1 else 0.0


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
