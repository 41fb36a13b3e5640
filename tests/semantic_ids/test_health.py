"""Code-book health against slow references and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import IntArray
from agentrec.semantic_ids.health import additive_error, first_code_loads, gini, health, perplexity, relative_error
from agentrec.semantic_ids.neighbours import neighbour_sharing


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=20).filter(any))
def test_gini_and_perplexity_equal_their_definitions(values: list[int]) -> None:
    counts = np.array(values)
    slow = sum(abs(a - b) for a in values for b in values) / (2 * len(values) * sum(values))
    assert gini(counts) == pytest.approx(slow, abs=1e-12)
    shares = [value / sum(values) for value in values if value]
    assert perplexity(counts) == pytest.approx(np.prod([share**-share for share in shares]))
    assert 1 - 1e-9 <= perplexity(counts) <= len(shares) + 1e-9


def test_relative_error_is_zero_for_exact_and_one_for_the_mean() -> None:
    vectors = np.random.default_rng(0).normal(3, 1, size=(50, 4)).astype(np.float32)
    assert relative_error(vectors, vectors) == 0
    assert relative_error(vectors, np.tile(vectors.mean(axis=0), (50, 1))) == pytest.approx(1, abs=1e-5)
    assert relative_error(vectors[:1], vectors[:1]) == 0


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("seed", range(3))
def test_neighbour_sharing_equals_a_slow_search(seed: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    vectors, codes = rng.normal(size=(60, 5)).astype(np.float32) + 1, rng.integers(0, 3, size=(60, 4))
    shared: list[list[bool]] = [[], [], []]
    for item in range(60):
        if metric == "cosine":
            lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[item])
            far = 1 - vectors @ vectors[item] / lengths
        else:
            far = ((vectors - vectors[item]) ** 2).sum(axis=1)
        far[item] = np.inf
        for other in np.argsort(far)[:7]:
            for length in (1, 2, 3):
                shared[length - 1].append(tuple(codes[other, :length]) == tuple(codes[item, :length]))
    found = neighbour_sharing(vectors, codes, neighbours=7, metric=metric)  # type: ignore[arg-type]
    assert (found["metric"], found["neighbours"], len(found["prefixes"])) == (metric, 7, 3)
    for row, slow in zip(found["prefixes"], shared, strict=True):
        pairs = [
            tuple(codes[a, : row["length"]]) == tuple(codes[b, : row["length"]])
            for a in range(60)
            for b in range(60)
            if a != b
        ]
        assert row["shared"] == pytest.approx(np.mean(slow))
        assert row["chance"] == pytest.approx(np.mean(pairs))
    assert found["shared"] == found["prefixes"][0]["shared"]
    assert 0 <= neighbour_sharing(vectors, codes, queries=20)["shared"] <= 1


def test_cosine_and_euclidean_see_other_neighbours() -> None:
    """Long and short vectors of two directions: near by direction, far by position, and the reverse."""
    vectors = np.array([[10, 0.1], [0.1, 0], [0.1, 10], [0, 0.1]], np.float32)
    directions, lengths = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [2], [1]])
    assert neighbour_sharing(vectors, directions, neighbours=1, metric="cosine")["shared"] == 1
    assert neighbour_sharing(vectors, directions, neighbours=1)["shared"] < 1
    assert neighbour_sharing(vectors[[1, 3]], lengths[[1, 3]], neighbours=1)["shared"] == 1


def test_random_codes_share_by_chance_and_clusters_share_all() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 8)) * 10
    cluster = rng.integers(0, 12, size=1500)
    vectors = (centres[cluster] + rng.normal(size=(1500, 8))).astype(np.float32)
    planted = neighbour_sharing(vectors, cluster[:, None])
    assert planted["shared"] == 1 > 0.1 > planted["chance"]
    random = neighbour_sharing(vectors, rng.integers(0, 12, size=(1500, 3)))
    for row in random["prefixes"]:
        assert row["shared"] == pytest.approx(row["chance"], abs=0.01)


def test_neighbours_among_twins_and_few_items() -> None:
    def sides(codes: IntArray, size: int) -> tuple[float, float]:
        found = neighbour_sharing(np.ones((size, 2), np.float32), codes)
        return found["shared"], found["chance"]

    codes = np.zeros((30, 1), np.int64)
    assert sides(codes, 30) == (1, 1)
    assert sides(codes[:1], 1) == (1, 1)
    assert sides(np.array([[0], [1], [2]]), 3) == (0, 0)
    for wrong in ({"metric": "manhattan"}, {"neighbours": 0}, {"queries": 0}):
        with pytest.raises(ConfigError, match="expected euclidean or cosine, and numbers of 1 or more"):
            neighbour_sharing(np.ones((30, 2), np.float32), codes, **wrong)


def test_additive_error_equals_means_taken_one_by_one() -> None:
    rng = np.random.default_rng(0)
    vectors, codes = rng.normal(3, 1, size=(40, 4)).astype(np.float32), rng.integers(0, 4, size=(40, 2)) * 1000
    rest = vectors - vectors.mean(axis=0)
    spread = (rest**2).sum()
    for column in codes.T:
        rest = np.array([row - rest[column == code].mean(axis=0) for row, code in zip(rest, column, strict=True)])
    found = additive_error(vectors, codes)
    assert found["relative_error"] == pytest.approx((rest**2).sum() / spread, rel=1e-4)
    assert 0.5 < found["chance"] < 1  # eight codes explain a part of forty random vectors
    alone = np.arange(40)[:, None]
    assert additive_error(vectors, alone) == pytest.approx({"relative_error": 0, "chance": 0}, abs=1e-6)
    assert additive_error(vectors, alone * 0) == pytest.approx({"relative_error": 1, "chance": 1}, abs=1e-6)


def test_additive_error_of_codes_without_meaning_is_at_chance() -> None:
    rng = np.random.default_rng(1)
    vectors, codes = rng.normal(size=(2000, 8)).astype(np.float32), rng.integers(0, 30, size=(2000, 3))
    found = additive_error(vectors, codes)
    assert found["relative_error"] == pytest.approx(found["chance"], abs=0.01)
    assert found["chance"] == pytest.approx(1 - 87 / 1999, abs=0.01)  # as many means as are free, out of N - 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_items_per_first_code_are_counted(first: list[int]) -> None:
    sizes = sorted(first.count(code) for code in set(first))
    middle = (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2
    found = first_code_loads(np.array([[code, 0] for code in first]))
    assert found == {"min": sizes[0], "median": middle, "max": sizes[-1]}


def test_a_report_worked_by_hand() -> None:
    codes = np.array([[0, 1], [0, 1], [1, 0], [1, 2]])
    books = [np.array([[0, 0], [4, 0]], np.float32), np.array([[0, 0], [0, 1], [0, 2], [9, 9]], np.float32)]
    vectors = np.array([[0, 1], [0, 1], [4, 0], [4, 3]], np.float32)
    report = health(vectors, codes, books, categories=["hat", "hat", "nail", ""])
    assert report["num_items"] == 4
    assert report["items_per_first_code"] == {"min": 2, "median": 2, "max": 2}
    assert report["additive_error"]["relative_error"] == 0  # every item has its own mean at level 2
    assert report["categories"]["num_items"] == 3
    assert report["categories"]["prefixes"][0]["majority"] == 1
    assert report["relative_error"] == pytest.approx(1 / (16 + 4.75))
    assert report["collision_rate"] == 0.25
    assert report["group_histogram"] == {"1": 2, "2": 1}
    assert report["largest_group"] == 2
    first, second = report["levels"]
    assert (first["size"], first["used"], first["perplexity"], first["gini"]) == (2, 2, pytest.approx(2), 0)
    assert (second["size"], second["used"], second["utilisation"]) == (4, 3, 0.75)
    assert report["neighbours"]["chance"] == pytest.approx(1 / 3)
    assert health(vectors, codes, books, reconstruction=vectors)["relative_error"] == 0


def test_unknown_parts_are_none() -> None:
    report = health(None, np.array([[0], [1]]))
    for name in ("relative_error", "additive_error", "neighbours", "categories"):
        assert report[name] is None
    assert health(np.eye(2, dtype=np.float32), np.array([[0], [1]]))["relative_error"] is None


def test_parts_that_do_not_fit_are_refused() -> None:
    vectors, codes, book = np.eye(3, dtype=np.float32), np.zeros((3, 1), np.int64), np.zeros((1, 3), np.float32)
    for wrong in ((vectors[:2], codes, None), (vectors, codes, [book, book]), (vectors, codes[:0], None)):
        with pytest.raises(DataError, match="expected"):
            health(*wrong)
    with pytest.raises(DataError, match=r"level 1 do not fit its codebook; expected 0\.\.0"):
        health(vectors, codes + 1, [book])
