"""One level of RQ-GMM: what it sees of residuals, the mixture that codes come from, and the code vectors.

A level looks at residuals through a `View`: shifted to their mean and turned onto their widest directions. Codes are
the likeliest components there. Code vectors have all D dimensions: the mean residual of the members, found chunk by
chunk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agentrec.core.artefact import Arrays
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.diagonal_mixture import (
    Fit,
    Mixture,
    expectation_maximisation,
    log_densities,
    most_likely,
    start_at,
)
from agentrec.semantic_ids.kmeans import directions, distinct_rows, flat_centres, nearest, spherical_centres

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from agentrec.semantic_ids.rq_gmm import Config

ROWS = 8192  # residuals that are looked at together
EXACT = 1e-4  # below this variance floor, float32 products are too coarse


class View(NamedTuple):
    """What a level sees of residuals.

    Attributes:
        shortest: residuals are scaled to length 1, those not longer than this become 0; negative: left as they are.
        centre: (D,) float64, subtracted.
        axes: (D, d) float64 orthonormal columns; None: all dimensions as they are.
    """

    shortest: float
    centre: NDArray[np.float64]
    axes: NDArray[np.float64] | None

    def points(self, residuals: FloatArray) -> NDArray[np.float64]:
        """Residuals as the mixture knows them: (N, D) float32 -> (N, d) float64."""
        seen = directions(residuals, self.shortest) if self.shortest >= 0 else residuals
        shifted = seen - self.centre
        return shifted if self.axes is None else shifted @ self.axes


class Level(NamedTuple):
    """One level of the quantiser.

    Attributes:
        view: what the mixture sees.
        mixture: K components over d dimensions, on the device that encodes.
        codebook: (K, D) float32, what a code stands for.
    """

    view: View
    mixture: Mixture
    codebook: FloatArray

    def _points(self, residuals: FloatArray) -> Tensor:
        import torch

        return torch.from_numpy(self.view.points(residuals)).to(self.mixture.means.device)

    def codes(self, residuals: FloatArray) -> IntArray:
        """The likeliest component, the first of equals: (N, D) float32 -> (N,) int64."""
        found = np.empty(len(residuals), np.int64)
        for rows in parts(len(residuals)):
            found[rows] = most_likely(self._points(residuals[rows]), self.mixture).cpu().numpy()
        return found

    def likeliest(self, residuals: FloatArray, top: int) -> tuple[IntArray, FloatArray]:
        """The ``top`` likeliest components and their posteriors: (N, D) float32 -> (N, m) int64, (N, m) float32."""
        width = min(top, len(self.codebook))
        codes, shares = np.empty((len(residuals), width), np.int64), np.empty((len(residuals), width), np.float32)
        for rows in parts(len(residuals)):
            scores = log_densities(self._points(residuals[rows]), self.mixture)
            found = scores.softmax(dim=1).sort(dim=1, descending=True, stable=True)
            codes[rows] = found.indices[:, :width].cpu().numpy()
            shares[rows] = found.values[:, :width].cpu().numpy()
        return codes, shares

    def arrays(self, name: str) -> Arrays:
        """What `level_of` rebuilds this from, each array's name ending in ``name``."""
        axes = {} if self.view.axes is None else {"axes": self.view.axes}
        mixture = {part: tensor.cpu().numpy() for part, tensor in self.mixture._asdict().items()}
        own = {"shortest": np.array([self.view.shortest]), "centre": self.view.centre, "codebook": self.codebook}
        return {f"{part}.{name}": array for part, array in (own | axes | mixture).items()}


def level_of(arrays: Arrays, name: str, device: str) -> Level:
    """Rebuild from `Level.arrays`.

    Raises:
        KeyError: an array is missing.
    """
    import torch

    view = View(float(arrays[f"shortest.{name}"][0]), arrays[f"centre.{name}"], arrays.get(f"axes.{name}"))
    mixture = Mixture(*(torch.from_numpy(arrays[f"{part}.{name}"]).to(device) for part in Mixture._fields))
    return Level(view, mixture, arrays[f"codebook.{name}"])


def parts(size: int) -> Iterator[slice]:
    """Consecutive slices of at most ROWS rows."""
    yield from (slice(start, start + ROWS) for start in range(0, size, ROWS))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, so that a seed decides the codes whatever the number of cores."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def fit_level(residuals: FloatArray, number: int, config: Config, shortest: float) -> tuple[Level, IntArray]:
    """Fit one level and give every residual its code; codes that nobody gets are dropped.

    Args:
        residuals: (N, D) float32.
        number: of the level, from 0.
        config: settings.
        shortest: residuals not longer than this are rounding.

    Returns:
        The level, and the codes (N,) int64.
    """
    view, found = fit_mixture(residuals, number, config, shortest)
    unlabelled = Level(view, found, np.zeros((0, 0), np.float32))
    used, codes = np.unique(unlabelled.codes(residuals), return_inverse=True)
    mixture = Mixture(*(part[used.tolist()] for part in found))
    return Level(view, mixture, member_means(residuals, codes, len(used))), codes.astype(np.int64)


def fit_mixture(residuals: FloatArray, number: int, config: Config, shortest: float) -> tuple[View, Mixture]:
    """Look at residuals and fit; arguments as those of `fit_level`. Points are gone when it returns."""
    seen = look_at(residuals, number, config, shortest)
    return seen.view, mixture_of(seen, number, config)


class Seen(NamedTuple):
    """What a level sees while it is fitted.

    Attributes:
        view: through which it sees.
        points: (n, d) what it sees of the residuals that move, divided by the scale; float32, or float64 where the
            variance floor wants that.
        scale: makes the points' mean square 1.
    """

    view: View
    points: NDArray[Any]
    scale: float


def look_at(residuals: FloatArray, number: int, config: Config, shortest: float) -> Seen:
    """What a level sees of residuals; nothing but the points is of their size when it returns.

    Args:
        residuals: (N, D) float32.
        number: of the level, from 0.
        config: settings.
        shortest: residuals not longer than this are rounding.
    """
    seen, turned = residuals, config.normalise_residuals and number > 0
    if turned:
        seen = directions(residuals, shortest)
        if not (moving := seen.any(axis=1)).all():
            seen = seen[moving] if moving.any() else np.zeros_like(seen[:1])
    view = view_of(seen, config.pca_dimension, shortest if turned else -1.0)
    width = seen.shape[1] if view.axes is None else view.axes.shape[1]
    plain = view._replace(shortest=-1.0)
    squares = sum(float((plain.points(seen[rows]) ** 2).sum()) for rows in parts(len(seen)))
    scale = float(np.sqrt(squares / (len(seen) * width))) or 1.0
    points = np.empty((len(seen), width), np.float64 if config.variance_floor < EXACT else np.float32)
    for rows in parts(len(seen)):
        points[rows] = plain.points(seen[rows]) / scale
    return Seen(view, points, scale)


def view_of(seen: FloatArray, dimension: int, shortest: float) -> View:
    """The ``dimension`` directions along which rows vary most; all of them where ``dimension`` is 0 or not fewer."""
    centre = seen.mean(axis=0, dtype=np.float64)
    if not 0 < dimension < seen.shape[1]:
        return View(shortest, centre, None)
    scatter = np.zeros((len(centre), len(centre)))
    for rows in parts(len(seen)):
        shifted = seen[rows] - centre
        scatter += shifted.T @ shifted
    return View(shortest, centre, np.ascontiguousarray(np.linalg.eigh(scatter)[1][:, : -dimension - 1 : -1]))


def mixture_of(seen: Seen, number: int, config: Config) -> Mixture:
    """The mixture of what a level sees; at most K_l components, fewer where fewer rows are distinct."""
    import torch

    table: FloatArray = seen.points.astype(np.float32, copy=False)
    tensor = torch.from_numpy(seen.points).to(config.device)
    rng = generator(config.seed, "rq_gmm", number, "start")
    fits = [fit_once(tensor, table, number, config, int(rng.integers(2**31))) for _ in range(config.n_init)]
    log_weights, means, variances = max(fits, key=lambda fit: fit.objective[-1]).mixture
    return Mixture(log_weights, means * seen.scale, variances * seen.scale**2)


def fit_once(tensor: Tensor, table: FloatArray, number: int, config: Config, seed: int) -> Fit:
    """A mixture from one start; both arguments are the points (N, d), for EM and for k-means."""
    import torch

    used, codes = np.unique(clusters(table, number, config, seed), return_inverse=True)
    labels = torch.from_numpy(codes.astype(np.int64)).to(config.device)
    strength = config.variance_prior * len(table) / len(used)
    start, prior = start_at(tensor, labels, len(used), config.variance_floor, strength)
    return expectation_maximisation(
        tensor,
        start,
        prior,
        max_iter=config.max_iter,
        tolerance=config.tolerance,
        sharpness=config.sharpness,
        seed=seed,
    )


def clusters(points: FloatArray, number: int, config: Config, seed: int) -> IntArray:
    """Where a mixture starts: k-means of points on the first level, of their directions on later ones.

    Residuals differ in length many times over. Started at plain k-means, a level spends its components on the few long
    ones and keeps that: EM moves components, it does not make them leave a far point.
    """
    possible = distinct_rows(points, config.sizes[number])
    if possible == 1:
        return np.zeros(len(points), np.int64)
    if number == 0:
        return nearest(points, flat_centres(points, possible, max_iter=config.start_iter, seed=seed))
    turned = directions(points, 0.0)
    possible = distinct_rows(turned, possible)
    return nearest(turned, spherical_centres(turned, possible, max_iter=config.start_iter, seed=seed))


def member_means(residuals: FloatArray, codes: IntArray, size: int) -> FloatArray:
    """Mean residual of each code, every code having some: (N, D) float32, (N,) int64 -> (K, D) float32."""
    import torch

    sums = torch.zeros((size, residuals.shape[1]), dtype=torch.float64)
    for rows in parts(len(residuals)):
        sums.index_add_(0, torch.from_numpy(codes[rows]), torch.from_numpy(residuals[rows]).double())
    found: FloatArray = (sums.numpy() / np.bincount(codes, minlength=size)[:, None]).astype(np.float32)
    return found
