"""Policies that look at no vectors: hashes of keys, and collisions that stay."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Recommendations
from agentrec.semantic_ids.collisions import Problem, solve
from agentrec.semantic_ids.collisions.hash import hashed
from agentrec.semantic_ids.collisions.keep import Config, Keep, SharedCodes

KEYS = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


def problem_of(keys: list[str], seed: int = 0, taken: np.ndarray | None = None) -> Problem:
    codes = np.random.default_rng(seed).integers(0, 2, (len(keys), 2))
    return Problem(np.column_stack([codes, codes[:, :1]]), (2, 2, 16), keys=keys, taken=taken)


@settings(max_examples=80, deadline=None)
@given(KEYS, st.integers(0, 99), st.booleans(), st.booleans())
def test_hash_is_linear_probing_in_the_order_of_keys(keys: list[str], seed: int, whole: bool, held: bool) -> None:
    taken = np.array([[0, 0, 3, 1], [1, 0, 5, 0]])[:, : 3 if whole else 4] if held else None
    problem = problem_of(keys, seed, taken)
    found = solve(problem, "hash", {"replace": whole, "salt": "s"})
    used = set() if taken is None else set(map(tuple, taken.tolist()))
    for row in sorted(range(len(keys)), key=keys.__getitem__):
        prefix = problem.codes[row, : 2 if whole else 3].tolist()
        code = int(hashlib.sha256(f"s{keys[row]}".encode()).hexdigest()[:16], 16) % 16
        while (*prefix, code) in used:
            code = (code + 1) % 16
        used.add((*prefix, code))
        assert found.codes[row].tolist() == [*prefix, code]
    assert found.level_sizes == ((2, 2, 16) if whole else (2, 2, 16, 16))
    assert found.num_semantic == (2 if whole else 3)


def test_hashes_are_the_same_everywhere() -> None:
    assert [hashed(key, 1000) for key in ("B0001", "B0002", "ü")] == [
        int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big") % 1000
        for key in ("B0001", "B0002", "ü")
    ]
    assert hashed("B0001", 1000) == 627


def test_without_conflict_an_item_does_not_depend_on_the_others() -> None:
    keys = [f"item {number}" for number in range(200)]
    codes = np.arange(200)[:, None] // 4 * np.array([[1, 0]])
    whole = solve(Problem(codes, (50, 4096), keys=keys), "hash").codes
    half = solve(Problem(codes[::2], (50, 4096), keys=keys[::2]), "hash").codes
    assert np.array_equal(whole[::2], half)


def test_what_hash_cannot_do_is_refused() -> None:
    problem = problem_of([f"k{number}" for number in range(40)])
    crowded = replace(problem, codes=problem.codes * 0)
    for broken, config, message in (
        (replace(problem, keys=None), {}, "needs a business key per item"),
        (crowded, {}, r"more than 16 items share the codes \[0, 0\]"),
        (Problem(np.zeros((2, 1), np.int64), keys=["a", "b"]), {}, "expected 2, or replace=False"),
        (replace(problem, taken=np.array([[0, 0, 0]])), {"replace": False}, "no level of hashes"),
    ):
        with pytest.raises(DataError, match=message):
            solve(broken, "hash", config)
    for wrong in ({"size": -1, "replace": False}, {"size": 8}):
        with pytest.raises(ConfigError, match="hash settings are size="):
            solve(problem, "hash", wrong)


def test_keep_orders_by_popularity_then_by_key() -> None:
    codes = np.array([[1], [0], [1], [1], [0]])
    problem = Problem(codes, popularity=np.array([2, 5, 7, 2, 5]), keys=["d", "b", "c", "a", "e"])
    found = solve(problem, "keep")
    assert np.array_equal(found.codes, codes)
    assert found.ranks.tolist() == [2, 0, 0, 1, 1]
    assert solve(replace(problem, keys=None), "keep", {"order": "item"}).ranks.tolist() == [0, 0, 1, 2, 1]
    with pytest.raises(DataError, match="has no counts"):
        solve(replace(problem, popularity=None), "keep")
    with pytest.raises(DataError, match="expected no codes in use"):
        solve(replace(problem, taken=codes[:1]), "keep")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 6))
def test_recommended_groups_become_items_in_order(seed: int, items: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, (items, 2))
    shared = SharedCodes.of(Keep(Config("item")).resolve(Problem(codes)))
    assert np.array_equal(shared.codes[shared.group_of], codes)
    width = len(shared.codes) + 1
    table = np.array([np.append(rng.permutation(len(shared.codes)), -1) for _ in range(3)])
    table[2, :] = -1
    scores = -np.sort(rng.random((3, width)).astype(np.float32))
    found = shared.expand(Recommendations(table, scores), n)
    for user in range(3):
        expected = [
            (item, scores[user, place])
            for place, group in enumerate(table[user])
            if group >= 0
            for item in range(items)
            if codes[item].tolist() == shared.codes[group].tolist()
        ][:n]
        assert found.items[user].tolist() == [item for item, _ in expected] + [-1] * (n - len(expected))
        assert found.scores[user].tolist() == [score for _, score in expected] + [-np.inf] * (n - len(expected))
