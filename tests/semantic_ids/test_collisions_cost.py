"""What telling items apart costs, against loops."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agentrec.core.rng import generator
from agentrec.semantic_ids.collisions import Problem, solve
from agentrec.semantic_ids.collisions.cost import cost, neighbour_pairs, shared_codes


def planted() -> Problem:
    rng = generator(0, "cost")
    books = [rng.normal(size=(4, 3)).astype(np.float32) / scale for scale in (1, 3)]
    codes = rng.integers(0, 4, (14, 2))
    vectors = books[0][codes[:, 0]] + books[1][codes[:, 1]] + 0.1 * rng.normal(size=(14, 3))
    return Problem(codes, vectors=vectors.astype(np.float32), codebooks=books, keys=[f"{row}" for row in range(14)])


def test_cost_counts_what_moved_and_what_it_adds() -> None:
    problem = planted()
    vectors, books = problem.space()
    found = solve(problem, "next_best")
    report = cost(problem, found, neighbours=3)
    rows = list(map(tuple, problem.codes.tolist()))
    assert report["colliding"] == sum(rows.count(row) > 1 for row in rows) > 0
    assert report["moved"] == sum(tuple(new) != old for new, old in zip(found.codes.tolist(), rows, strict=True)) > 0
    assert report["moved_others"] == 0
    spread = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    for when, codes in (("before", problem.codes), ("after", found.codes)):
        rebuilt = books[0][codes[:, 0]] + books[1][codes[:, 1]]
        assert report["relative_error"][when] == pytest.approx(((vectors - rebuilt) ** 2).sum() / spread, rel=1e-5)
        shared = [0.0, 0.0]
        for row in range(14):
            near = sorted((((vectors[row] - vectors[other]) ** 2).sum(), other) for other in range(14) if other != row)
            for _, other in near[:3]:
                shared[0] += codes[row, 0] == codes[other, 0]
                shared[1] += (codes[row] == codes[other]).all()
        assert report["neighbours"][when] == pytest.approx([value / 42 for value in shared])
    assert report["neighbours"]["after"][1] == 0
    assert json.loads(json.dumps(report)) == report


def test_levels_that_only_tell_items_apart_do_not_count() -> None:
    problem = planted()
    for name, config in (("append", {}), ("hash", {"replace": False})):
        report = cost(problem, solve(problem, name, config))
        assert report["relative_error"]["after"] == report["relative_error"]["before"]
        assert report["moved"] == 0
    bare = Problem(problem.codes, (4, 64), keys=problem.keys)
    replaced = solve(bare, "hash")
    vectors, books = problem.space()
    first = ((vectors - books[0][problem.codes[:, 0]]) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum()
    assert cost(problem, replaced)["relative_error"]["after"] == pytest.approx(first, rel=1e-5)
    assert cost(bare, replaced)["relative_error"] is None
    assert cost(bare, replaced)["neighbours"] is None


def test_a_crowd_of_twins_is_nobodys_neighbour_twice() -> None:
    vectors = np.zeros((30, 2), np.float32)
    rows, found = neighbour_pairs(vectors, neighbours=4)
    assert found.shape == (30, 4)
    assert (found != rows[:, None]).all()
    assert shared_codes(np.zeros((30, 2), np.int64), rows, found) == [1.0, 1.0]
    assert len(neighbour_pairs(vectors, neighbours=4, queries=7)[0]) == 7
