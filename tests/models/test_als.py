"""ALS through `implicit`: contract, folding in as the library does it, and a saved model that needs no library."""

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, MissingExtraError
from agentrec.core.types import Histories
from agentrec.models.als import ALS, Config, taken
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import tiny_world


class TestALS(RecommenderTests):
    def make(self, train: Histories, num_items: int) -> ALS:
        pytest.importorskip("implicit", reason="implicit is not installed (extra cf)")
        return ALS.fit(train, num_items, Config(embedding_dim=8, iterations=5))


def loop(factors: np.ndarray, history: list[int], config: Config) -> np.ndarray:
    """The normal equations of one history, item by item."""
    left = factors.T @ factors + config.regularisation * np.eye(factors.shape[1])
    right = np.zeros(factors.shape[1])
    for item in set(history):
        weight = config.confidence * history.count(item)
        left += (weight - 1) * np.outer(factors[item], factors[item])
        right += weight * factors[item]
    return np.linalg.solve(left, right)


def test_a_history_is_folded_in_by_its_normal_equations() -> None:
    factors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    config = Config(embedding_dim=3, confidence=4.0)
    histories = [[1, 2, 2], [], [5]]
    found = ALS(factors, config).users(Histories.from_lists(histories))
    for row, history in enumerate(histories):
        assert np.allclose(found[row], loop(factors.astype(np.float64), history, config), atol=1e-4)
    assert not found[1].any()


def test_known_users_score_as_in_the_library() -> None:
    als = pytest.importorskip("implicit.cpu.als", reason="implicit is not installed (extra cf)")
    world, config = tiny_world(), Config(embedding_dim=6, iterations=3)
    model = ALS.fit(world.train, world.num_items, config)
    theirs = als.AlternatingLeastSquares(
        factors=6, regularization=config.regularisation, alpha=config.confidence, use_cg=False, num_threads=1
    )
    theirs.item_factors = model.item_factors
    theirs.user_factors = np.zeros((len(world.train), 6), np.float32)
    wanted = theirs.recalculate_user(np.arange(len(world.train)), taken(world.train, world.num_items))
    assert np.allclose(model.users(world.train), wanted, atol=1e-3)
    # Items of the same cycle are bought together: they score above others.
    scores = model.score(world.train)
    cycle = np.array([int(title.split()[1]) for title in world.catalogue.titles])
    mine = cycle[[row[0] for row in world.train]][:, None] == cycle[None, :]
    assert scores[mine].mean() > scores[~mine].mean() + 0.3


def test_a_saved_model_needs_no_library(tmp_path: Path) -> None:
    model = ALS(np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32), Config(embedding_dim=3))
    model.save_pretrained(tmp_path / "als")
    histories = Histories.from_lists([[0, 4]])
    assert np.array_equal(ALS.from_pretrained(tmp_path / "als").score(histories), model.score(histories))


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="iterations is 0"):
        Config(iterations=0)
    with pytest.raises(ConfigError, match="confidence 0"):
        Config(confidence=0.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"agentrec\[cf\]"):
        ALS.fit(tiny_world().train, 24)
