"""What is looked at in blocks is what looking at everything finds, wherever the codes lie and whatever is allowed."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.decoding.children import kernels as search_kernels
from agentrec.decoding.children.candidates import Candidates, Frontier
from agentrec.decoding.index.csr import StaticIndex

CODES = 300


def two_levels(density: float, seed: int, nodes: int = 30) -> StaticIndex:
    """A root with all of its nodes, each with a share of the codes."""
    rng = np.random.default_rng(seed)
    taken = rng.random((nodes, CODES)) < density
    taken[:, 0] = True
    return StaticIndex.build(np.argwhere(taken), (nodes, CODES))


def sorted_by_hand(
    index: StaticIndex, beams: Frontier, logprobs: torch.Tensor, k: int, allowed: Any = None
) -> list[list[tuple[float, int, int, int]]]:
    """Score, beam, code and item of the k best children: all of them listed and sorted."""
    children = index.children(beams.level, beams.states)
    if allowed is not None:
        children = torch.where((children >= 0) & allowed[children.clamp_min(0)], children, -1)
    values = beams.scores[..., None] + logprobs
    found = []
    for row in range(len(values)):
        rows = [
            (float(values[row, beam, code]), beam, code, int(children[row, beam, code]))
            for beam, code in torch.nonzero(children[row] >= 0).tolist()
            if values[row, beam, code] > -np.inf
        ]
        found.append(sorted(rows, key=lambda one: (-one[0], one[1], one[2]))[:k])
    return found


def listed(found: Candidates) -> list[list[tuple[float, int, int, int]]]:
    rows = zip(found.scores.tolist(), found.parents.tolist(), found.codes.tolist(), found.states.tolist(), strict=True)
    return [[one for one in zip(*row, strict=True) if one[3] >= 0] for row in rows]


@settings(max_examples=60, deadline=None)
@given(
    density=st.sampled_from([0.02, 0.2, 0.4, 0.7, 1.0]),
    kept=st.sampled_from([0.01, 0.3, 1.0]),
    distinct=st.sampled_from([3, 50, 10**6]),
    dead=st.sampled_from([0.0, 0.3, 0.98]),
    k=st.integers(1, 20),
    seed=st.integers(0, 2**16),
)
def test_the_best_children_are_those_of_a_sorted_list(
    *, density: float, kept: float, distinct: int, dead: float, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    index = two_levels(density, seed)
    numbers = rng.integers(0, distinct, (2, 30, CODES)).astype(np.float32) / 64
    numbers[rng.random(numbers.shape) < dead] = -np.inf
    logprobs = torch.from_numpy(numbers)
    states = torch.from_numpy(rng.integers(-1, 30, (2, 30)))
    beams = Frontier(1, states, torch.from_numpy(rng.integers(-4, 5, (2, 30)).astype(np.float32)))
    edges = rng.random(index.num_items) < kept
    bits = torch.from_numpy(np.packbits(edges, bitorder="little"))
    allowed = torch.zeros(index.num_items, dtype=torch.bool)
    allowed[index.items.long()] = torch.from_numpy(edges)
    found = index.top_candidates(beams, logprobs, k, bits=None if kept == 1 else bits)
    assert listed(found) == sorted_by_hand(index, beams, logprobs, k, None if kept == 1 else allowed)
    assert (found.scores.isneginf() == (found.states < 0)).all()


@pytest.mark.parametrize("order", ["straight", "shuffled"])
def test_codes_may_lie_anywhere_in_the_logits(order: str) -> None:
    index, rng = two_levels(0.6, 0), np.random.default_rng(0)
    where = np.arange(CODES) + 17 if order == "straight" else rng.permutation(500)[:CODES]
    columns, logits = torch.from_numpy(where), torch.from_numpy(rng.normal(size=(2, 30, 500)).astype(np.float32))
    beams = Frontier(1, torch.arange(30).expand(2, 30), torch.zeros(2, 30))
    found = index.top_candidates(beams, logits, 20, columns=columns)
    assert listed(found) == sorted_by_hand(index, beams, logits[..., columns], 20)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_what_an_allowed_child_has_must_be_a_number(sign: float) -> None:
    index = two_levels(0.6, 1)
    beams = Frontier(1, torch.arange(30)[None], torch.zeros(1, 30))
    logprobs = torch.randn(1, 30, CODES, generator=torch.Generator().manual_seed(0))
    gap = int((~index.allowed(1, torch.tensor(5))).nonzero()[3])
    assert index.branches[1] * 30 > search_kernels.FEW * 3
    expected = listed(index.top_candidates(beams, logprobs, 3))
    logprobs[0, 5, gap] = torch.tensor(np.copysign(np.float32(np.nan), sign))
    assert listed(index.top_candidates(beams, logprobs, 3)) == expected
    logprobs[0, 5, 0] = torch.tensor(np.copysign(np.float32(np.nan), sign))
    with pytest.raises(DataError, match="not a number"):
        index.top_candidates(beams, logprobs, 3)


def test_barred_items_leave_their_places_to_others() -> None:
    index = two_levels(1.0, 2)
    beams = Frontier(1, torch.arange(30)[None], torch.zeros(1, 30))
    logprobs = torch.randn(1, 30, CODES, generator=torch.Generator().manual_seed(0))
    best = index.top_candidates(beams, logprobs, 60).states
    assert torch.equal(index.top_candidates(beams, logprobs, 5, barred=best[:, :55]).states, best[:, 55:])


def test_zero_has_one_sign() -> None:
    index = two_levels(1.0, 3)
    beams = Frontier(1, torch.arange(2)[None], torch.tensor([[-0.0, 0.0]]))
    found = index.top_candidates(beams, torch.full((1, 2, CODES), -0.0), 5)
    assert found.parents.tolist() == [[0] * 5]
    assert found.codes.tolist() == [[0, 1, 2, 3, 4]]


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40),
    data=st.data(),
)
def test_bisection_finds_a_bound_that_enough_reach(numbers: list[float], data: Any) -> None:
    k = data.draw(st.integers(1, len(numbers)))
    slack = data.draw(st.integers(0, 3))
    bits = np.array(numbers, np.float32).view(np.int32)
    keys = np.array([search_kernels.ordered(number) for number in bits], np.int32)
    bound = search_kernels._kth(keys, k, slack)
    assert (keys >= bound).sum() >= k
    assert (keys >= bound).sum() <= k + slack or bound == np.sort(keys)[-k]
