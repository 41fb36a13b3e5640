"""The conformance suite of quantisers: inherit it, say how yours is made, and pytest checks the contract.

Example::

    class TestRQKMeans(QuantizerTests):
        def make(self):
            return RQKMeans(Config(num_levels=3, codebook_size=8))

Every call of `make` must return an equal, unfitted quantiser. A level may end up with fewer codes than asked for; it
may say so by a DataWarning.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agentrec.core.artefact import ARRAYS
from agentrec.core.errors import ArtefactError, DataError, DataWarning
from agentrec.core.protocols import Quantiser
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray


def clustered_vectors(size: int = 240, dimension: int = 12, clusters: int = 10, seed: int = 0) -> FloatArray:
    """Vectors of length 1 around a few centres: (size, dimension) float32."""
    rng = generator(seed, "clustered vectors")
    centres = rng.normal(size=(clusters, dimension))
    table = centres[rng.integers(clusters, size=size)] + 0.3 * rng.normal(size=(size, dimension))
    unit: FloatArray = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
    return unit


class QuantizerTests:
    """What every quantiser must pass; override `make`.

    Attributes:
        coarse_to_fine: a code vector of later levels refines that of earlier ones, so that `decode` of the first
            levels alone is a coarser vector.
    """

    coarse_to_fine: ClassVar[bool] = True

    def make(self) -> Any:
        """Make an unfitted quantiser."""
        raise NotImplementedError(f"{type(self).__name__} must override make()")

    def fit(self, vectors: Any) -> Any:
        """A fitted quantiser; that levels came out smaller is no failure."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return self.make().fit(vectors)

    @pytest.fixture(scope="class")
    @classmethod
    def vectors(cls) -> FloatArray:
        """(240, 12) float32."""
        return clustered_vectors()

    @pytest.fixture(scope="class")
    @classmethod
    def quantiser(cls, vectors: FloatArray) -> Any:
        """Fitted once per class."""
        return cls().fit(vectors)

    def test_it_is_a_quantiser(self, quantiser: Any) -> None:
        """It has codebooks, encode and decode."""
        assert isinstance(quantiser, Quantiser)

    def test_shapes_types_and_ranges(self, quantiser: Any, vectors: FloatArray) -> None:
        """Codes are (N, L) int64 within their level, vectors (N, D) float32."""
        books, codes = quantiser.codebooks, quantiser.encode(vectors)
        assert codes.shape == (len(vectors), len(books))
        assert codes.dtype == np.int64
        assert (codes >= 0).all()
        assert (codes < [len(book) for book in books]).all()
        assert all(book.ndim == 2 and book.dtype == np.float32 and np.isfinite(book).all() for book in books)
        rebuilt = quantiser.decode(codes)
        assert rebuilt.shape == vectors.shape
        assert rebuilt.dtype == np.float32

    def test_it_explains_the_vectors(self, quantiser: Any, vectors: FloatArray) -> None:
        """Decoding loses less than replacing every vector by the mean."""
        error = ((vectors - quantiser.decode(quantiser.encode(vectors))) ** 2).sum()
        assert error < ((vectors - vectors.mean(axis=0)) ** 2).sum()

    def test_more_levels_are_not_worse(self, quantiser: Any, vectors: FloatArray) -> None:
        """On the vectors of fit, each level lowers the squared error or leaves it."""
        if not self.coarse_to_fine:
            pytest.skip("its levels do not refine one another")
        codes = quantiser.encode(vectors)
        errors = [
            float(((vectors - quantiser.decode(codes[:, :level])) ** 2).sum()) for level in range(1, codes.shape[1] + 1)
        ]
        assert all(later <= earlier + 1e-4 for earlier, later in pairwise(errors)), errors

    def test_fitting_again_gives_the_same(self, quantiser: Any, vectors: FloatArray) -> None:
        """A seed decides everything, and fitting leaves the vectors and numpy's generator alone."""
        before, state = vectors.copy(), str(np.random.get_state())  # noqa: NPY002
        again = self.fit(vectors)
        assert np.array_equal(again.encode(vectors), quantiser.encode(vectors))
        for first, second in zip(quantiser.codebooks, again.codebooks, strict=True):
            assert np.array_equal(first, second)
        assert np.array_equal(vectors, before)
        assert str(np.random.get_state()) == state  # noqa: NPY002

    def test_batches_do_not_matter(self, quantiser: Any, vectors: FloatArray) -> None:
        """A vector gets the same codes alone and among others."""
        whole = quantiser.encode(vectors)
        alone = np.concatenate([quantiser.encode(vectors[row : row + 1]) for row in range(40)])
        assert np.array_equal(alone, whole[:40])

    def test_twins_share_their_codes(self, vectors: FloatArray) -> None:
        """Equal vectors get equal codes, also where most vectors are equal."""
        table = np.concatenate([vectors[:5], np.repeat(vectors[:1], 60, axis=0)])
        codes = self.fit(table).encode(table)
        assert (codes[5:] == codes[0]).all()

    def test_a_single_item(self, vectors: FloatArray) -> None:
        """One vector is enough."""
        codes = self.fit(vectors[:1]).encode(vectors[:1])
        assert len(codes) == 1
        assert (codes >= 0).all()

    def test_fewer_vectors_than_codes(self, vectors: FloatArray) -> None:
        """Codebooks have no more codes than there are vectors, and nothing is lost."""
        quantiser = self.fit(vectors[:3])
        codes = quantiser.encode(vectors[:3])
        assert (codes < [len(book) for book in quantiser.codebooks]).all()
        assert np.isfinite(quantiser.decode(codes)).all()

    def test_fewer_distinct_vectors_than_codes(self, vectors: FloatArray) -> None:
        """It goes on with smaller levels and says so, and keeps the distinct vectors apart."""
        table = np.repeat(vectors[:3], 20, axis=0)
        with pytest.warns(DataWarning, match="too few or too alike for level sizes"):
            quantiser = self.make().fit(table)
        assert len(np.unique(quantiser.encode(table), axis=0)) == 3
        assert len(quantiser.codebooks[0]) <= 3

    def test_constant_columns(self, vectors: FloatArray) -> None:
        """A column that is the same everywhere disturbs nothing, nor do vectors that are all the same."""
        table = vectors.copy()
        table[:, 2], table[:, 5] = 0, 7
        quantiser = self.fit(table)
        rebuilt = quantiser.decode(quantiser.encode(table))
        assert ((table - rebuilt) ** 2).sum() < ((table - table.mean(axis=0)) ** 2).sum()
        same = np.full((20, 6), 0.25, np.float32)
        quantiser = self.fit(same)
        assert len(np.unique(quantiser.encode(same), axis=0)) == 1
        assert np.abs(quantiser.decode(quantiser.encode(same)) - same).max() < 0.1

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
    def test_values_that_are_no_use_are_refused(self, quantiser: Any, vectors: FloatArray, value: float) -> None:
        """Neither fit nor encode accepts what is not finite, or is not in float32; both name the row."""
        broken = vectors.astype(np.float64)
        broken[7, 3] = value
        for use in (self.fit, quantiser.encode):
            with pytest.raises(DataError, match=r"\b7\b"):
                use(broken)

    def test_wrong_shapes_are_refused(self, quantiser: Any, vectors: FloatArray) -> None:
        """No rows, one dimension only, no numbers, rows of different lengths."""
        for wrong in (vectors[:0], vectors[0], vectors.astype(str), vectors * 1j, [[0.0] * 12, [0.0]]):
            for use in (self.fit, quantiser.encode):
                with pytest.raises(DataError):
                    use(wrong)

    def test_another_dimension_is_refused(self, quantiser: Any, vectors: FloatArray) -> None:
        """Encoding names the dimension it got and the one of fit."""
        for wrong, found in ((vectors[:, :-1], 11), (np.tile(vectors, 2), 24)):
            with pytest.raises(DataError, match=rf"\b{found}\b.*\b12\b"):
                quantiser.encode(wrong)

    def test_unknown_codes_are_refused(self, quantiser: Any, vectors: FloatArray) -> None:
        """Decoding names the first row whose code its level does not have, and takes nothing but (N, L) integers."""
        codes = quantiser.encode(vectors[:4])
        for code in (-1, len(quantiser.codebooks[1])):
            wrong = codes.copy()
            wrong[2, 1] = code
            with pytest.raises(DataError, match=rf"row 2 has code {code} on level 2"):
                quantiser.decode(wrong)
        for wrong in (codes[0], codes + 0.5, np.tile(codes, 2)):
            with pytest.raises(DataError):
                quantiser.decode(wrong)

    def test_unfitted_use_is_refused(self, vectors: FloatArray) -> None:
        """Encoding and decoding need fit."""
        with pytest.raises(DataError):
            self.make().encode(vectors)
        with pytest.raises(DataError):
            self.make().decode(np.zeros((1, 2), np.int64))

    def test_saved_and_loaded_it_is_the_same(self, quantiser: Any, vectors: FloatArray, tmp_path: Path) -> None:
        """Codes, codebooks and provenance come back exactly."""
        quantiser.save_pretrained(tmp_path / "saved")
        loaded = type(quantiser).from_pretrained(tmp_path / "saved")
        codes = quantiser.encode(vectors)
        assert np.array_equal(loaded.encode(vectors), codes)
        assert np.array_equal(loaded.decode(codes), quantiser.decode(codes))
        assert loaded.provenance == quantiser.provenance

    def test_a_truncated_file_is_refused(self, quantiser: Any, tmp_path: Path) -> None:
        """Half a file is no quantiser."""
        quantiser.save_pretrained(tmp_path / "saved")
        file = tmp_path / "saved" / ARRAYS
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ArtefactError):
            type(quantiser).from_pretrained(tmp_path / "saved")
