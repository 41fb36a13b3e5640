"""Does a split let anybody see what is held out? Each check is a function that returns a `Finding`.

A history is checked against the rows of the data set, not against the code that made the split: the rows of a user
that precede the target are looked up by the rule of the split (last rows, or the cuts in time), and whatever a history
or the training rows hold beyond them is a leak.

What it does not know: how the rows were filtered before they became a data set. A filter that counted held-out rows
(five interactions per item, say) leaves no trace here. Prompts and trained models have files of their own
(`agentrec.evaluation.leaks.prompt_leaks`, `agentrec.evaluation.leaks.training_leaks`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import PARTS, Part, Split
from agentrec.evaluation.leaks.finding import EXAMPLES, Finding
from agentrec.evaluation.leaks.held_out_rows import (
    columns,
    held_out_starts,
    is_prefix,
    row_offsets,
    surplus_items,
    target_rows,
)

LONG_HISTORY = 10  # identical histories of so many items are hardly a coincidence


def check_split(dataset: Dataset, split: Split) -> tuple[Finding, ...]:
    """Run every check of this file.

    Args:
        dataset: all rows.
        split: made from them.
    """
    each = (held_out_duplicates, unfaithful_histories, future_in_histories, ties, repeats)
    return (
        held_out_in_train(dataset, split),
        *(check(dataset, split, part) for check in each for part in PARTS),
        later_training_rows(dataset, split),
        twin_users(dataset),
        twin_items(dataset),
    )


def held_out_in_train(dataset: Dataset, split: Split) -> Finding:
    """Leak: training rows that are held out, found as items beyond those that precede the user's held-out rows."""
    limits = np.minimum.reduce([held_out_starts(dataset, split, part) for part in PARTS])
    surplus = surplus_items(dataset, split.train, limits[split.train.users])
    return Finding(
        "held_out_in_train",
        "users have held-out rows among their training rows",
        checked=len(split.train),
        violations=len(surplus),
        severity="leak",
        meaning="models are trained on what they are asked, so split again and train again",
        examples=_of_rows(dataset, split.train, surplus, "is trained on held-out"),
    )


def future_in_histories(dataset: Dataset, split: Split, part: Part) -> Finding:
    """Leak: items in a held-out user's history that happened with the target or after it; the target itself counts."""
    held = split.reveal(part)
    surplus = surplus_items(dataset, held.histories, held_out_starts(dataset, split, part)[held.histories.users])
    of_targets = sum(int(held.targets[row]) in items for row, items in surplus.items())
    return Finding(
        f"future_in_{part}_history",
        f"{part} histories hold rows from the target on",
        checked=len(held),
        violations=len(surplus),
        severity="leak",
        meaning="the answer or what followed it stands in the question, so end every history before the target",
        examples=_of_rows(dataset, held.histories, surplus, f"sees in the {part} history"),
        facts={"holding_the_target": of_targets},
    )


def unfaithful_histories(dataset: Dataset, split: Split, part: Part) -> Finding:
    """Warning: a history that is not every earlier row in order, or a target that is not the row which follows."""
    held = split.reveal(part)
    starts = held_out_starts(dataset, split, part)[held.histories.users]
    exact = is_prefix(dataset, held.histories, starts)
    offsets, lengths = row_offsets(dataset, held.histories.users)
    last = max(0, len(dataset.interactions) - 1)
    following = dataset.interactions.items[np.minimum(offsets + starts, last)]
    right = (starts < lengths) & (following == held.targets)
    wrong = np.flatnonzero(~(exact & right))
    titles = dataset.catalogue.titles
    return Finding(
        f"unfaithful_{part}_history",
        f"{part} users have another history or target than their rows give",
        checked=len(held),
        violations=len(wrong),
        severity="warning",
        meaning="the question is not the one the split's name promises, so numbers do not compare with others",
        examples=tuple(
            f"{_user(dataset, held.histories.users[row])} has {len(held.histories[row])} items before "
            f"{titles[held.targets[row]]!r}, the data {starts[row]} before {titles[following[row]]!r}"
            for row in wrong[:EXAMPLES]
        ),
    )


def held_out_duplicates(dataset: Dataset, split: Split, part: Part) -> Finding:
    """Leak: targets whose interaction (user, item, order) occurs a second time, before them."""
    held, rows = target_rows(dataset, split, part)
    table = pd.DataFrame(dict(zip("uio", columns(dataset), strict=True)))
    twice = np.flatnonzero(table.duplicated().to_numpy()[rows])
    return Finding(
        f"duplicated_{part}_rows",
        f"{part} targets are an interaction that the history holds too, at the same moment",
        checked=len(rows),
        violations=len(twice),
        severity="leak",
        meaning="copying the history finds them, so drop duplicated rows when the data are loaded",
        examples=_of_targets(dataset, held, twice, "has twice at one moment"),
    )


def ties(dataset: Dataset, split: Split, part: Part) -> Finding:
    """Warning: targets of the same order or time as the row before them, so that either may have come first."""
    held, rows = target_rows(dataset, split, part)
    users, _, order = columns(dataset)
    before = np.maximum(rows - 1, 0)
    tied = np.flatnonzero((rows > 0) & (users[before] == users[rows]) & (order[before] == order[rows]))
    return Finding(
        f"tied_{part}_targets",
        f"{part} targets happened at the same moment as the row before them",
        checked=len(rows),
        violations=len(tied),
        severity="warning",
        meaning="their order is unknown and the file's was taken, so the target may have come first",
        examples=_of_targets(dataset, held, tied, "has, at the moment of the row before,"),
    )


def repeats(dataset: Dataset, split: Split, part: Part) -> Finding:
    """Info: targets that the user's history holds already; they decide whether seen items may be left out."""
    held = split.reveal(part)
    again = np.flatnonzero([target in history for target, history in zip(held.targets, held.histories, strict=True)])
    return Finding(
        f"repeated_{part}_targets",
        f"{part} targets are items that the user chose before",
        checked=len(held),
        violations=len(again),
        severity="info",
        meaning="this share of targets cannot be found under exclude_seen; leave seen items out only if it is 0",
        examples=_of_targets(dataset, held, again, "chooses again"),
    )


def later_training_rows(dataset: Dataset, split: Split) -> Finding:
    """Info: test users whose target is older than some training row of somebody else, as the last-item split has it.

    Needs timestamps; without them nothing is checked. A split in time has none.
    """
    held, rows = target_rows(dataset, split, "test")
    users, _, order = columns(dataset)
    limits = np.minimum.reduce([held_out_starts(dataset, split, part) for part in PARTS])
    offsets, _ = row_offsets(dataset, users)
    trained = np.sort(order[np.arange(len(users)) - offsets < limits[users]])
    known = len(trained) > 0 and dataset.interactions.has_timestamps
    later = (len(trained) - np.searchsorted(trained, order[rows], "right")) / len(trained) if known else np.zeros(0)
    return Finding(
        "later_training_rows",
        "test targets are older than training rows of other users",
        checked=len(later),
        violations=int((later > 0).sum()),
        severity="info",
        meaning="models know trends that lie in these users' future; a split in time (global_time) avoids it",
        examples=_of_targets(dataset, held, np.flatnonzero(later > 0), "is asked, after the fact, for"),
        facts={"median_share_of_later_training_rows": float(np.median(later)) if len(later) else 0.0},
    )


def twin_users(dataset: Dataset) -> Finding:
    """Info: users with the very same long history, who may be one person under two ids."""
    histories = dataset.histories()
    groups = _groups((row.tobytes(), user) for user, row in enumerate(histories) if len(row) >= LONG_HISTORY)
    return Finding(
        "twin_users",
        f"users with {LONG_HISTORY} rows or more share all of them with somebody",
        checked=int((histories.lengths >= LONG_HISTORY).sum()),
        violations=sum(map(len, groups)),
        severity="info",
        meaning="they may be one person under several ids, whose held-out rows another one's training rows may tell",
        examples=tuple(" and ".join(repr(dataset.user_ids[user]) for user in group[:3]) for group in groups[:EXAMPLES]),
    )


def twin_items(dataset: Dataset) -> Finding:
    """Info: items with the same title, letters' case and spaces aside."""
    titles = dataset.catalogue.columns.get("title", ())
    normal = ((" ".join(title.casefold().split()), item) for item, title in enumerate(titles))
    groups = _groups((title, item) for title, item in normal if title)
    return Finding(
        "twin_items",
        "items share their title with another one",
        checked=sum(bool(title.strip()) for title in titles),
        violations=sum(map(len, groups)),
        severity="info",
        meaning="a list that names the other one counts as a miss",
        examples=tuple(
            f"{titles[group[0]]!r} is {' and '.join(repr(dataset.catalogue.ids[item]) for item in group[:3])}"
            for group in groups[:EXAMPLES]
        ),
    )


def _groups(pairs: Iterable[tuple[str | bytes, int]]) -> list[list[int]]:
    """Indexes of equal keys, groups of two or more."""
    found: dict[str | bytes, list[int]] = {}
    for key, index in pairs:
        found.setdefault(key, []).append(index)
    return [group for group in found.values() if len(group) > 1]


def _user(dataset: Dataset, user: int) -> str:
    return f"user {dataset.user_ids[user]!r}"


def _of_rows(dataset: Dataset, histories: Histories, surplus: dict[int, list[int]], verb: str) -> tuple[str, ...]:
    titles = dataset.catalogue.titles
    return tuple(
        f"{_user(dataset, histories.users[row])} {verb} {titles[items[0]]!r}"
        for row, items in list(surplus.items())[:EXAMPLES]
    )


def _of_targets(dataset: Dataset, held: HeldOut, rows: IntArray, verb: str) -> tuple[str, ...]:
    titles = dataset.catalogue.titles
    return tuple(
        f"{_user(dataset, held.histories.users[row])} {verb} {titles[held.targets[row]]!r}" for row in rows[:EXAMPLES]
    )
