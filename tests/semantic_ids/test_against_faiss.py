"""Residual k-means against faiss: its residual quantiser, and rotated product quantisation of the same size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.health import relative_error
from agentrec.semantic_ids.rq_kmeans import Config, RQKMeans

LEVELS, BITS = 4, 5
faiss: Any = pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def tables() -> tuple[FloatArray, FloatArray]:
    """Vectors to learn from and new ones of the same kind: (3000, 24) and (1000, 24) float32, in 300 groups."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, 24)) @ rng.normal(size=(24, 24)) / np.sqrt(24)
    table = centres[rng.integers(300, size=4000)] + 0.3 * rng.normal(size=(4000, 24))
    return table[:3000].astype(np.float32), table[3000:].astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    faiss.omp_set_num_threads(1)


@pytest.fixture(scope="module")
def ours(tables: tuple[FloatArray, FloatArray]) -> RQKMeans:
    return RQKMeans(Config(num_levels=LEVELS, codebook_size=2**BITS)).fit(tables[0])


@pytest.fixture(scope="module")
def residual(tables: tuple[FloatArray, FloatArray]) -> Any:
    """`faiss.ResidualQuantizer`, assigning level by level as ours does."""
    made = faiss.ResidualQuantizer(tables[0].shape[1], LEVELS, BITS)
    made.max_beam_size = 1
    made.train(tables[0])
    return made


def unpacked(packed: IntArray) -> IntArray:
    """Codes that faiss packs into bytes, BITS each: (N, bytes) uint8 -> (N, LEVELS) int64."""
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, : LEVELS * BITS].reshape(len(packed), LEVELS, BITS)
    found: IntArray = (bits.astype(np.int64) << np.arange(BITS)).sum(axis=2)
    return found


def test_it_loses_no_more_than_the_residual_quantiser_of_faiss(
    tables: tuple[FloatArray, FloatArray], ours: RQKMeans, residual: Any
) -> None:
    for table in tables:
        theirs = residual.decode(residual.compute_codes(table))
        error = relative_error(table, ours.decode(ours.encode(table)))
        assert error < 1.02 * relative_error(table, theirs)
        assert error > 0.5 * relative_error(table, theirs)  # far less would be a mistake of one of them


def test_with_the_codebooks_of_faiss_both_assign_and_decode_alike(
    tables: tuple[FloatArray, FloatArray], residual: Any
) -> None:
    books = faiss.vector_to_array(residual.codebooks).reshape(LEVELS, 2**BITS, -1)
    config = Config(num_levels=LEVELS, codebook_size=2**BITS, normalise_residuals=False, joint=False)
    arrays = {f"{part}.{level}": books[level] for level in range(LEVELS) for part in ("centres", "codebook")}
    same = RQKMeans.from_state(config.__dict__, {"shortest": np.zeros(1), **arrays})
    packed = residual.compute_codes(tables[1])
    codes = same.encode(tables[1])
    assert (codes == unpacked(packed)).all(axis=1).mean() > 0.999  # near ties may fall either way
    np.testing.assert_allclose(same.decode(unpacked(packed)), residual.decode(packed), atol=1e-5)


def test_rotated_product_quantisation_is_near_and_does_not_nest(
    tables: tuple[FloatArray, FloatArray], ours: RQKMeans
) -> None:
    known, new = tables
    rotation = faiss.OPQMatrix(known.shape[1], LEVELS)
    rotation.train(known)
    product = faiss.ProductQuantizer(known.shape[1], LEVELS, BITS)
    turned = rotation.apply(known)
    product.train(turned)
    rebuilt = rotation.reverse_transform(product.decode(product.compute_codes(rotation.apply(new))))
    theirs, error = relative_error(new, rebuilt), relative_error(new, ours.decode(ours.encode(new)))
    assert error < theirs < 2 * error  # codes of parts cannot beat codes of residuals on groups, nor be far off
    first = ours.decode(ours.encode(new)[:, :1])
    part = np.zeros_like(turned[: len(new)])
    width = known.shape[1] // LEVELS
    part[:, :width] = product.decode(product.compute_codes(rotation.apply(new)))[:, :width]
    assert relative_error(new, first) < relative_error(new, rotation.reverse_transform(part))
