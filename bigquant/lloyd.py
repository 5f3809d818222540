"""The engine: weighted k-means on distinct colours. A histogram in, centres out.

Many runs start where they are cheap, on the means of colour bins, for a few iterations each;
the best are improved by moving centres to where they help more (breathing), and refined on
finer bins and at last on all colours. A bin's mean with its exact count loses only the
variance inside the bin, which is the same for every palette unless a border crosses the bin.
Weighting distinct colours is Celebi's "Improving the performance of k-means for color
quantization" (2011); the numbers are those of Lloyd's algorithm on all pixels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from bigquant import kernels
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.pointsets import Floats, PointSet, beside, first_with, level_of, levels_of

#: Short runs to choose starts from, as many as these distances (points x clusters) allow, and
#: at most so many.
_SHORT_DISTANCES = 5 << 17
_SHORT_RUNS = 16
#: Points for every cluster that seeds are drawn from, and that centres are searched on; on
#: fewer points in all the best centres are not the best for all colours.
_SEED_POINTS, _SEARCH_POINTS, _LEAST_POINTS = 20, 80, 2500
#: Iterations of a short run, and of a breath in and out: the best is refined later.
_SHORT_ITER, _IN_ITER, _OUT_ITER = 10, 4, 8
#: The best few of them breathe, one at least, unless there are too many distances or clusters;
#: of those whose inertia is the same but for this factor, one.
_KEPT, _KEPT_DISTANCES, _SAME = 2, 1 << 20, 1.001
_BREATH_DISTANCES, _BREATH_CLUSTERS = 1 << 26, 1024
#: A move of centres takes at most this part of them (but up to sixteen), and is kept if it
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
        Kept colours first, as they were given; on the way to the end, the others alone.
    inertia : float
        Sum of weight x squared distance to the nearest centre.
    n_iter : int
        Iterations over all colours (those on bins are not counted).
    """

    centers: Floats
    inertia: float
    n_iter: int


def fit(
    histogram: ColorHistogram,
    n_clusters: int,
    *,
    init: str | Floats = "k-means++",
    n_init: int | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
    keep: Floats | None = None,
) -> Fit:
    """Fit `n_clusters` centres to weighted colours.

    Parameters
    ----------
    histogram : ColorHistogram
        Distinct colours and their counts or weights.
    n_clusters : int
        At least 1, kept colours among them; where there are fewer colours, as many centres
        are fitted.
    init : {"k-means++", "random"} or ndarray, (n_clusters, channels)
        Starting centres; an array (without kept colours) is taken as it is, and there are no
        restarts.
    n_init : int, optional
        Restarts, each from one of the best of some short runs; the best is kept. Without it
        two, or one where there is much to do.
    max_iter : int
        Limit on the iterations of each run.
    tol : float
        A run stops once the centres' squared shift, summed, is at most `tol` times the
        mean variance of the channels (scikit-learn's rule).
    seed : int
        Of the random draws; the same seed gives the same bits.
    keep : ndarray, (m, channels), float64, optional
        Distinct colours that are centres as they are, at most `n_clusters`. The others are
        fitted to what is nearer to them.

    Raises
    ------
    InputError
        If there are no colours, or `init` has other channels than they.
    """
    if isinstance(init, str):
        search = Search.plan(histogram, n_clusters, init, n_init, max_iter, tol, seed, keep)
        chosen = search.choose([search.run(0, 1)])
        return search.finish(histogram, [search.improve(chosen, 0, 1)])
    n_clusters, kept = _feasible(histogram, n_clusters, keep)
    if init.shape[1] != kept.shape[1]:
        raise InputError(f"init has {init.shape[1]} features, the data {kept.shape[1]}")
    everything = levels_of(histogram)[-1]
    centers = init[: n_clusters - len(kept)].astype(np.float64)
    return _settle(everything, kept, centers, max_iter, tol * everything.variance())


def _feasible(
    histogram: ColorHistogram, n_clusters: int, keep: Floats | None
) -> tuple[int, Floats]:
    """Tell how many centres there can be, and which of them are kept colours (m, channels)."""
    n_colors, channels = histogram.colors.shape
    if not n_colors:
        raise InputError("no row has a weight above 0: there is nothing to fit")
    kept = np.empty((0, channels)) if keep is None else keep
    return histogram.n_centers(n_clusters, kept), kept


def _settle(
    everything: PointSet, kept: Floats, centers: Floats, max_iter: int, limit: float
) -> Fit:
    found = _run(beside(everything, kept), centers, max_iter, limit)
    centers = np.vstack([kept, found.centers])
    return Fit(centers, everything.inertia(centers), found.n_iter)


@dataclass(frozen=True, eq=False)
class Search:
    """A fit in parts, of which those between the plan and the finish can run side by side.

    Parameters
    ----------
    seeds, coarse : PointSet
        Few points: those that starts are drawn from, and those that centres are searched on,
        beside the kept colours.
    kept : ndarray, (m, channels), float64
        Colours that are centres as they are; m may be 0.
    n_clusters, init, max_iter, seed
        As for `fit`, with no more clusters than colours.
    limit : float
        Squared shift of the centres at which a run on all colours stops.
    n_runs, n_kept : int
        Short runs, and the most of them that are improved.
    """

    seeds: PointSet
    coarse: PointSet
    kept: Floats
    n_clusters: int
    init: str
    max_iter: int
    seed: int
    limit: float
    n_runs: int
    n_kept: int

    @classmethod
    def plan(
        cls,
        histogram: ColorHistogram,
        n_clusters: int,
        init: str,
        n_init: int | None,
        max_iter: int,
        tol: float,
        seed: int,
        keep: Floats | None = None,
    ) -> Search:
        """Choose the points and the number of runs; parameters are as for `fit`."""
        n_clusters, kept = _feasible(histogram, n_clusters, keep)
        levels = levels_of(histogram)
        coarse = level_of(histogram, levels, _n_points(n_clusters))
        distances = coarse.size * n_clusters
        n_runs = min(max(1, _SHORT_DISTANCES // distances), _SHORT_RUNS)
        return cls(
            levels[first_with(levels, _SEED_POINTS * n_clusters)],
            beside(coarse, kept),
            kept,
            n_clusters,
            init,
            max_iter,
            seed,
            limit=tol * levels[-1].variance(),
            n_runs=max(n_runs, n_init or 1),
            n_kept=n_init or max(1, min(_KEPT, _KEPT_DISTANCES // distances)),
        )

    def run(self, part: int, parts: int) -> list[Fit]:
        """Do every `parts`-th of the short runs, from that number on."""
        found = []
        for number in range(part, self.n_runs, parts):
            rng = np.random.default_rng([self.seed, number])
            start = _seed_centers(self.seeds, self.kept, self.n_clusters, self.init, rng)
            short = min(_SHORT_ITER, self.max_iter)
            found.append(_run(self.coarse, start, short, self.limit * _COARSE_TOL))
        return found

    def choose(self, found: list[list[Fit]]) -> list[Fit]:
        """Choose the best that are no repetitions of better ones, as their inertia tells."""
        chosen: list[Fit] = []
        for each in sorted(itertools.chain(*found), key=_rank):
            is_new = not chosen or each.inertia > chosen[-1].inertia * _SAME
            if is_new and len(chosen) < self.n_kept:
                chosen.append(each)
        return chosen

    def improve(self, chosen: list[Fit], part: int, parts: int) -> list[Fit]:
        """Move centres of every `parts`-th, from that number on, to where they help more.

        They stay as they are if there is too much to do.
        """
        k, mine = self.n_clusters, chosen[part::parts]
        if self.coarse.size * k > _BREATH_DISTANCES or k > _BREATH_CLUSTERS:
            return mine
        return [_breathe(self.coarse, self.kept, f, self.max_iter, self.limit) for f in mine]

    def finish(self, histogram: ColorHistogram, found: list[list[Fit]]) -> Fit:
        """Refine the best on finer levels, and at last on all colours."""
        levels = levels_of(histogram)
        finer = first_with(levels, _n_points(self.n_clusters))
        best = min(itertools.chain(*found), key=_rank)
        for level in levels[finer:-1]:
            level = beside(level, self.kept)
            best = _run(level, best.centers, self.max_iter, self.limit * _COARSE_TOL)
        return _settle(levels[-1], self.kept, best.centers, self.max_iter, self.limit)


def _rank(fit: Fit) -> tuple[float, bytes]:
    """Order fits: the better first, and equals the same way whichever task made them."""
    return fit.inertia, fit.centers.tobytes()


def _n_points(n_clusters: int) -> int:
    """Tell how many points so many centres are searched on."""
    return max(_LEAST_POINTS, _SEARCH_POINTS * n_clusters)


def _seed_centers(
    level: PointSet, kept: Floats, n_clusters: int, init: str, rng: np.random.Generator
) -> Floats:
    """Draw the centres that are not kept."""
    points, weights = level.points, level.weights
    n_drawn = n_clusters - len(kept)
    if init == "random" or len(points) * n_clusters > _SEEDING_DISTANCES:
        chance = weights / weights.sum()
        return points[rng.choice(len(points), n_drawn, replace=False, p=chance)]
    trials = 2 + int(np.log(n_clusters))  # as in scikit-learn
    chosen = np.empty(n_drawn, np.int64)
    kernels.plus_plus(points, weights, rng.random((n_drawn, trials)), kept, chosen)
    return points[chosen]


def _breathe(level: PointSet, kept: Floats, best: Fit, max_iter: int, limit: float) -> Fit:
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
        more = _run(level, np.vstack([best.centers, added]), min(_IN_ITER, max_iter), limit)
        fewer = _merged(more.centers, level.gather(more.centers).masses, kept, moved)
        found = _run(level, fewer, min(_OUT_ITER, max_iter), limit)
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


def _run(level: PointSet, centers: Floats, max_iter: int, limit: float) -> Fit:
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
