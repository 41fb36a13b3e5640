"""Splits: every row is accounted for, none leaks, and time runs one way."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentrec
from agentrec.core.errors import ConfigError, DataError
from agentrec.data.dataset import Dataset
from agentrec.data.split import Split, global_time, leave_one_out
from agentrec.data.table import from_frames

MAY_REVEAL = {"evaluation", "cli", "pipeline", "testing"}  # testing: conformance suites judge, as evaluation does


def dataset(rows: list[tuple[int, int, int]], *, column: str = "timestamp") -> Dataset:
    return from_frames(pd.DataFrame(rows, columns=["user", "item", column]), duplicates="drop")


tables = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.integers(0, 30)), min_size=1, max_size=60)


def sequences(data: Dataset) -> dict[int, list[tuple[int, float]]]:
    """User index -> (item, time) in order, the slow and obvious way."""
    rows = data.interactions
    found: dict[int, list[tuple[int, float]]] = {}
    for user, item, moment in zip(rows.users.tolist(), rows.items.tolist(), rows.order.tolist(), strict=True):
        found.setdefault(user, []).append((item, moment))
    return found


@settings(max_examples=80, deadline=None)
@given(tables)
def test_leave_one_out_equals_slow_reference(rows):
    data = dataset(rows)
    users = {user: [item for item, _ in row] for user, row in sequences(data).items()}
    if max(map(len, users.values())) < 3:
        with pytest.raises(DataError, match="at least 3"):
            leave_one_out(data)
        return
    split = leave_one_out(data)
    train = {user: row if len(row) < 3 else row[:-2] for user, row in users.items()}
    assert {int(u): row.tolist() for u, row in zip(split.train.users, split.train, strict=True)} == train
    for part, cut in (("validation", 2), ("test", 1)):
        held = split.reveal(part)
        expected = {user: (row[:-cut], row[-cut]) for user, row in users.items() if len(row) >= 3}
        found = zip(held.histories.users.tolist(), held.histories, held.targets.tolist(), strict=True)
        assert {user: (history.tolist(), target) for user, history, target in found} == expected
        assert held.part == part
    assert len(split.train.items) + 2 * len(split.reveal("test")) == len(data.interactions)
    assert split.summary()["users_too_short"] == sum(len(row) < 3 for row in users.values())


@settings(max_examples=80, deadline=None)
@given(tables, st.sampled_from([0.1, 0.2, 0.3]))
def test_global_time_is_honest_and_complete(rows, fraction):
    data = dataset(rows)
    try:
        split = global_time(data, validation_fraction=fraction, test_fraction=0.2)
    except DataError:
        return  # too few distinct times, or nobody with a history: see the tests of refusals
    notes, users = split.summary(), sequences(data)
    first, second = notes["first_cut"], notes["second_cut"]
    assert first < second
    train = {u: [i for i, t in row if t < first] for u, row in users.items() if row[0][1] < first}
    assert {int(u): row.tolist() for u, row in zip(split.train.users, split.train, strict=True)} == train
    for part, begin, end in (("validation", first, second), ("test", second, float("inf"))):
        held, expected = split.reveal(part), {}
        for user, row in users.items():
            inside = [item for item, moment in row if begin <= moment < end]
            before = [item for item, moment in row if moment < begin]
            if inside and before:
                expected[user] = (before, inside[0])
        found = zip(held.histories.users.tolist(), held.histories, held.targets.tolist(), strict=True)
        assert {user: (history.tolist(), target) for user, history, target in found} == expected
        lone = [row for row in users.values() if begin <= row[0][1] < end]
        assert notes[f"{part}_users_without_history"] == len(lone)
    assert notes["train_rows"] + notes["validation_rows"] + notes["test_rows"] == len(data.interactions)


def test_global_time_puts_the_asked_share_after_each_cut():
    split = global_time(dataset([(row % 7, row % 11, row) for row in range(1000)]), test_fraction=0.2)
    notes = split.summary()
    assert (notes["train_rows"], notes["validation_rows"], notes["test_rows"]) == (700, 100, 200)


def test_tied_rows_follow_the_order_of_the_file():
    split = leave_one_out(dataset([(0, 5, 1), (0, 6, 1), (0, 7, 1), (0, 8, 0)]))
    # Catalogue order is first appearance: items 5, 6, 7, 8 are 0, 1, 2, 3.
    assert split.reveal("test").histories[0].tolist() == [3, 0, 1]
    assert split.reveal("test").targets.tolist() == [2]


def reachable(thing: object, depth: int = 3) -> list[np.ndarray]:
    """Arrays reachable from public attributes, bases of views included."""
    if isinstance(thing, np.ndarray):
        return [thing, *([] if thing.base is None else reachable(thing.base, depth))]
    if depth == 0:
        return []
    names = [name for name in dir(thing) if not name.startswith("_") and name != "reveal"]
    values = [getattr(thing, name) for name in names]
    return [array for value in values if not callable(value) for array in reachable(value, depth - 1)]


@pytest.mark.parametrize("make", [leave_one_out, global_time])
def test_held_out_items_are_reachable_only_by_reveal(make):
    rows = [(user, 10 * user + step, step) for user in range(5) for step in range(8)]
    split = make(dataset(rows))
    train_only = {int(item) for row in split.train for item in row}
    held = {int(item) for part in ("validation", "test") for item in split.reveal(part).targets}
    assert held
    assert not held & train_only
    arrays = [
        array for array in reachable(split) if array is not split.train.offsets and array is not split.train.users
    ]
    assert any(array is split.train.items for array in arrays)
    for array in arrays:
        assert set(array.ravel().tolist()) <= train_only | set(split.train.offsets.tolist())
        assert array.size <= len(split.train.items)
    assert not hasattr(split, "__iter__")
    assert len(repr(split)) < 200
    assert all(not isinstance(value, (list, np.ndarray)) for value in split.summary().values())


def test_fingerprint_depends_on_data_and_method():
    rows = [(user, step, step) for user in range(4) for step in range(6)]
    one, same = leave_one_out(dataset(rows)), leave_one_out(dataset(rows))
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != global_time(dataset(rows)).fingerprint
    assert one.fingerprint != leave_one_out(dataset(rows[:-1])).fingerprint


def test_splits_refuse_what_they_cannot_do():
    with pytest.raises(DataError, match=r"no timestamps.*leave_one_out"):
        global_time(dataset([(0, 1, 1), (0, 2, 2), (0, 3, 3)], column="order"))
    with pytest.raises(DataError, match="distinct times"):
        global_time(dataset([(0, 1, 1), (0, 2, 1), (0, 3, 1)]))
    with pytest.raises(ConfigError, match=r"test_fraction 0\.6"):
        global_time(dataset([(0, 1, 1)]), validation_fraction=0.5, test_fraction=0.6)
    split: Split = leave_one_out(dataset([(0, 1, 1), (0, 2, 2), (0, 3, 3)]))
    with pytest.raises(ConfigError, match=r"train.*validation, test"):
        split.reveal("train")


def reveals(source: str) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "reveal"]


def says_validation(call: ast.Call) -> bool:
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == "validation"


def test_only_evaluation_and_the_doors_reveal_and_training_only_validation():
    root = Path(agentrec.__file__).parent
    for file in sorted(root.rglob("*.py")):
        room = file.relative_to(root).parts[0]
        for call in reveals(file.read_text(encoding="utf-8")):
            allowed = room in MAY_REVEAL or (room == "training" and says_validation(call))
            assert allowed, f"{file.relative_to(root)}:{call.lineno} calls reveal, which {room} may not"


def test_the_reveal_rule_recognises_offenders():
    (call,) = reveals('split.reveal("test")')
    assert not says_validation(call)
    assert says_validation(reveals('split.reveal("validation")')[0])
    assert not says_validation(reveals("split.reveal(part)")[0])
