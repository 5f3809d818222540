"""The engine: weighted k-means on distinct colours. Plain arrays in and out.

Restarts run where they are cheap, on the means of colour bins; the best of them is improved
by moving centres to where they help more (breathing), then refined on finer bins and at
last on all colours. A bin's mean with its exact count loses only the
variance inside the bin, which is the same for every palette unless a border crosses the bin.
Weighting distinct colours is Celebi's "Improving the performance of k-means for color
quantization" (2011); the numbers are those of Lloyd's algorithm on all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import kernels
from bigquant.nearest import assign, removal_costs

Floats = NDArray[np.float64]

#: Bits per channel of the coarse levels, and how many bins a level must have for every
#: cluster to be worth running on.
_COARSE_BITS = (5, 6)
_BINS_PER_CLUSTER = 4
#: Up to so many colours the restarts run on the colours themselves.
_FEW_COLORS = 4096
#: Restarts, as many as these distances (points x clusters) allow, and at most so many.
_RESTART_DISTANCES = 1 << 24
_BREATH_DISTANCES = 1 << 26
_RESTARTS = 10
#: A move of centres takes at most this part of them (but up to five), and is kept if it
#: lowers the inertia by more than this part of it.
_BREATH = 10
_GAIN = 1e-4
#: Beyond these distances k-means++ would take longer than the fit: starts are drawn at random.
_SEEDING_DISTANCES = 1 << 30
#: Runs on bins cost little, so they settle more finely than the run on all colours.
_COARSE_TOL = 0.1


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
    inertia : float
        Sum of weight x squared distance to the nearest centre.
    n_iter : int
        Iterations over all colours (those on bins are not counted).
    """

    centers: Floats
    inertia: float
    n_iter: int


def fit(
    colors: NDArray[Any],
    counts: NDArray[Any],
    n_clusters: int,
    *,
    init: str | Floats = "k-means++",
    n_init: int | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
) -> Fit:
    """Fit `n_clusters` centres to weighted colours.

    Parameters
    ----------
    colors : ndarray, (n, channels), any real type
        Distinct colours, n at least `n_clusters`.
    counts : ndarray, (n,), real
        Weight of each, 0 or more.
    n_clusters : int
        At least 1, at most n.
    init : {"k-means++", "random"} or ndarray, (n_clusters, channels)
        Starting centres; an array is taken as it is, and there are no restarts.
    n_init : int, optional
        Restarts; the best is kept. Without it ten, fewer where there is much to do.
    max_iter : int
        Limit on the iterations of each run.
    tol : float
        A run stops once the centres' squared shift, summed, is at most `tol` times the
        mean variance of the channels (scikit-learn's rule), or no colour changes sides.
    seed : int
        Of the random draws; the same seed gives the same bits.
    """
    weights = counts.astype(np.float64)
    limit = tol * _mean_variance(colors, weights)
    if not isinstance(init, str):
        start = np.array(init, np.float64)
        return _run(colors, weights, start, max_iter, limit)
    levels = _levels(colors, weights, n_clusters)
    coarse_points, coarse_weights = levels[0]
    best: Fit | None = None
    coarse_limit = limit * _COARSE_TOL if len(levels) > 1 else limit
    affordable = _RESTART_DISTANCES // (len(coarse_points) * n_clusters)
    for restart in range(n_init or max(1, min(_RESTARTS, affordable))):
        rng = np.random.default_rng([seed, restart])
        start = _seed_centers(coarse_points, coarse_weights, n_clusters, init, rng)
        found = _run(coarse_points, coarse_weights, start, max_iter, coarse_limit)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    if affordable:
        best = _breathe(coarse_points, coarse_weights, best, max_iter, limit)
    for points, level_weights in levels[1:-1]:
        best = _run(points, level_weights, best.centers, max_iter, coarse_limit)
    return _run(colors, weights, best.centers, max_iter, limit) if len(levels) > 1 else best


def _mean_variance(colors: NDArray[Any], weights: Floats) -> float:
    total = weights.sum()
    variances = []
    for column in colors.T:
        column = column.astype(np.float64)
        mean = kernels.weighted_sum(weights, column) / total
        variances.append(kernels.weighted_sum(weights, (column - mean) ** 2) / total)
    return float(np.mean(variances))


def _levels(
    colors: NDArray[Any], weights: Floats, n_clusters: int
) -> list[tuple[NDArray[Any], Floats]]:
    """List the levels a fit climbs: bin means, finer bin means, all colours."""
    levels: list[tuple[NDArray[Any], Floats]] = []
    if len(colors) > _FEW_COLORS and colors.shape[1] <= 3:
        for bits in _COARSE_BITS:
            points, masses = _bin_means(colors, weights, bits)
            enough = len(points) >= _BINS_PER_CLUSTER * n_clusters
            if enough and len(points) <= len(colors) // 2:
                levels.append((points, masses))
    return [*levels, (colors, weights)]


def _bin_means(colors: NDArray[Any], weights: Floats, bits: int) -> tuple[Floats, Floats]:
    """Average the colours in every occupied bin of a grid of 2**bits a channel.

    The grid spans the values that occur, so it suits any type and range.
    """
    bins = np.zeros(len(colors), np.int64)
    for column in colors.T:
        low, high = float(column.min()), float(column.max())
        scale = (1 << bits) / (high - low) * (1 - 1e-12) if high > low else 0.0
        bins = (bins << bits) | ((column.astype(np.float64) - low) * scale).astype(np.int64)
    masses = np.bincount(bins, weights=weights)
    occupied = np.flatnonzero(masses)
    sums = [np.bincount(bins, weights=weights * column)[occupied] for column in colors.T]
    kept = masses[occupied].astype(np.float64)
    return np.stack(sums, axis=1) / kept[:, None], kept


def _seed_centers(
    points: NDArray[Any], weights: Floats, n_clusters: int, init: str, rng: np.random.Generator
) -> Floats:
    points = points.astype(np.float64)
    if init == "random" or len(points) * n_clusters > _SEEDING_DISTANCES:
        chance = weights / weights.sum()
        picks = rng.choice(len(points), n_clusters, replace=False, p=chance)
        return points[picks]
    trials = 2 + int(np.log(n_clusters))  # as in scikit-learn
    chosen = np.empty(n_clusters, np.int64)
    kernels.plus_plus(points, weights, rng.random((n_clusters, trials)), chosen)
    return points[chosen]


def _breathe(points: NDArray[Any], weights: Floats, best: Fit, max_iter: int, limit: float) -> Fit:
    """Add centres where most is missed, take away those that are missed least, while it helps.

    After B. Fritzke, "Breathing k-means" (2020). Lloyd's iteration alone never moves a
    centre from one part of the colour space to another.
    """
    points = points.astype(np.float64)
    moved = min(max(5, len(best.centers) // _BREATH), len(best.centers), len(points) // 2)
    while moved:
        labels, distances = assign(points, best.centers)
        missed = weights * distances
        worst = np.lexsort((-missed, labels))  # by cluster, its worst-served colour first
        by_cluster = np.argsort(-np.bincount(labels, missed, len(best.centers)), kind="stable")
        added = points[worst[np.searchsorted(labels[worst], by_cluster[:moved])]]
        more = _run(points, weights, np.vstack([best.centers, added]), max_iter, limit)
        fewer = np.delete(more.centers, _least_missed(points, weights, more.centers, moved), 0)
        found = _run(points, weights, fewer, max_iter, limit)
        if found.inertia < best.inertia * (1 - _GAIN):
            best = found
        else:
            moved //= 2
    return best


def _least_missed(points: Floats, weights: Floats, centers: Floats, how_many: int) -> list[int]:
    """Choose centres to take away: of two near to each other only one, if that will do."""
    costs = np.empty(len(centers))
    removal_costs(points, weights, centers, costs)
    order = [int(center) for center in np.argsort(costs, kind="stable")]
    chosen: list[int] = []
    kept = set()
    for center in order:
        if center not in kept and len(chosen) < how_many:
            chosen.append(center)
            apart = ((centers - centers[center]) ** 2).sum(axis=1)
            apart[chosen] = np.inf
            kept.add(int(apart.argmin()))
    others = (center for center in order if center not in chosen)
    return chosen + [next(others) for _ in range(how_many - len(chosen))]


def _run(
    colors: NDArray[Any], weights: Floats, centers: Floats, max_iter: int, limit: float
) -> Fit:
    """Run Lloyd's iteration from `centers` until it settles."""
    sums, masses = np.empty_like(centers), np.empty(len(centers))
    labels, distances = assign(colors, centers)
    n_iter = 0
    settled = False
    while not settled and n_iter < max_iter:
        n_iter += 1
        kernels.accumulate(colors, weights, labels, sums, masses)
        empty = np.flatnonzero(masses == 0)
        new_centers = sums / np.where(masses, masses, 1)[:, None]
        if len(empty):  # they go where they help most: to the worst-served colours
            worst = np.argsort(-weights * distances, kind="stable")
            new_centers[empty] = colors[worst[: len(empty)]]
        shift = float(((new_centers - centers) ** 2).sum())
        centers = new_centers
        new_labels, distances = assign(colors, centers)
        still = shift <= limit or np.array_equal(labels, new_labels)
        settled = still and not len(empty)
        labels = new_labels
    return Fit(centers, kernels.weighted_sum(weights, distances), n_iter)
