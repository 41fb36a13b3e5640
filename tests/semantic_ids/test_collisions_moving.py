"""Policies that move items: each against a slow and obvious reference, and what they promise of one another."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.rng import generator
from agentrec.semantic_ids.collisions import Problem, Resolved, solve
from agentrec.semantic_ids.collisions.distances import row_errors
from agentrec.semantic_ids.collisions.next_best import surplus
from agentrec.semantic_ids.collisions.sinkhorn import Config, balanced_codes

MOVING = [
    ("next_best", {}),
    ("zero_collision", {"moves": "surplus"}),
    ("zero_collision", {"moves": "colliding"}),
    ("zero_collision", {"moves": "prefix"}),
    ("sinkhorn", {}),
    ("sinkhorn", {"free_only": False}),
]


def make(seed: int, *, items: int, sizes: tuple[int, ...], taken: int = 0, twins: bool = False) -> Problem:
    """Random vectors with codes of a small range, so that many collide; the first ``taken`` rows are in use."""
    rng = generator(seed, "collisions")
    books = [rng.normal(size=(size, 3)).astype(np.float32) / (level + 1) for level, size in enumerate(sizes)]
    codes = np.column_stack([rng.integers(0, size, items + taken) for size in sizes])
    vectors = sum(book[column] for book, column in zip(books, codes.T, strict=True)) + 0.3 * rng.normal(
        size=(items + taken, 3)
    )
    if twins:
        vectors, codes = (table[rng.integers(0, max(1, len(table) // 2), len(table))] for table in (vectors, codes))
    used = np.unique(codes[:taken], axis=0) if taken else None
    keys = [f"k{number:03d}" for number in rng.permutation(items)]
    return Problem(codes[taken:], sizes, vectors[taken:].astype(np.float32), books, keys, taken=used)


PROBLEMS = st.builds(
    make,
    st.integers(0, 10**6),
    items=st.integers(1, 14),
    sizes=st.sampled_from([(4, 4), (2, 2, 4), (16,), (3, 6), (2, 3, 3)]),
    taken=st.integers(0, 2),
    twins=st.booleans(),
)


def error(problem: Problem, found: Resolved) -> float:
    vectors, books = problem.space()
    return float(row_errors(vectors, found.codes[:, : problem.num_levels], books).sum(dtype=np.float64))


def exact(problem: Problem, row: int, codes: tuple[int, ...]) -> np.float32:
    """Squared error of one item under some codes, rounded as the package rounds it."""
    vectors, books = problem.space()
    left = vectors[row].astype(np.float32)
    for book, code in zip(books[:-1], codes[:-1], strict=False):
        left = left - book[code]
    return np.float32(((left.astype(np.float64) - books[-1][codes[-1]]) ** 2).sum())


def close(first: float, second: float) -> bool:
    return abs(first - second) <= 1e-5 * max(1.0, abs(first), abs(second))


@settings(max_examples=60, deadline=None)
@given(PROBLEMS, st.sampled_from(MOVING))
def test_what_every_moving_policy_promises(problem: Problem, policy: tuple[str, dict[str, object]]) -> None:
    name, config = policy
    if name == "sinkhorn" and problem.taken is not None:
        problem = replace(problem, taken=np.column_stack([problem.taken, np.zeros(len(problem.taken), np.int64)]))
    before = problem.codes.copy()
    found = solve(problem, name, config)
    everyone = found.codes.tolist() + ([] if problem.taken is None else problem.taken.tolist())
    assert len(set(map(tuple, everyone))) == len(everyone)
    assert (found.codes >= 0).all()
    assert (found.codes < found.level_sizes).all()
    assert found.level_sizes[: problem.num_levels] == problem.level_sizes
    assert not found.ranks.any()
    assert np.array_equal(problem.codes, before)
    moved = (found.codes[:, : problem.num_levels] != before).any(axis=1)
    if config.get("moves") != "prefix" and config.get("free_only", True):
        assert not moved[~problem.colliding].any()
    if name == "next_best" or config.get("moves") == "surplus":
        assert not moved[~surplus(problem)].any()
    assert np.array_equal(solve(problem, name, config).codes, found.codes)


@settings(max_examples=60, deadline=None)
@given(PROBLEMS, st.sampled_from(MOVING), st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(
    problem: Problem, policy: tuple[str, dict[str, object]], random: object
) -> None:
    if policy[0] == "sinkhorn":
        problem = replace(problem, taken=None)
    rows = np.array(random.sample(range(problem.num_items), problem.num_items))  # type: ignore[attr-defined]
    assert problem.keys is not None
    assert problem.vectors is not None
    other = replace(
        problem,
        codes=problem.codes[rows],
        vectors=problem.vectors[rows],
        keys=[problem.keys[row] for row in rows.tolist()],
    )
    assert np.array_equal(solve(other, *policy).codes, solve(problem, *policy).codes[rows])


@settings(max_examples=80, deadline=None)
@given(PROBLEMS)
def test_next_best_moves_the_cheapest_first(problem: Problem) -> None:
    """Everything by loops over tuples, exact distances, and no numpy cleverness."""
    vectors, books = problem.space()
    owners: dict[tuple[int, ...], int | None] = {tuple(row): None for row in problem.blocked.tolist()}
    movers = []
    for codes in sorted(set(map(tuple, problem.codes.tolist()))):
        members = [row for row, own in enumerate(problem.codes.tolist()) if tuple(own) == codes]
        errors = row_errors(vectors, problem.codes, books)
        members.sort(key=lambda row: (errors[row], problem.order[row]))
        movers += members if codes in owners else members[1:]
        owners.setdefault(codes, members[0])
    expected = problem.codes.tolist()
    waiting = set(movers)
    while True:
        pairs = [
            (exact(problem, row, codes), problem.order[row], codes[-1], row, codes)
            for row in waiting
            for last in range(problem.level_sizes[-1])
            if (codes := (*problem.codes[row, :-1].tolist(), last)) not in owners
        ]
        if not pairs:
            break
        *_, row, codes = min(pairs)
        owners[codes] = row
        expected[row] = list(codes)
        waiting.discard(row)
    everything = list(itertools.product(*map(range, problem.level_sizes)))
    for row in sorted(waiting, key=lambda row: problem.order[row]):
        own = tuple(problem.codes[row].tolist())
        free = [codes for codes in everything if codes not in owners]
        depth = max(length for length in range(len(own)) if any(codes[:length] == own[:length] for codes in free))
        path, left = own[:depth], vectors[row] - sum(books[level][code] for level, code in enumerate(own[:depth]))
        for level in range(depth, len(own)):
            open_ = sorted({codes[level] for codes in free if codes[:level] == path})
            distances = [float(((left - books[level][code]) ** 2).sum()) for code in open_]
            path = (*path, open_[int(np.argmin(distances))])
            left = left - books[level][path[-1]]
        owners[path] = row
        expected[row] = list(path)
    assert solve(problem, "next_best").codes[:, : problem.num_levels].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(PROBLEMS, st.sampled_from(["surplus", "colliding", "prefix"]))
def test_zero_collision_is_the_cheapest_inside_every_prefix(problem: Problem, moves: str) -> None:
    start, found = solve(problem, "next_best"), solve(problem, "zero_collision", {"moves": moves})
    assert np.array_equal(found.codes[:, : problem.num_levels - 1], start.codes[:, : problem.num_levels - 1])
    may = problem.colliding | (start.codes[:, : problem.num_levels] != problem.codes).any(axis=1)
    may = surplus(problem) if moves == "surplus" else may
    prefixes = list(map(tuple, start.codes[:, : problem.num_levels - 1].tolist()))
    for prefix in set(prefixes):
        members = [row for row in range(problem.num_items) if prefixes[row] == prefix]
        movers = [row for row in members if may[row]]
        if moves == "prefix" and movers:
            movers = members
        if not 1 <= len(movers) <= 5:
            continue
        held = {start.codes[row, problem.num_levels - 1] for row in members if row not in movers}
        held |= {row[-1] for row in problem.blocked.tolist() if tuple(row[:-1]) == prefix}
        free = [code for code in range(problem.level_sizes[-1]) if code not in held]
        best = min(
            sum(float(exact(problem, row, (*prefix, code))) for row, code in zip(movers, chosen, strict=True))
            for chosen in itertools.permutations(free, len(movers))
        )
        rows = [(row, tuple(found.codes[row, : problem.num_levels].tolist())) for row in movers]
        assert close(sum(float(exact(problem, *row)) for row in rows), best)


@settings(max_examples=80, deadline=None)
@given(PROBLEMS)
def test_each_freedom_lowers_the_error(problem: Problem) -> None:
    names = [("next_best", {}), *[("zero_collision", {"moves": moves}) for moves in ("surplus", "colliding", "prefix")]]
    errors = [error(problem, solve(problem, *policy)) for policy in names]
    assert all(later <= earlier + 1e-5 * max(1, earlier) for earlier, later in itertools.pairwise(errors)), errors


def test_the_hungarian_method_beats_greed_where_greed_is_wrong() -> None:
    """Item 1 takes the nearest free code, which item 2 needs far more."""
    book = np.array([[0.0], [1.0], [-9.0]], np.float32)
    vectors = np.array([[0.0], [0.9], [0.8]], np.float32)
    problem = Problem(np.zeros((3, 1), np.int64), vectors=vectors, codebooks=[book])
    assert solve(problem, "next_best").codes.ravel().tolist() == [0, 1, 2]
    third = Problem(np.zeros((3, 1), np.int64), vectors=np.array([[0], [4], [1]], np.float32), codebooks=[book])
    greedy, best = solve(third, "next_best"), solve(third, "zero_collision")
    assert sorted(best.codes.ravel().tolist()) == [0, 1, 2]
    assert error(third, best) < error(third, greedy) - 1


def test_a_full_prefix_hands_items_to_its_nearest_neighbour() -> None:
    books = [np.array([[0.0], [10.0], [12.0]], np.float32), np.array([[0.0], [1.0]], np.float32)]
    codes = np.array([[0, 0], [0, 1], [0, 0], [1, 0], [1, 1]])
    vectors = np.array([[0.0], [1.0], [0.1], [10.0], [11.0]], np.float32)
    found = solve(Problem(codes, vectors=vectors, codebooks=books), "next_best").codes
    assert found.tolist() == [[0, 0], [0, 1], [2, 0], [1, 0], [1, 1]]  # 1 is nearer and full


def test_more_items_than_codes_are_refused() -> None:
    problem = make(0, items=5, sizes=(2, 2))
    for name in ("next_best", "zero_collision"):
        with pytest.raises(DataError, match=r"5 items do not fit into 4 codes \(level sizes \[2, 2\]\)"):
            solve(problem, name)


def test_every_code_can_be_given_away() -> None:
    problem = make(1, items=24, sizes=(2, 3, 4))
    for name in ("next_best", "zero_collision"):
        assert len(np.unique(solve(problem, name).codes, axis=0)) == 24


def test_many_equal_items_spill_over() -> None:
    problem = make(2, items=600, sizes=(8, 8, 16))
    assert problem.vectors is not None
    twins = replace(problem, codes=problem.codes[[0] * 600], vectors=problem.vectors[[0] * 600])
    found = solve(twins, "next_best").codes
    assert len(np.unique(found, axis=0)) == 600
    counts = np.unique(found[:, 0], return_counts=True)[1]
    assert (counts == 128).sum() == 4  # prefixes are filled one after the other


@pytest.mark.parametrize("size", [2, 5])
def test_sinkhorn_is_the_published_iteration(size: int) -> None:
    """LC-Rec's: exp(-d / eps) of the centred distances, rows and columns normalised in turn."""
    costs = generator(size, "sinkhorn").random((4, size, 7)).astype(np.float32)
    expected = []
    for table in costs.astype(np.float64):
        middle = (table.max() + table.min()) / 2
        weights = np.exp(-(table - middle) / (table.max() - middle + 1e-5) / 0.05)
        weights /= weights.sum()
        for _ in range(50):
            weights /= weights.sum(axis=1, keepdims=True) * size
            weights /= weights.sum(axis=0, keepdims=True) * 7
        expected.append(weights.argmax(axis=1))
    found = balanced_codes(costs, np.ones((4, 7), bool), Config(epsilon=0.05))
    assert np.array_equal(found, expected)


def test_sinkhorn_numbers_what_it_cannot_tell_apart() -> None:
    problem = make(3, items=9, sizes=(2, 8))
    assert problem.vectors is not None
    twins = replace(problem, codes=problem.codes[[0, 0, 1, 2]], vectors=problem.vectors[[0, 0, 1, 2]], keys=None)
    found = solve(twins, "sinkhorn")
    assert np.array_equal(found.codes[0, :2], found.codes[1, :2])
    assert found.codes[:2, 2].tolist() == [0, 1]
    with pytest.raises(DataError, match="use collisions='next_best'"):
        solve(replace(twins, taken=np.array([[1, 7]])), "sinkhorn")


@pytest.mark.parametrize("free_only", [True, False])
def test_sinkhorn_leaves_codes_in_use_while_others_are_free(free_only: bool) -> None:
    problem = make(4, items=1, sizes=(2, 8))
    held = replace(problem, taken=np.append(problem.codes[0], 0)[None])
    found = solve(held, "sinkhorn", {"free_only": free_only}).codes[0]
    assert found[0] == problem.codes[0, 0]
    assert found[1] != problem.codes[0, 1]
    assert found[2] == 0
    full = np.column_stack([np.repeat(problem.codes[:, 0], 8), np.arange(8), np.zeros(8, np.int64)])
    assert solve(replace(problem, taken=full), "sinkhorn", {"free_only": free_only}).codes.tolist() == [
        [*problem.codes[0].tolist(), 1]
    ]


@pytest.mark.parametrize(("name", "value"), [("rounds", 0), ("iterations", 0), ("epsilon", 0.001)])
def test_settings_of_sinkhorn_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is {value}"):
        solve(make(0, items=2, sizes=(2, 2)), "sinkhorn", {name: value})
