"""Saved scores: what is kept comes back, the rest keeps its mass, and what that costs stays within the stated bound."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import Histories
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.item_ranges import ItemRanges
from agentrec.decoding.shares.collaborative_tokenizer import CollaborativeTokenizer
from agentrec.training.saved_scores import SavedScores, spread, top_scores


def saved(scores: np.ndarray, m: int, beta: float = 1.0) -> SavedScores:
    users = np.arange(len(scores))
    return SavedScores(users, users + 1, *top_scores(scores, m, beta), scores.shape[1], "split-1", beta)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_file_gives_back_what_was_kept(tmp_path: Path, suffix: str) -> None:
    scores = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    written = saved(scores, 3, beta=0.5)
    written.save(tmp_path / f"scores.{suffix}")
    read = SavedScores.read(tmp_path / f"scores.{suffix}")
    for name in ("users", "lengths", "items", "scores", "rest", "num_items", "split", "beta"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
    histories = Histories(np.array([2, 0]), np.array([0, 3, 4]), np.zeros(4, np.int64))  # user 2 with 3 items, 0 with 1
    found = read.score(histories)
    for row, user in enumerate((2, 0)):
        kept = written.items[user]
        assert np.array_equal(found[row, kept], scores[user, kept])
        others = np.setdiff1d(np.arange(9), kept)
        assert len(np.unique(found[row, others])) == 1
        mass = np.exp(scores[user] / 0.5).sum()
        assert np.exp(found[row] / 0.5).sum() == pytest.approx(mass, rel=1e-5)


def test_everything_kept_changes_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    scores[0, 3] = -np.inf
    items, kept, rest = top_scores(scores, 9)
    assert np.isneginf(rest).all()
    assert np.array_equal(spread(items, kept, rest, 9), scores)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([0.5, 3.0]), st.sampled_from([0.5, 2.0]))
def test_truncated_shares_are_off_by_no_more_than_the_bound(seed: int, m: int, size: float, beta: float) -> None:
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, 4, (40, 3)), axis=0)
    count = len(codes)
    scores = (rng.normal(size=(1, count)) * size).astype(np.float32)
    ranges = ItemRanges.of_index(StaticIndex.build(codes, (4, 4, 4)), [np.arange(4) + 4 * level for level in range(3)])
    tokenizer = CollaborativeTokenizer(ranges, beta)
    items, kept, rest = top_scores(scores, m, beta)
    cut = spread(items, kept, rest, count, beta)
    nodes = np.flatnonzero(np.diff(ranges.first))
    exact, found = (tokenizer.shares(row, np.zeros(len(nodes), np.int64), nodes) for row in (scores, cut))
    owners = np.repeat(np.arange(len(nodes)), np.diff(ranges.first)[nodes])
    distance = np.bincount(owners, np.abs(exact - found).astype(np.float64)) / 2
    weights = np.exp(scores[0].astype(np.float64) / beta)
    inside = np.isin(np.arange(count), items[0])
    for place, node in enumerate(nodes):
        behind = ranges.order[ranges.begins[node] : ranges.ends[node]]
        others = behind[~inside[behind]]
        mass = weights[behind[inside[behind]]].sum()
        bound = min(weights[~inside].sum(), len(others) * weights[items[0]].min())
        assert distance[place] <= bound / (mass + bound) + 1e-5
        if not len(others):
            assert distance[place] < 1e-5
    share = weights[~inside].sum() / weights.sum()
    assert distance[0] <= share + 1e-5  # the root


def test_mistakes_are_named(tmp_path: Path) -> None:
    scores = saved(np.zeros((2, 5), np.float32), 2)
    stranger = Histories(np.array([7]), np.array([0, 1]), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="no row for user 7 with 1 items"):
        scores.score(stranger)
    with pytest.raises(ArtefactError, match="does not exist"):
        SavedScores.read(tmp_path / "none.npz")
    np.savez(tmp_path / "half.npz", users=np.arange(2))
    with pytest.raises(ArtefactError, match="no file of saved scores"):
        SavedScores.read(tmp_path / "half.npz")
    (tmp_path / "text.parquet").write_text("nothing")
    with pytest.raises(ArtefactError, match="no file of saved scores"):
        SavedScores.read(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="name item 4 and have 3 items"):
        SavedScores(scores.users, scores.lengths, np.full((2, 1), 4), np.zeros((2, 1), np.float32), scores.rest, 3, "s")
