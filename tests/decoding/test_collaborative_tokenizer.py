"""Scores to shares of tokens: as a brute-force loop, sums of one on every prefix, twins, gaps, far-off scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.item_ranges import ItemRanges
from agentrec.decoding.index.sequences import SequenceTrie
from agentrec.decoding.shares.collaborative_tokenizer import CollaborativeTokenizer

EOS = 9
TITLES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=10)


def brute_force(
    sequences: list[list[int]], scores: np.ndarray, prefix: tuple[int, ...], beta: float
) -> dict[int, float]:
    """The equation, item by item, in double precision."""
    begins = [item for item, row in enumerate(sequences) if tuple(row[: len(prefix)]) == prefix]
    top = max(scores[item] for item in begins) / beta
    masses: dict[int, float] = {}
    for item in begins:
        token = sequences[item][len(prefix)]
        mass = 1.0 if np.isneginf(top) else float(np.exp(np.float64(scores[item]) / beta - top))
        masses[token] = masses.get(token, 0.0) + mass
    return {token: mass / sum(masses.values()) for token, mass in masses.items()}


@settings(max_examples=80, deadline=None)
@given(TITLES, st.data(), st.sampled_from([0.3, 1.0, 4.0]), st.sampled_from([1.0, 30.0, 400.0]))
def test_shares_equal_a_loop_over_items(titles: list[list[int]], data: st.DataObject, beta: float, size: float) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    scores = (rng.normal(size=(2, len(titles))) * size).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    sequences = [[*title, EOS] for title in titles]
    tokenizer = CollaborativeTokenizer(ItemRanges.of_trie(SequenceTrie.build(titles, EOS)), beta)
    items = rng.integers(0, len(titles), 4)
    path = tokenizer.ranges.path(items)
    rows = np.repeat(rng.integers(0, 2, 4), path.widths)
    shares = tokenizer.shares(scores, rows, path.values)
    place = entry = 0
    for item in items:
        for length in range(len(sequences[item])):
            wanted = brute_force(sequences, scores[rows[place]], tuple(sequences[item][:length]), beta)
            found = shares[entry : entry + len(wanted)]
            assert found.sum() == pytest.approx(1, abs=1e-5)
            assert np.allclose(found, [wanted[token] for token in sorted(wanted)], atol=2e-5)
            place, entry = place + 1, entry + len(wanted)
    assert (place, entry) == (len(rows), len(shares))


def test_every_valid_prefix_of_a_catalogue_sums_to_one() -> None:
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 8, (300, 3)), axis=0)
    index = StaticIndex.build(codes, (8, 8, 8))
    ranges = ItemRanges.of_index(index, [np.arange(8) + 8 * level for level in range(3)])
    nodes = np.flatnonzero(np.diff(ranges.first))  # all but the leaves
    scores = (rng.normal(size=(1, len(codes))) * 50).astype(np.float32)
    shares = CollaborativeTokenizer(ranges).shares(scores, np.zeros(len(nodes), np.int64), nodes)
    sums = np.add.reduceat(shares, np.concatenate([[0], np.cumsum(np.diff(ranges.first)[nodes])[:-1]]))
    assert np.allclose(sums, 1, atol=1e-5)
    assert (shares >= 0).all()


def test_a_prefix_far_below_the_best_item_is_as_exact_as_any() -> None:
    """Under one row-wide maximum the second branch would be 0 / 0."""
    tokenizer = CollaborativeTokenizer(ItemRanges.of_trie(SequenceTrie.build([[1], [2, 3], [2, 4]], EOS)))
    scores = np.array([1000.0, 0.0, np.log(3)], np.float32)
    assert tokenizer.next_tokens(scores, [2])[1].tolist() == pytest.approx([0.25, 0.75])
    assert tokenizer.next_tokens(scores, [])[1].tolist() == [1.0, 0.0]


def test_twins_add_up_and_a_title_within_a_title_ends_by_a_token() -> None:
    tokenizer = CollaborativeTokenizer(ItemRanges.of_trie(SequenceTrie.build([[5, 6], [5], [5, 6]], EOS)))
    tokens, shares = tokenizer.next_tokens(np.log(np.array([1, 2, 5], np.float32)), [5])
    assert tokens.tolist() == [6, EOS]
    assert shares.tolist() == pytest.approx([6 / 8, 2 / 8])


def test_beta_sharpens() -> None:
    ranges = ItemRanges.of_trie(SequenceTrie.build([[1], [2]], EOS))
    scores = np.array([0.0, 1.0], np.float32)
    shares = [CollaborativeTokenizer(ranges, beta).next_tokens(scores, [])[1][1] for beta in (10.0, 1.0, 0.1)]
    assert shares == sorted(shares)
    assert shares[1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_mistakes_are_named() -> None:
    ranges = ItemRanges.of_trie(SequenceTrie.build([[1], [2]], EOS))
    root = np.zeros(1, np.int64)
    with pytest.raises(ConfigError, match="beta is 0"):
        CollaborativeTokenizer(ranges, 0)
    with pytest.raises(DataError, match="scorer of the same catalogue"):
        CollaborativeTokenizer(ranges).shares(np.zeros((1, 3), np.float32), root, root)
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="row 0 has a score"):
            CollaborativeTokenizer(ranges).shares(np.array([[0, bad]], np.float32), root, root)
