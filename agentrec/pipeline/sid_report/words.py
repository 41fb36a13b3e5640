"""The numbers of a code book in words: its measures with their chance levels, and what is worth a look."""

from __future__ import annotations

from typing import Any, NamedTuple

from agentrec.core.types import JSON

FEW_USED, MANY_COLLIDE, UNEVEN = 0.5, 0.2, 0.25


class Measure(NamedTuple):
    """One number as text: its name, value, chance level (or nothing) and what it means."""

    name: str
    value: str
    chance: str
    meaning: str


class PrefixMeasure(NamedTuple):
    """One measure of prefixes: its name, a value and a chance level as text per length, and what it means."""

    name: str
    cells: tuple[tuple[str, str], ...]
    meaning: str


def measures(health: JSON) -> list[Measure]:
    """Everything that is one number; what is unknown is left out."""
    rows = []
    if health["relative_error"] is not None:
        meaning = "squared error of decoding over the variance of the vectors: 0 exact, 1 the mean vector"
        rows.append(Measure("reconstruction error", f"{health['relative_error']:.3f}", "", meaning))
    if (error := health["additive_error"]) is not None:
        meaning = "the same where a code stands for the mean of its items, whoever made it"
        rows.append(Measure("error of means", f"{error['relative_error']:.3f}", f"{error['chance']:.3f}", meaning))
    meaning = "items that share all codes with an earlier item"
    rows.append(Measure("collisions", f"{health['collision_rate']:.1%}", "", meaning))
    rows.append(Measure("largest group", f"{health['largest_group']:,}", "", "items with the same codes"))
    loads = health["items_per_first_code"]
    counts = f"{loads['min']:,} / {loads['median']:,g} / {loads['max']:,}"
    return [*rows, Measure("items per first code", counts, "", "fewest, median and most")]


def prefix_measures(health: JSON) -> list[PrefixMeasure]:
    """What items with the same first codes have in common; what is unknown is left out."""
    rows = []
    if (near := health["neighbours"]) is not None:
        cells = [(share(row["shared"]), share(row["chance"])) for row in near["prefixes"]]
        meaning = f"of each item's {near['neighbours']} nearest by {near['metric']} distance, those with the same codes"
        rows.append(PrefixMeasure("neighbours", tuple(cells), meaning))
    if (kinds := health["categories"]) is not None:
        cells = [(share(row["majority"]), share(row["majority_chance"])) for row in kinds["prefixes"]]
        meaning = f"items of the most frequent of {kinds['num_categories']} categories among those with the same codes"
        rows.append(PrefixMeasure("majority category", tuple(cells), meaning))
        cells = [(f"{row['mutual_information']:.3f}", "0") for row in kinds["prefixes"]]
        meaning = "of codes and categories, adjusted: 1 where both part the items alike"
        rows.append(PrefixMeasure("mutual information", tuple(cells), meaning))
    return rows


def codes_in_words(length: int) -> str:
    """``first code``, ``first 2 codes``."""
    return "first code" if length == 1 else f"first {length} codes"


def finding(health: JSON) -> str:
    """The most telling numbers in a sentence or two."""
    levels, items = health["levels"], health["num_items"]
    sentence = (
        f"{items:,} items with {len(levels)} code{'' if len(levels) == 1 else 's'} each; "
        f"{health['collision_rate']:.1%} share all of them with an earlier item."
    )
    if (near := health["neighbours"]) is not None:
        sentence += (
            f" Nearest neighbours have the same first code {share(near['shared'])} of the time "
            f"(by chance {share(near['chance'])})."
        )
    return sentence


def remarks(health: JSON) -> list[str]:
    """What is likely to hurt, in a sentence each."""
    found = [text for number, level in enumerate(health["levels"], 1) for text in _level_remarks(number, level)]
    if health["collision_rate"] > MANY_COLLIDE:
        found.append(
            f"{health['collision_rate']:.1%} of the items share all codes with an earlier one: only an arbitrary "
            "number tells them apart. More levels or codes per level help."
        )
    if (near := health["neighbours"]) is not None and near["shared"] < 2 * near["chance"]:
        found.append(
            f"Neighbours share the first code {share(near['shared'])} of the time and any two items "
            f"{share(near['chance'])}: the first code says little about its items."
        )
    return found


def _level_remarks(number: int, level: dict[str, Any]) -> list[str]:
    if level["used"] == 1 and level["size"] > 0:
        return [f"Level {number} has the same code for every item: it says nothing and costs a token."]
    if level["utilisation"] < FEW_USED:
        return [f"Level {number} uses {level['used']:,} of its {level['size']:,} codes."]
    if level["perplexity"] < UNEVEN * level["used"]:
        return [
            f"Level {number} is used unevenly: as diverse as {level['perplexity']:.0f} even codes, of "
            f"{level['used']:,} in use."
        ]
    return []


def share(value: float) -> str:
    """A share in per cent, small ones with a digit more."""
    return f"{value:.1%}" if value >= 0.01 or value == 0 else f"{value:.2%}"
