"""Collisions: groups, the further level of numbers, policies by name, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.semantic_ids.collisions import Problem, append_level, collision_rate, group_histogram, resolve, solve
from agentrec.semantic_ids.collisions.groups import ranks, row_keys
from agentrec.semantic_ids.collisions.solve import REGISTRY

CODES = arrays.arrays(np.int64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(CODES)
def test_append_numbers_each_group_in_item_order(codes: np.ndarray) -> None:
    seen: dict[tuple[int, ...], int] = {}
    expected = []
    for row in map(tuple, codes.tolist()):
        expected.append([*row, seen.get(row, 0)])
        seen[row] = seen.get(row, 0) + 1
    found = append_level(codes)
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert len(np.unique(found, axis=0)) == len(codes)
    assert collision_rate(codes) == pytest.approx(1 - len(seen) / len(codes))
    sizes = list(seen.values())
    assert group_histogram(codes) == {size: sizes.count(size) for size in sorted(set(sizes))}


@settings(max_examples=50, deadline=None)
@given(CODES)
def test_resolve_leaves_distinct_codes_as_they_are(codes: np.ndarray) -> None:
    found = resolve(codes)
    assert collision_rate(found) == 0
    assert np.array_equal(found[:, : codes.shape[1]], codes)
    assert found.shape[1] - codes.shape[1] == (collision_rate(codes) > 0)
    assert np.array_equal(resolve(found), found)


@settings(max_examples=50, deadline=None)
@given(CODES, st.booleans())
def test_row_keys_order_and_tell_rows_as_tuples_do(codes: np.ndarray, huge: bool) -> None:
    table = codes * 2**40 if huge else codes  # too many different rows for one integer each, by size
    keys, rows = row_keys(table), list(map(tuple, table.tolist()))
    assert [rows[place] for place in np.argsort(keys, kind="stable")] == sorted(rows)
    assert len(set(keys.tolist())) == len(set(rows))


def test_ranks_follow_an_order() -> None:
    group = np.array([1, 0, 1, 1, 0])
    assert ranks(group).tolist() == [0, 0, 1, 2, 1]
    assert ranks(group, np.array([5, 2, 3, 4, 1])).tolist() == [2, 1, 0, 1, 0]


def test_resolve_returns_codes_of_its_own() -> None:
    codes = np.array([[0], [1]])
    resolve(codes)[0, 0] = 7
    assert codes[0, 0] == 0


def test_popularity_decides_who_gets_the_smaller_number() -> None:
    problem = Problem(np.zeros((3, 1), np.int64), popularity=np.array([1, 9, 1]))
    assert solve(problem, settings={"order": "popularity"}).codes[:, 1].tolist() == [1, 0, 2]
    with pytest.raises(DataError, match="has no counts; pass them, or use order='item'"):
        solve(Problem(problem.codes), settings={"order": "popularity"})


def test_numbers_can_be_held_ready() -> None:
    found = solve(Problem(np.array([[0], [1]])), settings={"size": 4})
    assert found.level_sizes == (2, 4)
    assert found.codes.tolist() == [[0, 0], [1, 0]]
    with pytest.raises(DataError, match="3 items share the codes of item 2; expected at most size=2"):
        solve(Problem(np.zeros((3, 1), np.int64)), settings={"size": 2})


@settings(max_examples=100, deadline=None)
@given(CODES, st.data())
def test_new_items_take_the_smallest_free_numbers(codes: np.ndarray, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(codes) - 1))
    held = append_level(codes)[: len(codes) - size - 1]
    kept = held[np.array(data.draw(st.lists(st.booleans(), min_size=len(held), max_size=len(held))), bool)]
    new = codes[len(held) :]
    taken = np.concatenate([kept, np.column_stack([codes[:1] * 0 + 3, [[0]]])])
    used, expected = set(map(tuple, taken.tolist())), []
    for row in new.tolist():
        number = next(number for number in range(99) if (*row, number) not in used)
        used.add((*row, number))
        expected.append([*row, number])
    problem = Problem(new, level_sizes=(4,) * codes.shape[1], taken=taken)
    found = solve(problem)
    assert found.codes.tolist() == expected
    assert found.level_sizes[-1] == max(number for *_, number in [*expected, *taken.tolist()]) + 1


def test_codes_in_use_without_numbers_cannot_be_numbered() -> None:
    taken = np.array([[0, 1]])
    assert solve(Problem(np.array([[0, 0]]), (2, 2), taken=taken)).codes.tolist() == [[0, 0]]
    with pytest.raises(DataError, match="use collisions='next_best'"):
        solve(Problem(np.array([[0, 1]]), (2, 2), taken=taken))


def test_every_policy_is_listed_with_a_summary() -> None:
    assert REGISTRY.names() == ["append", "hash", "keep", "next_best", "sinkhorn", "zero_collision"]
    assert all(summary.endswith(".") for summary in REGISTRY.summaries().values())


def test_misuse_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="those that exist are append, hash, keep, next_best, sinkhorn"):
        resolve(np.array([[0]]), "shuffle")
    for wrong in (np.zeros((0, 2), np.int64), np.zeros(3, np.int64)):
        with pytest.raises(DataError, match="codes have shape"):
            append_level(wrong)
    with pytest.raises(DataError, match="row 1 has code -1; expected 0 or more"):
        resolve(np.array([[0], [-1]]))
    with pytest.raises(ConfigError, match="'size' is -1"):
        solve(Problem(np.array([[0]])), settings={"size": -1})
    with pytest.raises(DataError, match="has no vectors; pass them, or use collisions='append'"):
        solve(Problem(np.array([[0]])), "next_best")
    with pytest.raises(DataError, match="has no codebooks"):
        solve(Problem(np.array([[0]]), vectors=np.zeros((1, 2), np.float32)), "sinkhorn")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"level_sizes": (2,)}, "2 levels and 1 level sizes"),
        ({"level_sizes": (2, 1)}, "row 0 has code 1 on level 2; expected 0 to 0"),
        ({"vectors": np.zeros((3, 2), np.float32)}, "3 vectors were given for 2 rows"),
        ({"keys": ["a", "a"]}, "2 items have 1 different keys"),
        ({"popularity": np.zeros(1)}, "1 popularity were given"),
        ({"codebooks": [np.zeros((2, 2), np.float32)] * 3}, "2 levels and 3 level sizes"),
        (
            {"level_sizes": (2, 2), "codebooks": [np.zeros((3, 2), np.float32)] * 2},
            r"expected the level sizes \[2, 2\]",
        ),
        (
            {"vectors": np.zeros((2, 5), np.float32), "codebooks": [np.zeros((2, 2), np.float32)] * 2},
            "vectors have 5 dimensions and code vectors 2",
        ),
        ({"taken": np.zeros((1, 4), np.int64)}, "codes in use have 4 levels and new ones 2"),
        ({"taken": np.full((1, 2), 9)}, "code 9 on level 1"),
    ],
)
def test_problems_that_do_not_fit_together_are_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Problem(np.array([[0, 1], [1, 0]]), **parts)  # type: ignore[arg-type]
