"""Vector quantisation layers against slow references: gradients, running means, balance, transport, restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from agentrec.semantic_ids.vq_layers import (  # noqa: E402 - torch may be absent
    Codebook,
    Rules,
    balance_factors,
    sinkhorn_codes,
    squared_distances,
    straight_through,
    uniformity_loss,
)

seeds = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_straight_through_passes_the_gradient_at_the_code_vector(seed):
    exact = normal(5, 3, seed=seed).requires_grad_()
    quantised, matrix = normal(5, 3, seed=seed + 1), normal(3, 4, seed=seed + 2)

    def loss(latents):
        return torch.tanh(latents @ matrix).pow(2).sum()

    value = loss(straight_through(exact, quantised))
    value.backward()
    assert torch.isclose(value, loss(quantised))
    step = 1e-6
    for row, column in np.ndindex(5, 3):  # finite differences around the code vector, not around the exact latents
        moved = torch.zeros(5, 3, dtype=torch.float64)
        moved[row, column] = step
        slope = (loss(quantised + moved) - loss(quantised - moved)) / (2 * step)
        assert abs(exact.grad[row, column] - slope) < 1e-6


def test_distances_equal_brute_force_and_are_never_negative():
    points, centres = normal(7, 4, seed=1), normal(5, 4, seed=2)
    slow = [[sum((a - b) ** 2 for a, b in zip(p, c, strict=True)) for c in centres.tolist()] for p in points.tolist()]
    np.testing.assert_allclose(squared_distances(points, centres), slow, atol=1e-12)
    far = 1e4 + normal(50, 8, dtype=torch.float32)
    assert (squared_distances(far, far) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.5, 0.9, 0.99]), st.integers(1, 6), st.integers(1, 5))
def test_running_means_equal_a_slow_reference(seed, decay, size, steps):
    centres = normal(size, 2, seed=seed)
    book = Codebook(centres, Rules(normalised=False, ema_decay=decay))
    counts, sums, vectors = [1.0] * size, centres.tolist(), centres.tolist()
    for step in range(steps):
        points = normal(9, 2, seed=seed + step + 1)
        codes = torch.randint(0, size, (9,), generator=torch.Generator().manual_seed(seed + step))
        book.learn(points, codes, torch.Generator())
        for code in range(size):
            members = [point for point, own in zip(points.tolist(), codes.tolist(), strict=True) if own == code]
            counts[code] = decay * counts[code] + (1 - decay) * len(members)
            for axis in range(2):
                total = sum(point[axis] for point in members)
                sums[code][axis] = decay * sums[code][axis] + (1 - decay) * total
                if counts[code] > 1e-3:
                    vectors[code][axis] = sums[code][axis] / counts[code]
    np.testing.assert_allclose(book.vectors.numpy(), vectors, atol=1e-5)


@pytest.mark.parametrize("normalised", [True, False])
def test_codes_equal_brute_force(normalised):
    points, centres = normal(40, 3, seed=3), normal(6, 3, seed=4)
    book = Codebook(centres, Rules(normalised=normalised))
    expected = []
    for point in points.numpy():
        if normalised:
            cosines = [point @ c / np.linalg.norm(point) / np.linalg.norm(c) for c in centres.numpy()]
            expected.append(int(np.argmax(cosines)))
        else:
            expected.append(int(np.argmin([((point - c) ** 2).sum() for c in centres.numpy()])))
    assert book.choose(points).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0, 10), st.floats(0, 0.99))
def test_balance_is_bounded_and_favours_rare_codes(counts, strength, bound):
    factors = balance_factors(torch.tensor(counts, dtype=torch.float64), strength, bound)
    assert (factors >= 1 - bound - 1e-9).all()
    assert (factors <= 1 + bound + 1e-9).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(factors.numpy()[order]) >= -1e-12).all()


def test_balance_moves_choices_in_training_alone():
    book = Codebook(torch.tensor([[0.0, 0.0], [2.1, 0.0]]), Rules(False, balance_strength=1.0, balance_bound=0.5))
    points = torch.tensor([[1.0, 0.0]])  # a little nearer to the first
    book.load.copy_(torch.tensor([9.0, 1.0]))
    assert book.train().choose(points).tolist() == [1]
    assert book.eval().choose(points).tolist() == [0]


def test_sinkhorn_uses_all_codes_alike_where_nearest_does_not():
    centres = normal(8, 4, seed=5)
    points = centres[:1] + 0.3 * normal(64, 4, seed=6)  # everything lies around the first centre
    distances = squared_distances(points, centres)
    plain = torch.bincount(distances.argmin(dim=1), minlength=8)
    even = torch.bincount(sinkhorn_codes(distances, 0.01, 200), minlength=8)
    assert plain.max() > 60
    assert even.max() <= 10
    assert even.min() >= 6


def test_sinkhorn_equals_plain_scaling():
    distances = squared_distances(normal(12, 3, seed=7), normal(4, 3, seed=8))
    middle = (distances.max() + distances.min()) / 2
    plan = np.exp(-((distances - middle) / (distances.max() - middle)).numpy() / 0.2)
    for _ in range(30):
        plan /= plan.sum(axis=0, keepdims=True)
        plan /= plan.sum(axis=1, keepdims=True)
    assert sinkhorn_codes(distances, 0.2, 30).tolist() == plan.argmax(axis=1).tolist()


def test_sinkhorn_survives_a_small_temperature():
    distances = squared_distances(normal(30, 3, seed=9), normal(5, 3, seed=10)).float()
    counts = torch.bincount(sinkhorn_codes(distances, 1e-4), minlength=5)
    assert counts.sum() == 30
    assert (sinkhorn_codes(torch.zeros(4, 3), 0.003) >= 0).all()


def test_uniformity_equals_a_loop_over_pairs():
    vectors, margin = normal(7, 3, seed=11), 2.0
    pairs = [(j, k) for j in range(7) for k in range(7) if j != k]
    slow = np.mean([max(0.0, margin - float((vectors[j] - vectors[k]).norm())) ** 2 for j, k in pairs])
    assert float(uniformity_loss(vectors, margin)) == pytest.approx(slow, abs=1e-9)


def test_uniformity_pushes_close_codes_apart_and_leaves_distant_ones():
    vectors = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]], requires_grad=True)
    uniformity_loss(vectors, 1.0).backward()
    assert vectors.grad[0, 0] > 0  # descent moves it to the left
    assert vectors.grad[1, 0] < 0
    assert (vectors.grad[2] == 0).all()
    equal = torch.zeros(3, 2, requires_grad=True)
    uniformity_loss(equal, 1.0).backward()
    assert torch.isfinite(equal.grad).all()


@pytest.mark.parametrize("decay", [0.9, None])
def test_dead_codes_come_back(decay):
    centres = torch.tensor([[0.0, 0.0], [50.0, 50.0]])  # nobody is near the second
    draws = torch.Generator().manual_seed(0)
    for restart_after, alive in [(5, True), (0, False)]:
        book = Codebook(centres, Rules(normalised=False, ema_decay=decay, restart_after=restart_after)).train()
        for step in range(8):
            points = normal(32, 2, seed=step, dtype=torch.float32)
            book.learn(points, book.choose(points), draws)
        used = torch.bincount(book.choose(normal(200, 2, seed=99, dtype=torch.float32)), minlength=2)
        assert (used > 20).all() == alive
        assert (book.restarts > 0) == alive
