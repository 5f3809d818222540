"""Lloyd's iteration, and the moves of centres that it alone never makes (breathing)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigquant import kernels
from bigquant.pointsets import Floats, PointSet, beside

#: A move of centres takes at most this part of them (but up to sixteen), and is kept if it
#: lowers the inertia by more than this part of it.
_BREATH = 10
_GAIN = 1e-4
#: Iterations of a breath in and out: what it finds is refined later.
_IN_ITER, _OUT_ITER = 4, 8


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
        Kept colours first, as they were given; on the way to the end, the others alone.
    inertia : float
        Sum of weight x squared distance to the nearest centre.
    n_iter : int
        Iterations over all colours (those on bins are not counted).
    """

    centers: Floats
    inertia: float
    n_iter: int


def run_lloyd(level: PointSet, centers: Floats, max_iter: int, limit: float) -> Fit:
    """Run Lloyd's iteration from `centers` until it settles.

    The inertia is that of the last assignment, around the means that it gave.
    """
    n_iter, settled, inertia = 0, False, np.inf
    while not settled and n_iter < max_iter:
        n_iter += 1
        gathered = level.gather(centers)
        means, has_empty = gathered.means, not gathered.masses.all()
        if has_empty:  # they go where they help most: to the worst-served colours
            empty = np.flatnonzero(gathered.masses == 0)
            _, distances = level.assign(centers)
            worst = np.argsort(-level.weights * distances, kind="stable")
            means = gathered.means.copy()
            means[empty] = level.points[worst[: len(empty)]]
        shift = ((means - centers) ** 2).sum()
        settled = not has_empty and bool(shift <= limit)
        centers, inertia = means, gathered.inertia
    return Fit(centers, inertia, n_iter)


def settle(everything: PointSet, kept: Floats, centers: Floats, max_iter: int, limit: float) -> Fit:
    """Run Lloyd's iteration on all colours; the centres found have the kept ones first."""
    found = run_lloyd(beside(everything, kept), centers, max_iter, limit)
    centers = np.vstack([kept, found.centers])
    return Fit(centers, everything.inertia(centers), found.n_iter)


def with_worst(level: PointSet, centers: Floats, n_clusters: int) -> Floats:
    """Add the points that are served worst, which lowers the inertia, until there are so many."""
    _, distances = level.assign(centers)
    worst = np.argsort(-level.weights * distances, kind="stable")
    return np.vstack([centers, level.points[worst[: n_clusters - len(centers)]]])


def breathe(level: PointSet, kept: Floats, best: Fit, max_iter: int, limit: float) -> Fit:
    """Add centres where most is missed, merge those that are missed least, while it helps.

    After B. Fritzke, "Breathing k-means" (2020). Lloyd's iteration alone never moves a
    centre from one part of the colour space to another.
    """
    k = len(best.centers)
    moved = min(max(16, k // _BREATH), k, level.size // 2)
    n_labels = len(kept) + k
    worst = np.empty(n_labels, np.int64)
    while moved:
        labels, distances = level.assign(best.centers)
        missed = level.weights * distances
        by_cluster = np.argsort(-np.bincount(labels, missed, n_labels), kind="stable")
        kernels.worst_of_each(labels, missed, worst)
        added = level.points[worst[by_cluster[:moved]]]
        more = run_lloyd(level, np.vstack([best.centers, added]), min(_IN_ITER, max_iter), limit)
        fewer = _merged(more.centers, level.gather(more.centers).masses, kept, moved)
        found = run_lloyd(level, fewer, min(_OUT_ITER, max_iter), limit)
        if found.inertia < best.inertia * (1 - _GAIN):
            best = found
        else:
            moved //= 2
    return best


def _merged(centers: Floats, masses: Floats, kept: Floats, pairs: int) -> Floats:
    """Merge so many pairs of centres, those whose merging costs least.

    The cost is Ward's: ``m1 m2 / (m1 + m2) |c1 - c2|**2``. Kept colours stay where they are, so
    merging with the nearest of them costs ``m |c - kept|**2``: a pair of a centre with itself.
    """
    apart = ((centers[:, None] - centers[None, :]) ** 2).sum(axis=2)
    together = masses[:, None] + masses[None, :]
    costs = masses[:, None] * masses[None, :] / np.where(together, together, 1) * apart
    if len(kept):
        apart_from_kept = ((centers[:, None] - kept[None, :]) ** 2).sum(axis=2)
        np.fill_diagonal(costs, masses * apart_from_kept.min(axis=1))
    first, second = np.triu_indices(len(centers), 0 if len(kept) else 1)
    centers, gone = centers.copy(), np.zeros(len(centers), bool)
    used = gone.copy()
    for pair in np.argsort(costs[first, second], kind="stable"):
        i, j = first[pair], second[pair]
        if not used[i] and not used[j]:
            if together[i, j]:
                centers[i] = (masses[i] * centers[i] + masses[j] * centers[j]) / together[i, j]
            used[i] = used[j] = gone[j] = True
            if gone.sum() == pairs:
                break
    return centers[~gone]
