"""Shifted PPMI and its factorisation: small tables by hand, slow references, unknown items, both roles of an item."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.vectors.co_occurrence_svd import Config, co_occurrence_vectors, shifted_ppmi


def blocks(sizes: list[int], seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """Symmetric counts: items of a block occur together, and others sometimes."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    table = rng.poisson(np.where(owner[:, None] == owner, 5.0, noise))
    table = np.triu(table, 1)
    return (table + table.T).astype(np.float32)


def test_ppmi_by_hand() -> None:
    # n = 20, sums 10, 6, 4: log(6 * 20 / (10 * 6)) = log 2, log(4 * 20 / (10 * 4)) = log 2
    graph = csr_array(np.array([[0, 6, 4], [6, 0, 0], [4, 0, 0]], np.float32))
    expected = np.log(2) * np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(shifted_ppmi(graph).toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(shifted_ppmi(graph, 1.5).toarray(), np.log(4 / 3) * (expected > 0), atol=1e-12)
    assert shifted_ppmi(graph, 2.5).nnz == 0
    assert shifted_ppmi(csr_array((3, 3), dtype=np.float32)).nnz == 0


def test_pairs_no_more_frequent_than_by_chance_are_left_out() -> None:
    # n = 22 and every sum is 11: by chance, each pair would occur 11 * 11 / 22 = 5.5 times
    graph = csr_array(np.array([[0, 0, 1, 10], [0, 0, 10, 1], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32))
    found = shifted_ppmi(graph).toarray()
    assert found[0, 2] == found[1, 3] == 0
    assert found[0, 3] == found[1, 2] == pytest.approx(np.log(10 / 5.5))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=5, max_size=5),
    st.sampled_from([1.0, 1.5, 3.0]),
    st.sampled_from([0.0, 0.75, 1.0]),
)
def test_ppmi_equals_the_formula_of_a_directed_table(rows, shift, power):
    table = np.array(rows, np.float64)
    slow = np.zeros_like(table)
    context = np.array([column.sum() ** power if column.any() else 0 for column in table.T])
    for i, j in np.ndindex(5, 5):
        if table[i, j]:
            by_chance = table[i].sum() * context[j] / context.sum()
            slow[i, j] = max(0, np.log(table[i, j] / by_chance) - np.log(shift))
    found = shifted_ppmi(csr_array(table.astype(np.float32)), shift, power)
    np.testing.assert_allclose(found.toarray(), slow, atol=1e-9)


def test_the_scale_of_counts_does_not_matter() -> None:
    table = blocks([5, 6, 7], noise=0.5)
    np.testing.assert_allclose(shifted_ppmi(csr_array(table)).toarray(), shifted_ppmi(csr_array(7 * table)).toarray())


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_all_directions_give_the_cosines_of_an_exact_factorisation(power: float) -> None:
    table = csr_array(blocks([6, 5], noise=1.0))
    left, spectrum, _ = np.linalg.svd(shifted_ppmi(table).toarray())
    exact = left * np.where(spectrum > 1e-6 * spectrum[0], spectrum**power, 0)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    found = co_occurrence_vectors(table, Config(embedding_dim=11, spectrum_power=power))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=1e-4)


def test_items_of_a_block_are_neighbours() -> None:
    owner = np.repeat(np.arange(4), 10)
    found = co_occurrence_vectors(csr_array(blocks([10] * 4, noise=0.3)), Config(embedding_dim=4))
    near = (found @ found.T - 2 * np.eye(40)).argmax(axis=1)
    assert np.array_equal(owner[near], owner)


def test_an_item_without_company_is_zeros_and_others_have_length_one() -> None:
    table = np.pad(blocks([6, 6]), (0, 2))
    found = co_occurrence_vectors(csr_array(table), Config(embedding_dim=5))
    assert not found[12:].any()
    np.testing.assert_allclose(np.linalg.norm(found[:12], axis=1), 1, atol=1e-5)
    with_no_edges = co_occurrence_vectors(csr_array((4, 4), dtype=np.float32), Config(embedding_dim=3))
    assert with_no_edges.shape == (4, 3)
    assert not with_no_edges.any()


def test_what_the_directions_do_not_hold_is_no_noise_of_length_one() -> None:
    """Two large blocks take both directions; of a pair apart from them nothing remains."""
    table = np.zeros((42, 42), np.float32)
    table[:40, :40] = blocks([20, 20])
    table[40, 41] = table[41, 40] = 1
    found = co_occurrence_vectors(csr_array(table), Config(embedding_dim=2))
    assert not found[40:].any()
    assert found[:40].any(axis=1).all()
    assert co_occurrence_vectors(csr_array(table), Config(embedding_dim=42))[40:].any(axis=1).all()


def test_a_directed_graph_tells_an_items_two_roles_apart() -> None:
    """0 and 1 are followed by the same items, 0 and 2 follow the same items."""
    table = np.zeros((9, 9), np.float32)
    table[[0, 1], 3:5] = 5  # 0 and 1 before 3 and 4
    table[5:7, 0] = table[5:7, 2] = 5  # 0 and 2 after 5 and 6
    table[2, 7] = table[8, 1] = 5
    found = co_occurrence_vectors(csr_array(table), Config(embedding_dim=18))
    first, second = found[:, :9], found[:, 9:]  # by what follows an item, by what it follows
    assert not first[3].any()  # nothing follows it
    assert not second[5].any()
    for half, same, other in ((first, 1, 2), (second, 2, 1)):
        near = half[:3] @ half[0] / np.linalg.norm(half[:3], axis=1) / np.linalg.norm(half[0])
        assert near[same] > 0.95
        assert abs(near[other]) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_order_of_items_does_not_matter_and_a_seed_decides() -> None:
    table, order = blocks([6, 5, 4], noise=0.5), np.random.default_rng(1).permutation(15)
    first = co_occurrence_vectors(csr_array(table), Config(embedding_dim=15))
    second = co_occurrence_vectors(csr_array(table[order][:, order]), Config(embedding_dim=15))
    np.testing.assert_allclose(second @ second.T, (first @ first.T)[order][:, order], atol=1e-4)
    assert np.array_equal(first, co_occurrence_vectors(csr_array(table), Config(embedding_dim=15)))


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2, 3\); expected \(N, N\)"):
        shifted_ppmi(csr_array((2, 3)))
    with pytest.raises(DataError, match="negative or not finite"):
        shifted_ppmi(csr_array(np.array([[0, -1], [1, 0]])))
    with pytest.raises(DataError, match="negative or not finite"):
        shifted_ppmi(csr_array(np.array([[0, np.nan], [1, 0]])))
    with pytest.raises(ConfigError, match=r"shift=0\.5; expected both to be 1 or more"):
        Config(shift=0.5)
    with pytest.raises(ConfigError, match="'context_power' is 2"):
        Config(context_power=2.0)
    with pytest.warns(DataWarning, match="11 items allow 11 directions, fewer than the 64"):
        assert co_occurrence_vectors(csr_array(blocks([6, 5]))).shape == (11, 11)
