"""What residual quantisers share, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.semantic_ids import residual
from agentrec.semantic_ids.health import relative_error
from agentrec.semantic_ids.kmeans import nearest
from agentrec.semantic_ids.residual import RIDGE, checked_codes, decode_sum, encode_levels, fit_jointly
from agentrec.semantic_ids.rq_kmeans import Config, RQKMeans
from agentrec.testing.quantisers import clustered_vectors


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 1000))
def test_the_joint_fit_solves_the_ridge_regression(size: int, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(size, 3)).astype(np.float32)
    books = [rng.normal(size=(k, 3)).astype(np.float32) for k in sizes]
    codes = np.stack([rng.integers(k, size=size) for k in sizes], axis=1)
    incidence = np.concatenate([np.eye(k)[codes[:, level]] for level, k in enumerate(sizes)], axis=1)
    left = np.concatenate([incidence, np.sqrt(RIDGE) * np.eye(sum(sizes))])
    right = np.concatenate([vectors - decode_sum(codes, books), np.zeros((sum(sizes), 3))])
    expected = np.concatenate(books) + np.linalg.lstsq(left, right, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate(fit_jointly(vectors, codes, books)), expected, atol=1e-4)


def test_joint_codebooks_lose_less_with_the_same_codes_and_are_no_worse_for_new_vectors() -> None:
    table = clustered_vectors(1500, dimension=24, clusters=40)
    known, new = table[:1000], table[1000:]
    error: dict[bool, tuple[float, float]] = {}
    codes = {}
    for joint in (True, False):
        quantiser = RQKMeans(Config(num_levels=3, codebook_size=32, joint=joint)).fit(known)
        codes[joint] = quantiser.encode(known)
        rebuilt = [quantiser.decode(quantiser.encode(part)) for part in (known, new)]
        error[joint] = (relative_error(known, rebuilt[0]), relative_error(new, rebuilt[1]))
    assert np.array_equal(codes[True], codes[False])
    assert error[True][0] < 0.97 * error[False][0]
    assert error[True][1] < 1.01 * error[False][1]


def test_rows_are_encoded_alike_in_any_number_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered_vectors(100)
    books = [vectors[:5], vectors[5:9] - vectors[:4]]

    def encode() -> np.ndarray:
        return encode_levels(vectors, books, lambda rows, level: nearest(rows, books[level]))

    whole = encode()
    monkeypatch.setattr(residual, "ROWS", 7)
    assert np.array_equal(encode(), whole)


def test_the_row_with_a_wrong_code_is_named() -> None:
    with pytest.raises(DataError, match="row 1 has code 9 on level 2; expected 0 to 3"):
        checked_codes(np.array([[0, 1], [0, 9]]), [4, 4])
