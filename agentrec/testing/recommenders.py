"""The conformance suite of recommenders: inherit it, say how yours is made, and pytest checks the contract.

Example::

    class TestPopularity(RecommenderTests):
        def make(self, train, num_items):
            return Popularity.fit(train, num_items)

The world is `agentrec.testing.worlds.tiny_world`, whose next item is known; set ``min_recall_at_1`` for a recommender
that should find it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError
from agentrec.core.protocols import Recommender
from agentrec.core.types import Histories, Recommendations
from agentrec.evaluation.contract import checked_recommend
from agentrec.metrics.ranking import recall, target_ranks
from agentrec.testing.worlds import TinyWorld, tiny_world


class RecommenderTests:
    """What every recommender must pass; override `make`.

    Attributes:
        min_recall_at_1: share of test users of the tiny world whose next item must come first.
        needs_users: the recommender serves the world's users only (ready-made lists), so nobody unknown is tried.
        exact: it ranks by the scores of all items; beam search does not, and its lists may depend on their length.
        score_tolerance: how far scores may differ between one batch and many (items may not differ).
    """

    min_recall_at_1: ClassVar[float] = 0.0
    needs_users: ClassVar[bool] = False
    exact: ClassVar[bool] = True
    score_tolerance: ClassVar[float] = 1e-4

    def make(self, train: Histories, num_items: int) -> Recommender:
        """Make the recommender from training histories (U users) over N items."""
        raise NotImplementedError(f"{type(self).__name__} must override make(train, num_items)")

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> TinyWorld:
        """The tiny world."""
        return tiny_world()

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls, world: TinyWorld) -> Recommender:
        """What `make` returns, made once per class."""
        return cls().make(world.train, world.num_items)

    @pytest.fixture(scope="class")
    @classmethod
    def histories(cls, world: TinyWorld) -> Histories:
        """Histories of the test users."""
        return world.reveal("test").histories

    def test_it_is_a_recommender(self, recommender: Recommender, world: TinyWorld) -> None:
        """It has what the protocol names, and ranks the catalogue."""
        assert isinstance(recommender, Recommender)
        assert recommender.num_items == world.num_items

    @pytest.mark.parametrize("n", [1, 5, 20])
    def test_lists_keep_the_contract(self, recommender: Recommender, histories: Histories, n: int) -> None:
        """Shape, range, distinct items, padding, and scores that do not increase."""
        answer = checked_recommend(recommender, histories, n)
        assert (answer.items != -1).any()

    def test_arrays_have_the_promised_types(self, recommender: Recommender, histories: Histories) -> None:
        """Items are int64, scores float32."""
        answer = recommender.recommend(histories, 3)
        assert [array.dtype.name for array in answer] == ["int64", "float32"]

    def test_more_than_the_catalogue_is_padded(self, recommender: Recommender, histories: Histories) -> None:
        """A list longer than N ends in -1."""
        num_items = recommender.num_items
        answer = checked_recommend(recommender, histories.take(slice(0, 4)), num_items + 3)
        assert (answer.items[:, num_items:] == -1).all()

    def test_shorter_lists_are_beginnings_of_longer_ones(self, recommender: Recommender, histories: Histories) -> None:
        """Asking for fewer items changes nothing about the first ones."""
        if not self.exact:
            pytest.skip("lists of beam search may depend on their length")
        long, short = recommender.recommend(histories, 10), recommender.recommend(histories, 3)
        np.testing.assert_array_equal(long.items[:, :3], short.items)

    def test_the_same_question_gets_the_same_answer(self, recommender: Recommender, histories: Histories) -> None:
        """No hidden randomness or state."""
        self._assert_same(recommender.recommend(histories, 10), recommender.recommend(histories, 10), tolerance=0.0)

    def test_batches_do_not_matter(self, recommender: Recommender, histories: Histories) -> None:
        """One batch gives what many give."""
        parts = [recommender.recommend(batch, 10) for batch in histories.batches(7)]
        joined = Recommendations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        self._assert_same(recommender.recommend(histories, 10), joined, tolerance=self.score_tolerance)

    def test_seen_items_are_left_out(self, recommender: Recommender, histories: Histories) -> None:
        """Under exclude_seen no item of the history comes back, and (if exact) all others keep their order."""
        n = recommender.num_items
        hidden = checked_recommend(recommender, histories, n, exclude_seen=True).items
        shown = checked_recommend(recommender, histories, n).items
        for row, history in enumerate(histories):
            expected = [item for item in shown[row].tolist() if item not in {-1, *history.tolist()}]
            assert not self.exact or hidden[row, : len(expected)].tolist() == expected
            assert hidden[row, 0] != -1 or not expected

    def test_no_users_get_no_lists(self, recommender: Recommender, histories: Histories) -> None:
        """An empty batch is answered by empty arrays."""
        checked_recommend(recommender, histories.take(slice(0, 0)), 5)

    def test_an_empty_history_gets_a_list(self, recommender: Recommender) -> None:
        """Somebody of whom nothing is known, alone and beside others."""
        if self.needs_users:
            pytest.skip("serves known users only")
        alone = checked_recommend(recommender, Histories.from_lists([[]]), 5)
        beside = checked_recommend(recommender, Histories.from_lists([[0, 1, 2], []]), 5)
        np.testing.assert_array_equal(alone.items[0], beside.items[1])

    def test_the_planted_answer_is_found(self, recommender: Recommender, world: TinyWorld) -> None:
        """The next item comes first for at least ``min_recall_at_1`` of the users."""
        held = world.reveal("test")
        ranks = target_ranks(recommender.recommend(held.histories, 1).items, held.targets)
        assert float(recall(ranks, 1).mean()) >= self.min_recall_at_1

    def test_saving_and_loading_changes_nothing(
        self, recommender: Recommender, histories: Histories, tmp_path: Path
    ) -> None:
        """A recommender that can be saved recommends the same when it is loaded."""
        saved: Any = self._saved(recommender, tmp_path / "saved")
        loaded = type(saved).from_pretrained(tmp_path / "saved")
        self._assert_same(recommender.recommend(histories, 10), loaded.recommend(histories, 10), tolerance=0.0)

    def test_a_truncated_file_is_refused(self, recommender: Recommender, tmp_path: Path) -> None:
        """Half a safetensors file is an ArtefactError."""
        saved: Any = self._saved(recommender, tmp_path / "saved")
        for file in (tmp_path / "saved").rglob("*.safetensors"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ArtefactError):
            type(saved).from_pretrained(tmp_path / "saved")

    def _saved(self, recommender: Recommender, folder: Path) -> Recommender:
        if not (hasattr(recommender, "save_pretrained") and hasattr(recommender, "from_pretrained")):
            pytest.skip(f"{type(recommender).__name__} is not saved")
        recommender.save_pretrained(folder)
        return recommender

    def _assert_same(self, first: Recommendations, second: Recommendations, *, tolerance: float) -> None:
        np.testing.assert_array_equal(first.items, second.items)
        np.testing.assert_allclose(first.scores, second.scores, rtol=tolerance, atol=tolerance)
