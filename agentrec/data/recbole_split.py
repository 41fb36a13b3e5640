"""RecBole's benchmark files, a ready-made split: ``<name>.train.inter``, ``<name>.valid.inter``, ``<name>.test.inter``.

The held-out rows are exactly those of the files (RecBole's ``benchmark_filename``). Two forms are read:

- plain rows, one interaction each: the history of a validation row is the user's training rows, that of a test row the
  training and validation rows;
- the sequential form, with ``item_id_list:token_seq`` and ``item_id:token``: each held-out row brings its own history,
  and training rows, RecBole's growing or sliding windows, are put together to one sequence per user.

To evaluate a model that RecBole trained, write its lists to a predictions file, with RecBole installed::

    import numpy as np, pandas as pd
    from recbole.quick_start import load_data_and_model
    from recbole.utils.case_study import full_sort_topk
    config, model, dataset, _, _, test = load_data_and_model("saved/SASRec.pth")
    user, item, parts = dataset.uid_field, dataset.iid_field, []
    for users in np.array_split(np.unique(test.dataset.inter_feat[user].numpy()), 20):
        scores, items = (found.cpu().numpy() for found in full_sort_topk(users, model, test, 20, config["device"]))
        lists = {"items": dataset.id2token(item, items).tolist(), "scores": scores.tolist()}
        parts.append(pd.DataFrame({"user": dataset.id2token(user, users), **lists}))
    pd.concat(parts).to_parquet("predictions.parquet")

``full_sort_topk`` leaves the items of the history out for general models and keeps them for sequential ones; evaluate
with ``exclude_seen`` to match. The script follows RecBole's published interface; what is tested here is the file it
writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agentrec.core.errors import DataError, DataWarning
from agentrec.core.types import HeldOut, Histories, IntArray
from agentrec.data.build import build_dataset, read_rows
from agentrec.data.columns import Columns, find_column, need_column, to_columns
from agentrec.data.dataset import Dataset
from agentrec.data.given import Benchmark, given_split
from agentrec.data.read import Table
from agentrec.data.recbole import read_atomic
from agentrec.data.split import Part

Several = Literal["error", "first", "last"]
SUFFIXES = ("train", "valid", "test")
LISTS = "item_id_list"
ORDER = "order"
HELD: tuple[tuple[int, Part], ...] = ((1, "validation"), (2, "test"))


def load_recbole_split(
    source: str | Path,
    items: str | Path | None = None,
    *,
    suffixes: Sequence[str] = SUFFIXES,
    columns: Columns | Mapping[str, str] | None = None,
    several: Several = "error",
    name: str | None = None,
    encoding: str = "utf-8",
) -> Benchmark:
    """Load benchmark files.

    Args:
        source: the folder, or the training file.
        items: an ``.item`` file; default: ``<name>.item`` beside the others.
        suffixes: the middle of the three file names, as in RecBole's ``benchmark_filename``.
        columns: names without their type, where they are not the usual ones.
        several: users with several rows in a held-out file are an ``"error"``, or their ``"first"`` or ``"last"`` row
            is the target; the number of the others is in the split's summary.
        name: of the data set; default: the files' name.
        encoding: of the files.

    Raises:
        DataError: a file is missing or malformed, rows occur in two of them, or a user has several targets.
    """
    paths = benchmark_files(source, suffixes)
    tables = [read_atomic(path, encoding) for path in paths]
    stem = paths[0].name.removesuffix(f".{suffixes[0]}.inter")
    beside = paths[0].with_name(f"{stem}.item")
    item_path = Path(items) if items is not None else beside if beside.is_file() else None
    item_table = None if item_path is None else read_atomic(item_path, encoding)
    sequential = [LISTS in table.columns for table in tables]
    if len(set(sequential)) > 1:
        raise DataError(f"only some of the files of {paths[0].parent} have {LISTS}; expected the same form in all")
    make = _sequential if sequential[0] else _plain
    return make(name or stem, tables, item_table, to_columns(columns), several)


def benchmark_files(source: str | Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The training, validation and test file of a folder, or beside a training file.

    Raises:
        DataError: one of them is missing, or there are several sets.
    """
    source, ending = Path(source), f".{suffixes[0]}.inter"
    first = [source] if source.is_file() else sorted(source.glob(f"*{ending}"))
    if len(first) != 1 or not first[0].name.endswith(ending):
        found = ", ".join(path.name for path in first) or "none"
        raise DataError(f"{source} has these files *{ending}: {found}; expected exactly one, so name it")
    stem = first[0].name.removesuffix(ending)
    paths = [first[0], *(first[0].with_name(f"{stem}.{suffix}.inter") for suffix in suffixes[1:])]
    absent = [path.name for path in paths if not path.is_file()]
    if absent or len(paths) != 3:
        raise DataError(
            f"{first[0].parent} lacks {', '.join(absent) or 'a part'}; expected training, validation and test files, "
            f"called {', '.join(f'{stem}.{suffix}.inter' for suffix in suffixes)}"
        )
    return paths


def _plain(name: str, tables: list[Table], items: Table | None, columns: Columns, several: Several) -> Benchmark:
    """One interaction per row."""
    table, part, timed = _stacked(tables, columns)
    rows = read_rows(table, columns)
    _refuse_shared(rows.users, rows.items, rows.order if timed else None, part, table)
    dataset = build_dataset(name, table, items, columns=columns)
    sort = np.lexsort((rows.order, rows.users))  # as Interactions.sort
    part = part[sort]
    users, what = dataset.interactions.users, dataset.interactions.items
    train = _grouped(users[part == 0], what[part == 0])
    notes: dict[str, Any] = {"form": "plain rows"}
    held_out: dict[Part, HeldOut] = {}
    for number, of in HELD:
        targets = _one_each(users, np.flatnonzero(part == number), several, dataset, of)
        known = np.isin(users[targets], users[part < number])
        held = targets[known]
        histories = _grouped(users[part < number], what[part < number])
        mine = histories.take(np.searchsorted(histories.users, users[held]))
        held_out[of] = HeldOut(of, mine, what[held])
        notes |= {
            f"{of}_users_without_history": int((~known).sum()),
            f"{of}_rows_left_out": int((part == number).sum()) - len(targets),
        }
        if timed:
            _warn_of_earlier(dataset, part, held, number, of)
    return Benchmark(dataset, given_split(dataset, train, held_out, notes=notes))


def _stacked(tables: list[Table], columns: Columns) -> tuple[Table, NDArray[np.int64], bool]:
    """All rows, which file each is from, and whether they have times or an order of their own."""
    sizes = [len(table.frame) for table in tables]
    frame = pd.concat([table.frame for table in tables], ignore_index=True, join="inner")
    starts = np.cumsum([0, *sizes])

    def place(row: int) -> str:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{tables[number].place(row - int(starts[number]))} of {Path(tables[number].name).name}"

    names, where = [str(column) for column in frame.columns], tables[0].name
    timed = any(find_column(names, role, getattr(columns, role), where) for role in ("timestamp", "order"))
    if not timed:
        frame[ORDER] = np.arange(len(frame))
        warnings.warn(
            f"{where} has no times; the rows of each user keep the order of the files", DataWarning, stacklevel=4
        )
    return Table(frame, str(Path(where).parent), place), np.repeat(np.arange(3), sizes), timed


def _refuse_shared(
    users: IntArray, items: IntArray, order: NDArray[Any] | None, part: NDArray[np.int64], table: Table
) -> None:
    """Refuse an interaction that lies in two files."""
    keys = pd.DataFrame({"user": users, "item": items} | ({} if order is None else {"order": order}))
    group = keys.groupby(list(keys.columns), sort=False).ngroup().to_numpy()
    first = np.full(group.max(initial=-1) + 1, 3)
    np.minimum.at(first, group, part)
    shared = np.flatnonzero(part != first[group])
    if len(shared):
        row = int(shared[0])
        raise DataError(
            f"{table.name} repeats an interaction of another file at {table.place(row)} ({len(shared)} such rows); "
            "expected held-out rows that are not trained on, so remove them from one of the files"
        )


def _one_each(users: IntArray, rows: IntArray, several: Several, dataset: Dataset, part: Part) -> IntArray:
    """One of the held-out rows of every user."""
    later = rows if several != "last" else rows[::-1]
    who, place = np.unique(users[later], return_index=True)
    if len(who) < len(rows) and several == "error":
        counts = np.bincount(users[rows], minlength=dataset.num_users)
        raise DataError(
            f"{int((counts > 1).sum())} users have several {part} rows, for example "
            f"{dataset.user_ids[int(counts.argmax())]!r} with {counts.max()}; expected one target per user, so pass "
            "several='first' (or 'last')"
        )
    return later[place]


def _warn_of_earlier(dataset: Dataset, part: NDArray[np.int64], held: IntArray, number: int, of: Part) -> None:
    """Warn where a history holds rows that are later than the target."""
    rows = dataset.interactions
    latest = np.full(dataset.num_users, -np.inf)
    before = part < number
    np.maximum.at(latest, rows.users[before], rows.order[before].astype(np.float64))
    early = int((latest[rows.users[held]] > rows.order[held]).sum())
    if early:
        warnings.warn(
            f"{early} of {len(held)} {of} targets of {dataset.name!r} are older than rows of their history; the split "
            "is not by time, so lists are made with knowledge of the future",
            DataWarning,
            stacklevel=4,
        )


def _sequential(name: str, tables: list[Table], items: Table | None, columns: Columns, several: Several) -> Benchmark:
    """A history and a target per row."""
    parts = [_windows(table, columns) for table in tables]
    sequences = {user: _together(user, rows, tables[0]) for user, rows in parts[0].items()}
    chosen = [{user: _choose(user, rows, several, HELD[i][1]) for user, rows in parts[i + 1].items()} for i in (0, 1)]
    _refuse_same_rows(parts, tables)
    flat = _flattened(sequences, chosen)
    dataset = build_dataset(name, Table(flat, tables[0].name, lambda row: f"row {row}"), items)
    user_index = {user: index for index, user in enumerate(dataset.user_ids)}
    item_index = dataset.catalogue.index()

    def histories(lists: Mapping[str, Sequence[str]]) -> Histories:
        ordered = sorted(lists, key=lambda user: user_index[user])
        indexed = [[item_index[item] for item in lists[user]] for user in ordered]
        return Histories.from_lists(indexed, [user_index[user] for user in ordered])

    notes: dict[str, Any] = {"form": "sequential"}
    held_out: dict[Part, HeldOut] = {}
    for (number, of), rows in zip(HELD, chosen, strict=True):
        known = {user: row for user, row in rows.items() if row.history}
        mine = histories({user: row.history for user, row in known.items()})
        targets = [item_index[known[dataset.user_ids[user]].item] for user in mine.users.tolist()]
        held_out[of] = HeldOut(of, mine, np.array(targets, np.int64))
        notes |= {
            f"{of}_users_without_history": len(rows) - len(known),
            f"{of}_rows_left_out": len(tables[number].frame) - len(rows),
        }
    return Benchmark(dataset, given_split(dataset, histories(sequences), held_out, notes=notes))


class _Window(NamedTuple):
    history: tuple[str, ...]
    item: str


def _windows(table: Table, columns: Columns) -> dict[str, list[_Window]]:
    """User -> rows, in the order of the file."""
    user = need_column(table.columns, "user", columns.user, table.name)
    item = need_column([column for column in table.columns if column != LISTS], "item", columns.item, table.name)
    found: dict[str, list[_Window]] = {}
    for row, (who, history, what) in enumerate(zip(*(table.frame[key] for key in (user, LISTS, item)), strict=True)):
        if not who.strip() or not what.strip():
            raise DataError(f"{table.name} has an empty id at {table.place(row)}; expected a user and an item")
        found.setdefault(who, []).append(_Window(tuple(history.split()), what))
    return found


def _together(user: str, rows: list[_Window], table: Table) -> list[str]:
    """One sequence of growing or sliding windows."""
    sequence: list[str] = []
    for history, item in sorted(rows, key=lambda row: len(row.history)):
        if not _continues(sequence, history, item):
            raise DataError(
                f"{table.name} has rows of user {user!r} that are not windows of one sequence ({' '.join(history[-5:])}"
                f" before {item}); expected {LISTS} to hold what came before, so give every session its own user id"
            )
    return sequence


def _continues(sequence: list[str], history: Sequence[str], item: str) -> bool:
    """Append a window's item where the sequence ends with its history; False where the window is not in it either."""
    window, length = [*history, item], len(history) + 1
    if not sequence or list(history) == sequence[max(0, len(sequence) - len(history)) :]:
        sequence.extend([item] if sequence else window)
        return True
    return any(sequence[start : start + length] == window for start in range(len(sequence) - length + 1))


def _choose(user: str, rows: list[_Window], several: Several, part: Part) -> _Window:
    if len(rows) > 1 and several == "error":
        raise DataError(
            f"user {user!r} has {len(rows)} {part} rows; expected one target per user, so pass several='first' (or "
            "'last')"
        )
    return rows[0 if several == "first" else -1]


def _refuse_same_rows(parts: list[dict[str, list[_Window]]], tables: list[Table]) -> None:
    seen: set[tuple[str, _Window]] = set()
    for part, table in zip(parts, tables, strict=True):
        rows = {(user, row) for user, found in part.items() for row in found}
        if shared := seen & rows:
            user, row = min(shared)
            raise DataError(
                f"{table.name} repeats a row of another file: user {user!r} with item {row.item!r} ({len(shared)} such "
                "rows); expected held-out rows that are not trained on, so remove them from one of the files"
            )
        seen |= rows


def _flattened(sequences: Mapping[str, list[str]], chosen: Sequence[Mapping[str, _Window]]) -> pd.DataFrame:
    """All interactions as user, item and position: training, then what validation and test add."""
    everything = {user: list(sequence) for user, sequence in sequences.items()}
    for held in chosen:
        for user, (history, item) in held.items():
            whole = everything.setdefault(user, [])
            if not _continues(whole, history, item):
                whole.extend([*(other for other in history if other not in whole), item])
    rows = [(user, item, place) for user, whole in everything.items() for place, item in enumerate(whole)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", ORDER])


def _grouped(users: IntArray, items: IntArray) -> Histories:
    """Sorted rows by user; users without rows are left out."""
    who, starts = np.unique(users, return_index=True)
    return Histories(who.astype(np.int64), np.append(starts, len(users)).astype(np.int64), items.copy())
