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
from bigquant.bincounts import BinnedHistogram
from bigquant.coarsening import Histogram, first_with, level_of, levels_of
from bigquant.errors import InputError
from bigquant.iteration import Fit, breathe, run_lloyd, settle, with_worst
from bigquant.pointsets import Floats, PointSet, beside

#: Short runs to choose starts from, as many as these distances (points x clusters) allow, and
#: at most so many.
_SHORT_DISTANCES = 5 << 17
_SHORT_RUNS = 16
#: Points for every cluster that seeds are drawn from, and that centres are searched on; on
#: fewer points in all the best centres are not the best for all colours.
_SEED_POINTS, _SEARCH_POINTS, _LEAST_POINTS = 20, 80, 2500
#: Iterations of a short run: the best are improved later.
_SHORT_ITER = 10
#: The best few of them breathe, one at least, unless there are too many distances or clusters;
#: of those whose inertia is the same but for this factor, one.
_KEPT, _KEPT_DISTANCES, _SAME = 2, 1 << 20, 1.001
#: So many times the points and distances for bins, as four bands have more places for centres;
#: but no more than these points for that reason.
_BINNED, _BINNED_POINTS = 8, 1 << 16
_BREATH_DISTANCES, _BREATH_CLUSTERS = 1 << 26, 1024
#: Beyond these distances k-means++ would take longer than the fit: starts are drawn at random.
_SEEDING_DISTANCES = 1 << 30
#: Runs on bins cost little, so they settle more finely than the run on all colours.
_COARSE_TOL = 0.1


def fit(
    histogram: Histogram,
    n_clusters: int,
    *,
    init: str | Floats = "k-means++",
    n_init: int | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
    keep: Floats | None = None,
    before: Fit | None = None,
) -> Fit:
    """Fit `n_clusters` centres to weighted colours.

    Parameters
    ----------
    histogram : ColorHistogram, BinnedHistogram or SpaceHistogram
        Distinct colours and their counts or weights; or bins, in whose scaled units centres are;
        or points of a space, which centres are, too.
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
    before : Fit, optional
        Of fewer clusters, with the same colours kept: one more start is made of its centres,
        and the inertia is no more than its. For an `init` by name.

    Raises
    ------
    InputError
        If there are no colours, or `init` has other channels than they.
    """
    if isinstance(init, str):
        choices = (init, n_init, max_iter, tol, seed, keep, before)
        search = Search.plan(histogram, n_clusters, *choices)
        chosen = search.choose(search.run(0, 1))
        return search.finish(histogram, search.improve(chosen, 0, 1))
    n_clusters, kept = _feasible(histogram, n_clusters, keep)
    if init.shape[1] != kept.shape[1]:
        raise InputError(f"init has {init.shape[1]} features, the data {kept.shape[1]}")
    everything = levels_of(histogram)[-1]
    centers = init[: n_clusters - len(kept)].astype(np.float64)
    return settle(everything, kept, centers, max_iter, tol * everything.variance())


def _feasible(histogram: Histogram, n_clusters: int, keep: Floats | None) -> tuple[int, Floats]:
    """Tell how many centres there can be, and which of them are kept colours (m, channels)."""
    if not histogram.n_colors:
        raise InputError("no row has a weight above 0: there is nothing to fit")
    kept = np.empty((0, histogram.channels)) if keep is None else keep
    return histogram.n_centers(n_clusters, kept), kept


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
    before : Fit or None
        Of fewer clusters; its centres are where the last of the short runs starts.
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
    before: Fit | None

    @classmethod
    def plan(
        cls,
        histogram: Histogram,
        n_clusters: int,
        init: str,
        n_init: int | None,
        max_iter: int,
        tol: float,
        seed: int,
        keep: Floats | None = None,
        before: Fit | None = None,
    ) -> Search:
        """Choose the points and the number of runs; parameters are as for `fit`."""
        n_clusters, kept = _feasible(histogram, n_clusters, keep)
        levels = levels_of(histogram)
        coarse = level_of(histogram, levels, _n_points(histogram, n_clusters))
        distances = max(1, coarse.size * n_clusters // _effort(histogram))
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
            n_runs=max(n_runs, n_init or 1) + (before is not None),
            n_kept=n_init or max(1, min(_KEPT * _effort(histogram), _KEPT_DISTANCES // distances)),
            before=before,
        )

    def run(self, part: int, parts: int) -> list[Fit]:
        """Do every `parts`-th of the short runs, from that number on."""
        found = []
        for number in range(part, self.n_runs, parts):
            short = min(_SHORT_ITER, self.max_iter)
            start = self._start(number)
            found.append(run_lloyd(self.coarse, start, short, self.limit * _COARSE_TOL))
        return found

    def _start(self, number: int) -> Floats:
        """Draw the centres of a start; the last has those that a fit has found before."""
        rng = np.random.default_rng([self.seed, number])
        if self.before is None or number < self.n_runs - 1:
            return _seed_centers(self.seeds, self.kept, self.n_clusters, self.init, rng)
        found = self.before.centers
        drawn = _seed_centers(self.seeds, found, self.n_clusters, self.init, rng)
        return np.vstack([found[len(self.kept) :], drawn])

    def choose(self, *found: list[Fit]) -> list[Fit]:
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
        return [breathe(self.coarse, self.kept, f, self.max_iter, self.limit) for f in mine]

    def finish(self, histogram: Histogram, *found: list[Fit]) -> Fit:
        """Refine the best on finer levels, and at last on all colours."""
        levels = levels_of(histogram)
        finer = first_with(levels, _n_points(histogram, self.n_clusters))
        best = min(itertools.chain(*found), key=_rank)
        for level in levels[finer:-1]:
            level = beside(level, self.kept)
            best = run_lloyd(level, best.centers, self.max_iter, self.limit * _COARSE_TOL)
        best = settle(levels[-1], self.kept, best.centers, self.max_iter, self.limit)
        if self.before is None or best.inertia <= self.before.inertia:
            return best
        start = with_worst(levels[-1], self.before.centers, self.n_clusters)[len(self.kept) :]
        return settle(levels[-1], self.kept, start, self.max_iter, self.limit)


def _rank(fit: Fit) -> tuple[float, bytes]:
    """Order fits: the better first, and equals the same way whichever task made them."""
    return fit.inertia, fit.centers.tobytes()


def _effort(histogram: Histogram) -> int:
    return _BINNED if isinstance(histogram, BinnedHistogram) else 1


def _n_points(histogram: Histogram, n_clusters: int) -> int:
    """Tell how many points so many centres are searched on."""
    n_points = _SEARCH_POINTS * n_clusters
    return max(_LEAST_POINTS, n_points, min(_effort(histogram) * n_points, _BINNED_POINTS))


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
