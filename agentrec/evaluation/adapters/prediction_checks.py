"""Everything that can be wrong with a predictions file, looked for in one pass over its sorted rows.

Ids that the data set lacks are compared with its own once more without what writing to a file tends to change (a
trailing ``.0``, leading zeros, spaces, case), so that the remedy can be named. What one cannot see in a file is whether
its lists were made from the right histories: predictions for validation histories of the same users look like any
other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from agentrec.core.types import Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.evaluation.adapters.answers import Unknown
from agentrec.evaluation.adapters.prediction_rows import Ids, Rows, read_rows
from agentrec.evaluation.adapters.problems import Problem, Report, Severity, many

Missing = Literal["error", "miss"]

WHOLE = re.compile(r"\d{1,12}")
BLOCK = 2**22  # rows whose pairs are sorted at once
MOSTLY = 0.95  # from this share of rows on, a file only repeats histories


class Examined:
    """A predictions file that was read: its rows, sorted by user, then best first, and what was found.

    Args:
        path: the file.
        dataset: whose ids it uses.
        evaluated: users to be evaluated, each once, or None for all of the file.
    """

    def __init__(self, path: Path, dataset: Dataset, evaluated: IntArray | None) -> None:
        self.path, self.dataset, self.evaluated = path, dataset, evaluated
        self.source = rows = read_rows(path, dataset, evaluated)
        self.users, self.items, self.order, self.scores = rows.users, rows.items, rows.order, rows.scores
        if not _is_sorted(rows):
            places = np.lexsort((rows.items, -rows.order, rows.users))
            self.users, self.items, self.order = rows.users[places], rows.items[places], rows.order[places]
            self.scores = None if rows.scores is None else rows.scores[places]
        self.offsets: IntArray = np.searchsorted(self.users, np.arange(dataset.num_users + 1)).astype(np.int64)
        self.problems: list[Problem] = []

    @property
    def lengths(self) -> IntArray:
        """(U,) int64: list length of every user of the data set."""
        return np.asarray(self.offsets[1:] - self.offsets[:-1], np.int64)

    def missing_users(self) -> IntArray:
        """The evaluated users without a row."""
        wanted = np.zeros(0, np.int64) if self.evaluated is None else self.evaluated
        return np.asarray(wanted[self.lengths[wanted] == 0], np.int64)

    def user(self, index: int) -> str:
        """A user's id, for messages."""
        return repr(self.dataset.user_ids[index])

    def report(self) -> Report:
        """What was found, errors first."""
        return Report(str(self.path), tuple(sorted(self.problems, key=lambda found: found.severity)))

    def found(
        self, kind: str, severity: Severity, count: int, problem: str, *, remedy: str, examples: list[str] | None = None
    ) -> None:
        """Remember a problem, if there is any case of it."""
        if count:
            self.problems.append(Problem(kind, severity, problem, tuple(examples or [])[:3], remedy, count))


def examine(
    path: str | Path,
    dataset: Dataset,
    users: IntArray | Histories | None,
    n: int | None,
    *,
    missing: Missing,
    unknown_items: Unknown,
) -> Examined:
    """Read a predictions file and look for problems; arguments as `check_predictions`.

    Raises:
        DataError: the file cannot be read at all.
    """
    who = users.users if isinstance(users, Histories) else users
    file = Examined(Path(path), dataset, None if who is None else np.unique(who[who >= 0]))
    rows = file.source
    file.found("empty", "error", rows.total == 0, "holds no rows", remedy="expected one row per user and item")
    _check_ids(file, rows.user_ids, "user", "error")
    _check_ids(file, rows.item_ids, "item", "warning" if unknown_items == "drop" else "error")
    _check_users(file, missing)
    _check_numbers(file)
    _check_pairs(file)
    if not rows.bad_numbers.count:
        _check_order(file)
    if n is not None:
        _check_lengths(file, n)
    if isinstance(users, Histories):
        _check_histories(file, users)
    return file


class _Writing(NamedTuple):
    """A way in which the same id may be written differently."""

    change: Callable[[str], str]
    differs: str
    remedy: str


WRITINGS = (
    _Writing(
        lambda text: re.sub(r"\.0+$", "", text),
        "with or without decimals",
        "write whole numbers without .0, and read ids as text (dtype=str)",
    ),
    _Writing(str.strip, "in spaces around them", "write ids without them"),
    _Writing(
        lambda text: text.lstrip("0") if WHOLE.fullmatch(text) else text,
        "in leading zeros",
        "read ids as text (dtype=str), so that 007 stays 007",
    ),
    _Writing(str.lower, "in upper and lower case", "write ids as in the data set"),
)


def _check_ids(file: Examined, ids: Ids, role: str, severity: Severity) -> None:
    strange = dict(ids.unknown)
    for writing in WRITINGS if strange else ():
        own = {writing.change(known): known for known in ids.known}
        pairs = [(text, own[writing.change(text)]) for text in strange if writing.change(text) in own]
        rows = sum(strange.pop(text) for text, _ in pairs)
        problem = f"writes {many(len(pairs), f'{role} id')} in {many(rows, 'row')} otherwise than the data set, "
        shown = [f"{text!r} for {known!r}" for text, known in pairs[:3]]
        remedy = f"expected ids as in the data set, so {writing.remedy}"
        file.found(f"{role}_id_types", "error", len(pairs), problem + writing.differs, examples=shown, remedy=remedy)
    problem = f"names {many(len(strange), f'unknown {role}')} in {many(sum(strange.values()), 'row')}"
    expected = f"expected {role} ids of the data set such as {next(iter(ids.known), '')!r}"
    examples = [repr(text) for text in list(strange)[:3]]
    if strange and _look_like_indexes(ids):
        problem += f"; the file's {role}s are numbers from 0 to {len(ids.known)}, which look like positions"
        remedy = f"{expected}: write ids instead of positions"
        return file.found(f"{role}_indexes", "error", len(strange), problem, examples=examples, remedy=remedy)
    remedy = "they are left out" if severity == "warning" else expected
    return file.found(f"unknown_{role}s", severity, len(strange), problem, examples=examples, remedy=remedy)


def _look_like_indexes(ids: Ids) -> bool:
    """Whether all ids of the file are numbers 0 to N, and the data set's own are not."""
    size = len(ids.known)

    def is_position(text: str) -> bool:
        return WHOLE.fullmatch(text) is not None and int(text) <= size

    met = (ids.known[index] for index in np.flatnonzero(ids.met).tolist())
    return all(map(is_position, ids.unknown)) and all(map(is_position, met)) and not all(map(is_position, ids.known))


def _check_users(file: Examined, missing: Missing) -> None:
    if file.evaluated is None:
        return
    absent, total = file.missing_users(), len(file.evaluated)
    met = file.source.user_ids.met.copy()
    met[file.evaluated] = False
    others = np.flatnonzero(met)
    shown = [file.user(index) for index in others[:3].tolist()]
    if len(others) and len(absent) == total:
        problem = f"has none of the {total} evaluated users, and {len(others)} others of the data set"
        remedy = "expected predictions for the evaluated users, so check that they were made for the same part or split"
        return file.found("other_part", "error", len(others), problem, examples=shown, remedy=remedy)
    problem = f"has predictions for {many(len(others), 'user')} who are not evaluated"
    remedy = "they are left out; if they should be evaluated, check the part and the limit"
    file.found("other_users", "warning", len(others), problem, examples=shown, remedy=remedy)
    file.found(
        "missing_users",
        "error" if missing == "error" else "warning",
        len(absent),
        f"has no predictions for {len(absent)} of {total} users",
        examples=[file.user(index) for index in absent[:3].tolist()],
        remedy="they count as missed"
        if missing == "miss"
        else "add them, or count them as missed with missing='miss' (--missing miss)",
    )


def _check_numbers(file: Examined) -> None:
    bad, uneven = file.source.bad_numbers, file.source.uneven
    what = "score" if not file.source.by_rank or file.source.lists else "rank or score"
    file.found(
        "not_finite",
        "error",
        bad.count,
        f"has {bad.count} times a {what} that is no finite number",
        examples=bad.shown,
        remedy="expected a number everywhere, so leave out what has none",
    )
    file.found(
        "uneven_lists",
        "error",
        uneven.count,
        f"has {many(uneven.count, 'row')} with as many items as scores not",
        examples=uneven.shown,
        remedy="expected one score per item",
    )


def _check_pairs(file: Examined) -> None:
    """Pairs of user and item that occur twice, block by block of users."""
    num_items, count = file.dataset.num_items, 0
    examples: list[str] = []
    for rows in _blocks(file):
        keys = np.sort(file.users[rows].astype(np.int64) * num_items + file.items[rows])
        repeated = keys[1:][keys[1:] == keys[:-1]]
        count += len(repeated)
        examples += [
            f"user {file.user(key // num_items)} with item {file.dataset.catalogue.ids[key % num_items]!r}"
            for key in repeated[:3].tolist()
        ]
    problem = f"repeats {many(count, 'pair')} of user and item"
    file.found("repeated_items", "error", count, problem, examples=examples, remedy="expected each item once per user")


def _check_order(file: Examined) -> None:
    same_user = file.users[1:] == file.users[:-1]
    ties = np.flatnonzero(same_user & (file.order[1:] == file.order[:-1]))
    if not file.source.by_rank:
        tied = np.unique(file.users[ties])
        problem = f"has equal scores within the lists of {many(len(tied), 'user')}"
        remedy = "ties are broken by the order of the catalogue; add a rank where another order is meant"
        shown = [file.user(index) for index in tied[:3].tolist()]
        return file.found("ties", "warning", len(tied), problem, examples=shown, remedy=remedy)
    if len(ties):
        shown = [f"user {file.user(int(file.users[row]))} has rank {-file.order[row]:g} twice" for row in ties[:3]]
        remedy = "expected every user in one row" if file.source.lists else "expected each rank once per user"
        return file.found(
            "repeated_ranks", "error", len(ties), f"repeats {many(len(ties), 'rank')}", examples=shown, remedy=remedy
        )
    if not file.source.item_ids.unknown:
        _check_gaps(file)
    if file.scores is not None:
        against = np.unique(file.users[:-1][same_user & (file.scores[1:] > file.scores[:-1])])
        problem = f"has scores that contradict the ranks of {many(len(against), 'user')}"
        remedy = "ranks decide; if scores are meant, leave out the ranks"
        shown = [file.user(index) for index in against[:3].tolist()]
        file.found("ranks_and_scores", "warning", len(against), problem, examples=shown, remedy=remedy)
    return None


def _check_gaps(file: Examined) -> None:
    users = np.flatnonzero(file.lengths)
    first = -file.order[file.offsets[users]]
    last = -file.order[file.offsets[users + 1] - 1]
    gaps = users[~np.isin(first, (0, 1)) | (last - first + 1 != file.lengths[users])]
    examples = [f"user {file.user(user)}" for user in gaps[:3].tolist()]
    problem = f"has ranks with gaps for {many(len(gaps), 'user')}"
    remedy = "expected 1, 2, 3 ...; they are read as an order, so check that no rows are lost"
    file.found("rank_gaps", "warning", len(gaps), problem, examples=examples, remedy=remedy)


def _check_lengths(file: Examined, n: int) -> None:
    users = np.flatnonzero(file.lengths) if file.evaluated is None else file.evaluated
    lengths = file.lengths[users]
    short = users[(lengths > 0) & (lengths < n)]
    shown = [f"user {file.user(user)} with {file.lengths[user]}" for user in short[:3].tolist()]
    problem = f"has fewer than {n} items for {len(short)} of {len(users)} users"
    remedy = f"what is missing counts as a miss; expected {n} or more per user"
    file.found("short_lists", "warning", len(short), problem, examples=shown, remedy=remedy)


def _check_histories(file: Examined, histories: Histories) -> None:
    """Whether nearly all rows repeat what their users already have."""
    num_items = file.dataset.num_items
    rows = np.repeat(histories.users, histories.lengths)
    seen = np.unique(rows * num_items + histories.items)
    known = sum(
        int(np.isin(file.users[part].astype(np.int64) * num_items + file.items[part], seen).sum())
        for part in _blocks(file)
    )
    problem = f"lists items of the users' own histories in {known} of {len(file.users)} rows"
    remedy = "expected items that may come next; if this is not meant, the file may hold interactions"
    nearly_all = len(file.users) > 0 and known >= MOSTLY * len(file.users)
    file.found("history_only", "warning", known if nearly_all else 0, problem, remedy=remedy)


def _blocks(file: Examined) -> Iterator[slice]:
    """Rows of whole users, about `BLOCK` at once."""
    start, total = 0, len(file.users)
    while start < total:
        near = start + BLOCK
        if near >= total:
            stop = total
        else:
            user = int(file.users[near])
            begin = int(file.offsets[user])
            stop = begin if begin > start else int(file.offsets[user + 1])
        yield slice(start, stop)
        start = stop


def _is_sorted(rows: Rows) -> bool:
    """Whether rows lie by user, then best first, then by item."""
    for start in range(0, len(rows.users) - 1, BLOCK):
        part = slice(start, start + BLOCK + 1)
        later, step = np.diff(rows.users[part]), np.diff(rows.order[part])
        ahead = (step < 0) | ((step == 0) & (np.diff(rows.items[part]) > 0))
        if not ((later > 0) | ((later == 0) & ahead)).all():
            return False
    return True
