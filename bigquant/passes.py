"""Lloyd's iteration over the pixels themselves, in passes over all blocks.

It starts from centres that are fitted to a sample, so a handful of passes does, or from those
it is given; while these move little, many iterations are made of one pass. The centres of whole
numbers are the same bits for any chunks and any number of workers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bingrid import check_reach
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.histogram import merge_blocks, merge_tree
from bigquant.iteration import Fit
from bigquant.moments import Moments
from bigquant.nearest import assign
from bigquant.parallel_fit import plan_fit
from bigquant.planes import map_pixels
from bigquant.samplecounts import Sample, SampleCounter
from bigquant.settled import Gatherer, gathering
from bigquant.watch import compute

Floats = NDArray[np.float64]

#: Passes from a start that is fitted to the sample end once one lowers the inertia by no more
#: than this part of it.
_GAIN = 2e-4
#: Sampled rows that tell how many may change their centre.
_SOME = 1 << 12
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PassFit(Fit):
    """What passes over all pixels found.

    Parameters
    ----------
    masses : ndarray, (k,), int64
        Pixels that are nearest to each centre.
    """

    masses: NDArray[np.int64]


class _Facts(NamedTuple):
    """What passes want to know of all pixels: from the sample, which itself stays where it is."""

    n_pixels: int
    squares: tuple[int, ...] | None  # None where sums are not exact
    variance: float  # of scaled values, mean over the bands
    n_centers: int
    points: Floats  # some scaled pixels
    rounding: Floats  # (channels,) shift of a centre that rounding makes


def sample_blocks(blocks: Sequence[da.Array], channels: int, seed: int) -> Delayed:
    """Plan to take a sample of pixels, in one pass.

    Parameters
    ----------
    blocks : sequence of dask.array.Array, (y, x, channel) or (n, channels)
        Of one type; a channel more than `channels` is alpha. Masked pixels do not count.
    channels, seed : int

    Returns
    -------
    Delayed
        Of a `Sample`, the same for any chunks.
    """
    counters = SampleCounter.of_shapes([block.shape for block in blocks], channels, seed)
    parts: list[Delayed] = []
    for block, counter in zip(blocks, counters, strict=True):
        found = map_pixels(
            _sample_block, block, counter, token="sample-block", dtype=object, placed=True
        )
        parts += found.to_delayed().ravel().tolist()
    return merge_tree(parts, Sample.merge)


def _sample_block(pixels: NDArray[Any], counter: SampleCounter, *place: int) -> Sample:
    return counter(pixels, *place)


def gather_blocks(
    blocks: Sequence[da.Array], channels: int, centers: Floats, factors: Floats, *, exact: bool
) -> Moments:
    """Sum up, in a pass, what is nearest to each centre (k, channels), given in scaled units.

    `exact` is for whole numbers of at most 32 bits, whose sums will not depend on the chunks.
    """
    sent = dask.delayed(centers, traverse=False)  # once to each worker, not with every task
    arguments = (channels, sent, factors, exact)
    planned = merge_blocks(blocks, _gather_block, Moments.merge, *arguments, token="gather-block")
    moments: Moments = compute(planned)[0]
    return moments


def _gather_block(
    pixels: NDArray[Any], channels: int, centers: Floats, factors: Floats, exact: bool
) -> Moments:
    return Moments.of_block(pixels, channels, centers, factors, exact=exact)


def fit_lloyd(
    blocks: Sequence[da.Array],
    sample: Delayed,
    n_clusters: int,
    *,
    channels: int,
    factors: Floats,
    init: str | Floats = "k-means++",
    n_init: int | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
    keep: Floats | None = None,
) -> PassFit:
    """Fit centres to all pixels, in as many passes as it takes.

    Parameters
    ----------
    blocks : sequence of dask.array.Array, (y, x, channel) or (n, channels)
        Of one type; a channel more than `channels` is alpha. Masked pixels do not count.
    sample : Delayed
        Of these blocks' `Sample`.
    n_clusters : int
        Fewer are fitted if the sample has fewer distinct rows.
    channels : int
    factors : ndarray, (channels,), float64
        What every band is multiplied by before distances are taken.
    init, n_init, max_iter, tol, seed
        As for `lloyd.fit`, which fits the sample where `init` is a name.
    keep : ndarray, (m, channels), float64, optional
        Distinct colours that become the first centres, as they are.

    Returns
    -------
    PassFit
        Centres as the pixels are, not scaled; the inertia is that of all pixels, in scaled units.
    """
    kept = np.empty((0, channels)) if keep is None else keep
    points = dask.delayed(Sample.scaled, pure=False, traverse=False)(sample, factors)
    facts = dask.delayed(_find_facts, pure=False, traverse=False)(sample, factors, n_clusters, kept)
    passes = _Passes(blocks, channels, factors, points, len(kept))
    if isinstance(init, str):
        choices = (init, n_init, max_iter, tol, seed, kept * factors)
        start, known = compute(plan_fit(points, n_clusters, *choices), facts)
        centers = np.vstack([kept, start.centers[len(kept) :] / factors])
        return passes.run(known, centers, max_iter, tol * known.variance, _GAIN)
    if init.shape[1] != channels:
        raise InputError(f"init has {init.shape[1]} features, the data {channels}")
    known = compute(facts)[0]
    centers = np.vstack([kept, init[: known.n_centers - len(kept)].astype(np.float64)])
    return passes.run(known, centers, max_iter, tol * known.variance, 0.0)


def _find_facts(sample: Sample, factors: Floats, n_clusters: int, kept: Floats) -> _Facts:
    if not sample.n_pixels:
        raise InputError("every row is masked: there is nothing to fit")
    check_reach(*sample.ranges.T)
    squares = sample.squares if sample.is_exact else None
    n_centers = sample.n_centers(n_clusters, kept)
    some = sample.rows[:_SOME] * factors  # they stand in an order of chance
    rounding = (squares is None) * 1e-14 * np.abs(sample.ranges).max(axis=1)
    return _Facts(sample.n_pixels, squares, sample.variance(factors), n_centers, some, rounding)


@dataclass(frozen=True, eq=False)
class _Passes:
    """Lloyd's iteration over blocks; parameters are those of `fit_lloyd`.

    `points` is the scaled sample, delayed, and the first `n_kept` centres stay as they are.
    """

    blocks: Sequence[da.Array]
    channels: int
    factors: Floats
    points: Delayed
    n_kept: int

    def run(
        self, known: _Facts, centers: Floats, max_iter: int, limit: float, gain: float
    ) -> PassFit:
        """Iterate until the centres' squared shift, summed, is at most `limit`.

        Or until the inertia falls by less than `gain` times itself. A pass tells the inertia of
        the centres that it starts from. These are returned, so no pass has to follow the last.
        """
        exact = known.squares is not None
        with gathering(
            self.blocks,
            self.channels,
            self.factors,
            exact=exact,
            points=known.points,
            n_pixels=known.n_pixels,
        ) as gatherer:
            return self._iterate(gatherer, known, centers, max_iter, limit, gain)

    def _iterate(
        self,
        gatherer: Gatherer,
        known: _Facts,
        centers: Floats,
        max_iter: int,
        limit: float,
        gain: float,
    ) -> PassFit:
        before, n_iter = np.inf, 0
        while True:
            found = gatherer.gather(centers * self.factors)
            inertia = found.inertia
            if known.squares is not None:
                inertia = found.exact_inertia(known.squares, centers, self.factors)
            _log.info("iteration %d: MSE %.6g", n_iter + 1, inertia / known.n_pixels)
            if n_iter == max_iter:
                break
            n_iter += 1
            moved, has_empty = self._moved(found, centers)
            shift = (((moved - centers) * self.factors) ** 2).sum()
            is_still = bool((np.abs(moved - centers) <= known.rounding).all())
            is_settled = shift <= limit or (gain > 0 and before - inertia < gain * inertia)
            if (is_settled or is_still) and not has_empty:
                break
            before, centers = inertia, moved
        return PassFit(centers, inertia, n_iter, found.masses)

    def _moved(self, found: Moments, centers: Floats) -> tuple[Floats, bool]:
        """Move centres to the means of what they have, empty ones to the worst-served rows."""
        moved = found.means
        moved[: self.n_kept] = centers[: self.n_kept]
        empty = np.flatnonzero(found.masses == 0)
        empty = empty[empty >= self.n_kept]
        if len(empty):
            find = dask.delayed(_worst_served, pure=False, traverse=False)
            worst = compute(find(self.points, centers * self.factors, len(empty)))[0]
            moved[empty] = worst / self.factors
        return moved, len(empty) > 0


def _worst_served(points: ColorHistogram, centers: Floats, n: int) -> Floats:
    _, distances = assign(points.colors, centers)
    worst = np.argsort(-points.counts * distances, kind="stable")
    served_worst: Floats = points.colors[worst[:n]]
    return served_worst
