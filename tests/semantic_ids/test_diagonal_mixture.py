"""Diagonal mixtures: against scikit-learn, what EM promises, and numbers that are hard on it."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from agentrec.semantic_ids import diagonal_mixture
from agentrec.semantic_ids.diagonal_mixture import (
    Fit,
    Mixture,
    Prior,
    expectation_maximisation,
    log_densities,
    log_prior,
    maximise,
    moments,
    most_likely,
    split_heaviest,
    start_at,
)


def groups(seed: int, size: int = 300, dimension: int = 3, count: int = 4) -> tuple[Any, Any]:
    """Points (N, D) float64 in a few groups of unequal width, and their groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(count, size=size)
    group[:count] = np.arange(count)
    centres, widths = rng.normal(size=(count, dimension)), rng.uniform(0.1, 0.7, (count, dimension))
    return torch.from_numpy(centres[group] + widths[group] * rng.normal(size=(size, dimension))), torch.from_numpy(
        group
    )


def fitted(points: Any, codes: Any, **more: Any) -> Fit:
    strength = more.pop("strength", 0.0)
    start, prior = start_at(points, codes, int(codes.max()) + 1, more.pop("floor", 1e-6), strength)
    return expectation_maximisation(points, start, prior, **{"max_iter": 15, "tolerance": 0.0, **more})


def random_mixture(seed: int, size: int = 4, dimension: int = 3) -> Mixture:
    rng = np.random.default_rng(seed)
    return Mixture(
        torch.from_numpy(np.log(rng.dirichlet(np.ones(size)))),
        torch.from_numpy(rng.normal(size=(size, dimension))),
        torch.from_numpy(rng.uniform(0.05, 2, (size, dimension))),
    )


def test_log_densities_are_those_of_scipy() -> None:
    points, _ = groups(0)
    mixture = random_mixture(1)
    slow = mixture.log_weights.numpy() + norm.logpdf(
        points.numpy()[:, None], mixture.means.numpy(), np.sqrt(mixture.variances.numpy())
    ).sum(axis=2)
    np.testing.assert_allclose(log_densities(points, mixture).numpy(), slow, atol=1e-10)
    np.testing.assert_allclose(log_densities(points.float(), mixture).numpy(), slow, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_em_is_that_of_scikit_learn(seed: int) -> None:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    points, codes = groups(seed)
    start, prior = start_at(points, codes, 4, 1e-12, 0.0)
    ours = expectation_maximisation(points, start, prior, max_iter=12, tolerance=0.0)
    theirs = GaussianMixture(
        4,
        covariance_type="diag",
        reg_covar=0.0,
        max_iter=12,
        tol=0.0,
        weights_init=start.log_weights.exp().numpy(),
        means_init=start.means.numpy(),
        precisions_init=(1 / start.variances).numpy(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(points.numpy())
    np.testing.assert_allclose(ours.mixture.means, theirs.means_, atol=1e-8)
    np.testing.assert_allclose(ours.mixture.variances, theirs.covariances_, atol=1e-8)
    np.testing.assert_allclose(ours.mixture.log_weights.exp(), theirs.weights_, atol=1e-8)
    assert ours.objective[-1] == pytest.approx(theirs.score(points.numpy()), abs=1e-8)
    assert ours.objective[-2] == pytest.approx(theirs.lower_bound_, abs=1e-8)
    assert np.array_equal(log_densities(points, ours.mixture).argmax(dim=1), theirs.predict(points.numpy()))


@given(
    seed=st.integers(0, 10_000),
    strength=st.sampled_from([0.0, 1.0, 30.0]),
    sharpness=st.sampled_from([1.0, 2.0, 10.0]),
    floor=st.sampled_from([1e-6, 0.05, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_the_objective_never_falls(seed: int, strength: float, sharpness: float, floor: float) -> None:
    points, _ = groups(seed, size=80)
    codes = torch.from_numpy(np.random.default_rng(seed).permutation(np.arange(80) % 5))
    fit = fitted(points, codes, strength=strength, sharpness=sharpness, floor=floor)
    steps = zip(pairwise(fit.objective), fit.reseeded, strict=True)
    assert all(later >= earlier - 1e-10 for (earlier, later), moved in steps if not moved)
    assert (fit.mixture.variances >= floor).all()


@given(seed=st.integers(0, 10_000), strength=st.sampled_from([0.0, 7.0]))
@settings(max_examples=20, deadline=None)
def test_the_m_step_is_the_maximum(seed: int, strength: float) -> None:
    points, _ = groups(seed, size=60)
    prior = Prior(0.2, torch.tensor([0.5, 1.0, 0.1], dtype=torch.float64), strength)
    posteriors = log_densities(points, random_mixture(seed)).softmax(dim=1)

    def expected(mixture: Mixture) -> float:
        return float((posteriors * log_densities(points, mixture)).sum()) + log_prior(mixture, prior)

    best = maximise(moments(points, random_mixture(seed)).sums, prior)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        nudge = torch.from_numpy(rng.normal(scale=0.05, size=best.means.shape))
        other = best._replace(variances=(best.variances * nudge.exp()).clamp_min(prior.floor))
        assert expected(other) <= expected(best) + 1e-9
        assert expected(best._replace(means=best.means + nudge)) <= expected(best) + 1e-9
        weights = (best.log_weights + nudge[:, 0]).log_softmax(dim=0)
        assert expected(best._replace(log_weights=weights)) <= expected(best) + 1e-9


def test_a_start_has_the_moments_of_its_clusters() -> None:
    points, codes = groups(3)
    start, prior = start_at(points, codes, 4, 1e-6, 0.0)
    for code in range(4):
        own = points[codes == code]
        np.testing.assert_allclose(start.means[code], own.mean(dim=0), atol=1e-10)
        mixed = (len(own) * own.var(dim=0, correction=0) + prior.variances) / (len(own) + 1)
        np.testing.assert_allclose(start.variances[code], mixed, atol=1e-10)
        assert float(start.log_weights[code].exp()) == pytest.approx(len(own) / 300)


def test_float32_follows_float64() -> None:
    points, codes = groups(5, size=2000)
    wide, narrow = fitted(points, codes, floor=1e-4), fitted(points.float(), codes, floor=1e-4)
    np.testing.assert_allclose(wide.mixture.means, narrow.mixture.means, atol=1e-3)
    np.testing.assert_allclose(wide.mixture.variances, narrow.mixture.variances, atol=1e-3)
    assert narrow.mixture.means.dtype == torch.float64


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-6, 1.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_the_most_likely_is_that_of_float64(seed: int, scale: float) -> None:
    points, _ = groups(seed, size=500)
    mixture = random_mixture(seed, size=40)
    scaled = mixture._replace(means=mixture.means * scale, variances=mixture.variances * scale**2)
    slow = log_densities(points * scale, scaled)
    found = most_likely(points * scale, scaled)
    assert torch.equal(found[:50], torch.cat([most_likely(row[None] * scale, scaled) for row in points[:50]]))
    np.testing.assert_allclose(slow.gather(1, found[:, None])[:, 0], slow.amax(dim=1), rtol=1e-12)


def test_points_that_are_nearly_as_likely_under_two_components_are_told_apart() -> None:
    mixture = Mixture(
        torch.zeros(2, dtype=torch.float64),
        torch.tensor([[-1.0], [1.0]], dtype=torch.float64),
        torch.ones((2, 1), dtype=torch.float64),
    )
    points = 1e-9 * torch.arange(-50, 51, dtype=torch.float64)[:, None]
    assert most_likely(points, mixture).tolist() == [0] * 51 + [1] * 50


def test_points_beyond_float32_belong_to_the_widest_component() -> None:
    means, variances = (
        torch.zeros((3, 1), dtype=torch.float64),
        torch.tensor([[1.0], [9.0], [4.0]], dtype=torch.float64),
    )
    mixture = Mixture(torch.zeros(3, dtype=torch.float64), means, variances)
    assert most_likely(torch.tensor([[-1e25], [0.0], [1e100]], dtype=torch.float64), mixture).tolist() == [1, 0, 1]


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = groups(6, size=1000)
    whole = moments(points, random_mixture(6))
    monkeypatch.setattr(diagonal_mixture, "CELLS", 1)
    cut = moments(points, random_mixture(6))
    np.testing.assert_allclose(whole.sums, cut.sums, rtol=1e-10)
    assert whole.log_likelihood == pytest.approx(cut.log_likelihood)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_far_points_and_narrow_components_do_not_underflow(kind: Any) -> None:
    mixture = Mixture(
        torch.log(torch.tensor([0.5, 0.5], dtype=torch.float64)),
        torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64),
        torch.tensor([[1e-4, 1e-4], [1e-4, 1e-4]], dtype=torch.float64),
    )
    points = torch.tensor([[-3e3, 0.0], [4e3, 1e3], [0.4, 50.0]], dtype=kind)
    assert log_densities(points, mixture).argmax(dim=1).tolist() == [0, 1, 0]
    found = moments(points, mixture)
    assert torch.isfinite(found.sums).all()
    assert math.isfinite(found.log_likelihood)
    assert found.sums[:, 0].tolist() == pytest.approx([2, 1])


def test_a_component_on_one_point_keeps_the_floor() -> None:
    points = torch.tensor([[0.0], [0.0], [0.0], [5.0]], dtype=torch.float64)
    fit = fitted(points, torch.tensor([0, 0, 0, 1]), floor=0.01)
    np.testing.assert_allclose(fit.mixture.variances, 0.01)
    assert np.isfinite(fit.objective).all()


def test_starved_components_are_seeded_again() -> None:
    points, codes = groups(8, size=400)
    good, prior = start_at(points, codes, 4, 1e-6, 0.0)
    bad = good._replace(means=good.means.clone(), log_weights=good.log_weights.clone())
    bad.means[3] += 1e4
    fit = expectation_maximisation(points, bad, prior, max_iter=60, tolerance=1e-6)
    assert fit.reseeded[0] == 1
    counts = moments(points, fit.mixture).sums[:, 0]
    assert counts.min() > 10
    three = fitted(points, codes.clamp_max(2), max_iter=60)
    assert fit.objective[-1] > three.objective[-1] + 0.05


def test_splitting_takes_half_of_the_heaviest() -> None:
    mixture = random_mixture(2)._replace(log_weights=torch.tensor([0.1, 0.6, 0.3, 0.0], dtype=torch.float64).log())
    split = split_heaviest(mixture, torch.tensor([3]), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(split.log_weights.exp(), [0.1, 0.3, 0.3, 0.3])
    np.testing.assert_allclose((split.means[1] + split.means[3]) / 2, mixture.means[1])
    assert not torch.equal(split.means[1], split.means[3])
    assert torch.equal(split.variances[3], mixture.variances[1])
    assert torch.equal(split.means[0], mixture.means[0])


def test_it_stops_when_settled() -> None:
    points, codes = groups(9)
    fit = fitted(points, codes, max_iter=500, tolerance=1e-4)
    assert len(fit.objective) < 200
    assert fit.objective[-1] - fit.objective[-2] < 1e-4


def test_fitting_again_gives_the_same_and_leaves_the_global_generator() -> None:
    before = torch.get_rng_state()
    points, codes = groups(10)
    assert fitted(points, codes).objective == fitted(points, codes).objective
    assert torch.equal(before, torch.get_rng_state())
