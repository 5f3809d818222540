"""`BinnedHistogram`: pixels of any type in fine bins, with their counts and sums. Knows no Dask.

What has too many distinct colours to keep them all is counted in bins, of which there are at
most `MAX_BINS`. A bin knows how many pixels it has, and the exact sums of their values and
squares: around its mean nothing is lost but which of its pixels lie to either side of a border
between clusters, and `binning_bound` tells what that can cost. All sums are whole numbers, and
how fine the bins are follows from the pixels alone, so that histograms are a monoid (`create`,
`add`, `merge`): the result is the same for any chunking and any order of merging.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import binkeys
from bigquant.binbound import bound_cost
from bigquant.bingrid import Grid
from bigquant.binkeys import Bins, Keys, dropped_of
from bigquant.bintree import BinTree
from bigquant.errors import BigquantError, InputError
from bigquant.percentiles import weighted_percentiles

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

#: Bins of a histogram: as many as make k-means on their means as good as on all pixels.
MAX_BINS = 1 << 19
#: Pixels that are sorted together.
_SLICE = 1 << 22


@dataclass(frozen=True, eq=False)
class BinnedHistogram:
    """The occupied bins of a grid, and what their pixels sum up to.

    Parameters
    ----------
    grid : Grid
    dropped : int
        The last bits of a pixel's key that its bin does not tell; see `binkeys`.
    keys : ndarray, (n,), uint64
        Of the bins, ascending, without the bits that are dropped.
    counts : ndarray, (n,), int64
        Pixels of each bin.
    sums, squares : ndarray, (n, channels), int64
        Of their codes and of the squares of these, from the lowest code of the bin on.
    least, greatest : ndarray, (channels,), float64
        Values of all pixels; infinite where there are none.
    factors : ndarray, (channels,), float64
        What distances are measured in: values times these.

    Examples
    --------
    >>> grid = Grid.of_type(np.uint16, 2)
    >>> histogram = BinnedHistogram.create(grid).add(np.array([[7, 40000], [7, 40000]], "u2"))
    >>> histogram.means.tolist(), histogram.counts.tolist()
    ([[7.0, 40000.0]], [2])
    """

    grid: Grid
    dropped: int
    keys: Keys
    counts: Whole
    sums: Whole
    squares: Whole
    least: Floats
    greatest: Floats
    factors: Floats

    @classmethod
    def create(cls, grid: Grid) -> BinnedHistogram:
        """Make the empty histogram of a grid."""
        return cls(
            grid,
            0,
            *Bins.make_room(0, grid.channels),
            np.full(grid.channels, np.inf),
            np.full(grid.channels, -np.inf),
            np.ones(grid.channels),
        )

    def add(self, pixels: NDArray[Any]) -> BinnedHistogram:
        """Count the pixels of one block on top.

        Parameters
        ----------
        pixels : ndarray, (..., channels) or (..., channels + 1)
            Of the grid's type. A channel more is alpha: pixels whose alpha is 0 are not
            counted, nor are those with NaN or infinity in a band.
        """
        channels = self.grid.channels
        depth = pixels.shape[-1]
        if pixels.dtype != self.grid.dtype or depth not in (channels, channels + 1):
            raise InputError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} cannot be added to a "
                f"histogram of {channels} bands of {self.grid.dtype}"
            )
        rows = pixels.reshape(-1, depth)
        total = self
        for start in range(0, len(rows), _SLICE):
            total = total.merge(total._count(rows[start : start + _SLICE]))
        return total

    def _count(self, rows: NDArray[Any]) -> BinnedHistogram:
        """Count some pixels alone, in bins that are no finer than the histogram's."""
        grid, empty = self.grid, BinnedHistogram.create(self.grid)
        native = np.float32 if grid.dtype == np.float16 else grid.dtype.newbyteorder("=")
        rows = np.require(rows, native, ["C", "W"])  # one layout, so one compiled kernel
        pixels = np.empty(len(rows), np.uint64)
        least, greatest = empty.least.copy(), empty.greatest.copy()
        top = float((1 << grid.bits) - 1)
        spread = binkeys.spreading(grid.channels)
        n = binkeys.interleave(rows, grid.lows, grid.steps, top, spread, pixels, least, greatest)
        if not n:
            return empty
        pixels = pixels[:n]
        pixels.sort()
        dropped, n_bins = binkeys.finest(pixels, self.dropped, MAX_BINS)
        bins = Bins.make_room(n_bins, grid.channels)
        binkeys.sum_pixels(pixels, dropped, binkeys.parting(grid.channels), bins)
        return replace(empty, least=least, greatest=greatest)._with(dropped, bins)

    def _with(self, dropped: int, bins: Bins) -> BinnedHistogram:
        return replace(self, dropped=dropped, **bins._asdict())

    def merge(self, other: BinnedHistogram) -> BinnedHistogram:
        """Add what `other` has counted, on the same grid.

        The bins are the finest of which there are no more than `MAX_BINS`. Those of a part of
        the pixels are never coarser than those of the whole, so none is ever too coarse.
        """
        if not self.grid.is_same(other.grid):
            raise InputError("histograms of different types or ranges cannot be merged")
        if not len(self.keys) or not len(other.keys):
            return self if len(self.keys) else other
        bins, dropped = binkeys.merge_bins(
            self._bins, self.dropped, other._bins, other.dropped, MAX_BINS
        )
        both = replace(
            self._with(dropped, bins),
            least=np.minimum(self.least, other.least),
            greatest=np.maximum(self.greatest, other.greatest),
        )
        both._check_sums()
        return both

    def _check_sums(self) -> None:
        """Raise unless the sums of all bins are known to fit their 64 bits."""
        widest = dropped_of(self.grid.channels - 1, self.grid.channels, self.dropped)
        if int(self.counts.max()) << (2 * widest) >= 1 << 63:
            raise BigquantError(
                f"{int(self.counts.max())} pixels of one bin are too many to sum up in 64 bits: "
                "fit to a part of the image"
            )

    @property
    def _bins(self) -> Bins:
        return Bins(self.keys, self.counts, self.sums, self.squares)

    def scaled(self, factors: Any) -> BinnedHistogram:
        """Take the same pixels, but measure distances in values times `factors` (channels,)."""
        return replace(self, factors=np.array(factors, np.float64))

    @property
    def channels(self) -> int:
        """Number of bands."""
        return self.grid.channels

    @property
    def n_colors(self) -> int:
        """Number of occupied bins."""
        return len(self.keys)

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts.sum())

    @property
    def weights(self) -> Floats:
        """The pixels of each bin, (n,)."""
        return self.counts.astype(np.float64)

    @functools.cached_property
    def corners(self) -> Whole:
        """The lowest code of each bin, (n, channels)."""
        codes = np.empty((self.n_colors, self.channels), np.int64)
        whole = self.keys << np.uint64(self.dropped)
        binkeys.part_keys(whole, binkeys.parting(self.channels), codes)
        return codes

    @functools.cached_property
    def means(self) -> Floats:
        """The mean of each bin, (n, channels), in the image's units."""
        codes = self.corners + self.sums / self.counts[:, None]
        means: Floats = self.grid.lows + self.grid.steps * codes
        return means

    @property
    def points(self) -> Floats:
        """The means in scaled units."""
        return self.means * self.factors

    @property
    def spread(self) -> Floats:
        """Squared distances of the pixels of each bin to its mean, summed, (n,): scaled."""
        around: Floats = (self._scatter * (self.grid.steps * self.factors) ** 2).sum(axis=1)
        return around

    @property
    def _scatter(self) -> Floats:
        """The same by band, in codes."""
        sums = self.sums.astype(np.float64)
        around: Floats = np.maximum(self.squares - sums * sums / self.counts[:, None], 0.0)
        return around

    @functools.cached_property
    def tree(self) -> BinTree:
        """The bins as a tree of boxes, made once."""
        return BinTree.grow(self.keys, self.points, self.weights, self.spread)

    @property
    def ranges(self) -> Floats:
        """Least and greatest value of each band, (channels, 2)."""
        return np.stack([self.least, self.greatest], axis=1)

    @property
    def deviations(self) -> Floats:
        """Standard deviation of each band, (channels,), in the image's units."""
        means, n = self.means, self.n_pixels
        middle = (self.counts[:, None] * means).sum(axis=0) / n
        between = (self.counts[:, None] * (means - middle) ** 2).sum(axis=0)
        within = (self._scatter * self.grid.steps**2).sum(axis=0)
        found: Floats = np.sqrt((between + within) / n)
        return found

    def n_centers(self, most: int, kept: NDArray[Any]) -> int:
        """Count the centres that a fit of at most so many has: no more than there are bins.

        Kept colours (m, channels), in scaled units, are among them.
        """
        if self.n_colors >= most:
            return most
        return min(most, len({*map(tuple, self.points.tolist()), *map(tuple, kept.tolist())}))

    def gather_masses(self, centers: Floats) -> Whole:
        """Count the pixels of the bins whose mean is nearest to each centre, (k,)."""
        masses: Whole = self.tree.gather(centers)[0].astype(np.int64)
        return masses

    def binning_bound(self, centers: Floats) -> float:
        """Tell what it costs at most that a bin's pixels go with its mean: see `bound_cost`.

        In squared scaled units, summed over all pixels.
        """
        steps = self.grid.steps * self.factors
        slack = np.zeros(self.channels) if self.grid.is_exact else steps / 2
        low = self.grid.lows * self.factors + steps * self.corners
        bits = [dropped_of(band, self.channels, self.dropped) for band in range(self.channels)]
        high = low + steps * ((1 << np.array(bits)) - 1)
        least, greatest = self.ranges.T * self.factors
        return bound_cost(
            self.tree,
            np.maximum(low - slack, least),
            np.minimum(high + slack, greatest),
            np.sqrt(self._scatter / self.counts[:, None]) * steps,
            slack,
            centers,
        )

    def percentiles(self, q: Sequence[float]) -> Floats:
        """Find the values of each band that so many percent of the pixels do not exceed.

        By the means of the bins; (len(q), channels).
        """
        return weighted_percentiles(self.means, self.counts, q)

    def sample(self, most: int) -> tuple[Floats, Floats]:
        """Choose the means of at most so many bins that stand for all, and their weights.

        Where there are more, those of `most` pixels, taken at equal distances out of all pixels
        in the order of their bins. Nothing is left to chance.
        """
        if self.n_colors <= most:
            return self.means, self.weights
        ends = np.cumsum(self.weights)
        taken = np.searchsorted(ends, (np.arange(most) + 0.5) * (ends[-1] / most), side="right")
        chosen, counts = np.unique(taken, return_counts=True)
        return self.means[chosen], counts.astype(np.float64)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of all that a fit depends on: the same for the same pixels, however counted."""
        digest = hashlib.sha256(f"{self.grid.dtype.str} {self.grid.bits} {self.dropped}".encode())
        for each in (self.grid.lows, self.grid.steps, self.factors, self.ranges, *self._bins):
            digest.update(np.ascontiguousarray(each).data)
        return f"sha256:{digest.hexdigest()}"

    def __sizeof__(self) -> int:
        """Tell schedulers and workers what it takes to hold or to move it."""
        return object.__sizeof__(self) + sum(each.nbytes for each in self._bins)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel small: numbers as wide as they must be, and without the tree."""
        narrowed = [each.astype(np.min_scalar_type(each.max(initial=0))) for each in self._bins]
        rest = self.least, self.greatest, self.factors
        return _unpack, (self.grid, self.dropped, narrowed, rest)


def _unpack(
    grid: Grid, dropped: int, narrowed: Sequence[NDArray[Any]], rest: tuple[Floats, Floats, Floats]
) -> BinnedHistogram:
    keys, *sums = narrowed
    bins = Bins(keys.astype(np.uint64), *(each.astype(np.int64) for each in sums))
    least, greatest, factors = rest
    return BinnedHistogram(grid, dropped, *bins, least, greatest, factors)
