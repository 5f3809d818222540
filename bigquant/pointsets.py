"""What the fit runs on: weighted points, from the means of coarse bins to all colours.

8-bit RGB with whole counts stands in a `ColorTree`, where sums are exact and most colours
need no look; points of any other kind are compared with every centre.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bigquant import kernels
from bigquant.colorcounts import ColorHistogram
from bigquant.colortree import ColorTree, gather_means
from bigquant.nearest import assign, nearest_of_all

Floats = NDArray[np.float64]

#: Depths of a tree that are levels; bits per channel of the bins of other points, and up to
#: how many points there are none.
_DEPTHS = (4, 5, 6)
_BITS = (5, 6)
_FEW_POINTS = 4096


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is nearest to each of k centres, summed up.

    Parameters
    ----------
    masses : ndarray, (k,), float64
        Sum of the weights.
    means : ndarray, (k, channels), float64
        Weighted mean; meaningless where the mass is 0.
    inertia : float
        Sum of weight x squared distance to these means.
    """

    masses: Floats
    means: Floats
    inertia: float


class PointSet(Protocol):
    """Weighted points, and what k-means asks of them."""

    @property
    def size(self) -> int:
        """Number of points."""

    @property
    def points(self) -> Floats:
        """The points, (n, channels)."""

    @property
    def weights(self) -> Floats:
        """Their weights, (n,)."""

    def variance(self) -> float:
        """Mean over the channels of the weighted variance."""

    def gather(self, centers: Floats) -> Gathered:
        """Sum up what is nearest to each centre."""

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Label every point with its nearest centre, and tell its squared distance."""

    def inertia(self, centers: Floats) -> float:
        """Sum weight x squared distance to the nearest centre."""


def levels_of(histogram: ColorHistogram) -> list[PointSet]:
    """List the levels that a fit climbs: means of coarse bins, of finer bins, all colours."""
    levels: list[PointSet] = []
    everything: PointSet
    if histogram.tree is not None:
        tree = histogram.tree
        levels = [Cubes(tree.moments[tree.depths == depth]) for depth in _DEPTHS]
        everything = TreeColors(tree)
    else:
        points, weights = histogram.colors, histogram.counts
        everything = Points(points.astype(np.float64), weights.astype(np.float64))
        if len(points) > _FEW_POINTS and points.shape[1] <= 3:
            levels = [_bin_means(everything, bits) for bits in _BITS]
    return [*(level for level in levels if level.size <= everything.size // 2), everything]


def level_of(histogram: ColorHistogram, levels: list[PointSet], n_points: int) -> PointSet:
    """Make the coarsest level of so many points.

    Between two depths of a tree those cubes are divided whose colours vary most.
    """
    finer = first_with(levels, n_points)
    level, tree = levels[finer], histogram.tree
    if tree is None or not isinstance(level, Cubes) or not finer:
        return level
    return Cubes(divide(tree, _DEPTHS[finer - 1], n_points))


def first_with(levels: list[PointSet], n_points: int) -> int:
    """Find the coarsest level of at least so many points; the last where none has."""
    enough = (number for number, level in enumerate(levels) if level.size >= n_points)
    return next(enough, len(levels) - 1)


def divide(tree: ColorTree, depth: int, n_points: int) -> NDArray[np.int64]:
    """Choose cubes of a depth, and of the next where colours vary most; their moments."""
    is_parent, is_child = tree.depths == depth, tree.depths == depth + 1
    parent = np.cumsum(is_parent) - 1  # of a child: the last before it
    own = tree.moments[is_parent].astype(np.float64)
    spread = own[:, 4] - (own[:, 1:4] ** 2).sum(axis=1) / own[:, 0]
    order = np.argsort(-spread, kind="stable")
    gained = np.bincount(parent[is_child], minlength=len(own)) - 1
    enough = np.searchsorted(len(own) + np.cumsum(gained[order]), n_points) + 1
    is_divided = np.zeros(len(own), np.bool_)
    is_divided[order[:enough]] = True
    chosen = np.where(is_parent, ~is_divided[parent], is_child & is_divided[parent])
    moments: NDArray[np.int64] = tree.moments[chosen]
    return moments


@dataclass(frozen=True, eq=False)
class Points:
    """Any points, (n, channels) and (n,)."""

    points: Floats
    weights: Floats

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return len(self.points)

    def variance(self) -> float:  # noqa: D102
        total = self.weights.sum()
        variances = []
        for column in self.points.T:
            mean = kernels.weighted_sum(self.weights, column) / total
            variances.append(kernels.weighted_sum(self.weights, (column - mean) ** 2) / total)
        return float(np.mean(variances))

    def gather(self, centers: Floats) -> Gathered:  # noqa: D102
        labels, distances = self.assign(centers)
        sums, masses = np.empty_like(centers), np.empty(len(centers))
        kernels.accumulate(self.points, self.weights, labels, sums, masses)
        means = sums / np.where(masses, masses, 1)[:, None]
        gained = masses * ((means - centers) ** 2).sum(axis=1)
        total = kernels.weighted_sum(self.weights, distances)
        return Gathered(masses, means, max(0.0, total - float(gained.sum())))

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:  # noqa: D102
        return assign(self.points, centers)

    def inertia(self, centers: Floats) -> float:  # noqa: D102
        return kernels.weighted_sum(self.weights, self.assign(centers)[1])


@dataclass(frozen=True, eq=False)
class Cubes:
    """The means of the cubes of one depth of a tree, by their moments."""

    moments: NDArray[np.int64]

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return len(self.moments)

    @functools.cached_property
    def points(self) -> Floats:  # noqa: D102
        return self.moments[:, 1:4] / self.weights[:, None]

    @functools.cached_property
    def weights(self) -> Floats:  # noqa: D102
        return self.moments[:, 0].astype(np.float64)

    def variance(self) -> float:  # noqa: D102
        return _variance(self.moments)

    def gather(self, centers: Floats) -> Gathered:  # noqa: D102
        masses, means = np.empty(len(centers)), np.empty_like(centers)
        inertia = gather_means(self._singles, self.moments, centers, masses, means)
        return Gathered(masses, means, inertia)

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Single precision does: these centres are where finer levels start."""
        labels, distances = np.empty(self.size, np.int32), np.empty(self.size, np.float32)
        nearest_of_all(self._singles, centers.astype(np.float32), labels, distances)
        return labels, distances.astype(np.float64)

    @functools.cached_property
    def _singles(self) -> NDArray[np.float32]:
        return self.points.astype(np.float32)

    def inertia(self, centers: Floats) -> float:  # noqa: D102
        return kernels.weighted_sum(self.weights, self.assign(centers)[1])


@dataclass(frozen=True, eq=False)
class TreeColors:
    """All the colours of a tree."""

    tree: ColorTree

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return len(self.tree.colors)

    @functools.cached_property
    def points(self) -> Floats:  # noqa: D102
        return self.tree.colors.astype(np.float64)

    @functools.cached_property
    def weights(self) -> Floats:  # noqa: D102
        return self.tree.counts.astype(np.float64)

    def variance(self) -> float:  # noqa: D102
        return _variance(self.tree.moments[self.tree.depths == 1])

    def gather(self, centers: Floats) -> Gathered:  # noqa: D102
        moments = self.tree.gather(centers).astype(np.float64)
        masses, sums = moments[:, 0], moments[:, 1:4]
        means = sums / np.maximum(masses, 1)[:, None]
        inertia = float(moments[:, 4].sum() - (sums * means).sum())
        return Gathered(masses, means, max(0.0, inertia))

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:  # noqa: D102
        return assign(self.tree.colors, centers)

    def inertia(self, centers: Floats) -> float:  # noqa: D102
        total = 0.0
        moments = self.tree.gather(centers).tolist()
        for (count, *sums, squares), center in zip(moments, centers.tolist(), strict=True):
            if count:  # in whole numbers: no error where there is none
                around_mean = (count * squares - sum(s * s for s in sums)) / count
                shifts = (c - s / count for s, c in zip(sums, center, strict=True))
                total += around_mean + count * sum(d * d for d in shifts)
        return total


@dataclass(frozen=True, eq=False)
class BesideKept:
    """Points that kept colours share with the centres, (m, channels), which alone are given.

    A point nearest to a kept colour is its own, also if a centre is as near. Labels count
    the kept colours first.
    """

    level: PointSet
    kept: Floats

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return self.level.size

    @property
    def points(self) -> Floats:  # noqa: D102
        return self.level.points

    @property
    def weights(self) -> Floats:  # noqa: D102
        return self.level.weights

    def variance(self) -> float:  # noqa: D102
        return self.level.variance()

    def gather(self, centers: Floats) -> Gathered:
        """Sum up what the centres have; the inertia is that of all points.

        It is taken around the means of the centres, but around kept colours themselves.
        """
        m = len(self.kept)
        found = self.level.gather(np.vstack([self.kept, centers]))
        shifts = ((found.means[:m] - self.kept) ** 2).sum(axis=1)
        inertia = found.inertia + float((found.masses[:m] * shifts).sum())
        return Gathered(found.masses[m:], found.means[m:], inertia)

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:  # noqa: D102
        return self.level.assign(np.vstack([self.kept, centers]))

    def inertia(self, centers: Floats) -> float:  # noqa: D102
        return self.level.inertia(np.vstack([self.kept, centers]))


def beside(level: PointSet, kept: Floats) -> PointSet:
    """Put kept colours, if there are any, beside the centres of a level."""
    return BesideKept(level, kept) if len(kept) else level


def _variance(moments: NDArray[np.int64]) -> float:
    count, *sums, squares = moments.sum(axis=0).tolist()
    return float((count * squares - sum(s * s for s in sums)) / (3 * count**2))


def _bin_means(points: Points, bits: int) -> Points:
    """Average the points in every occupied bin of a grid of 2**bits a channel.

    The grid spans the values that occur, so it suits any range.
    """
    bins = np.zeros(points.size, np.int64)
    for column in points.points.T:
        low, high = float(column.min()), float(column.max())
        scale = (1 << bits) / (high - low) * (1 - 1e-12) if high > low else 0.0
        bins = (bins << bits) | ((column - low) * scale).astype(np.int64)
    masses = np.bincount(bins, weights=points.weights)
    occupied = np.flatnonzero(masses)
    sums = [np.bincount(bins, points.weights * column)[occupied] for column in points.points.T]
    kept = masses[occupied].astype(np.float64)
    return Points(np.stack(sums, axis=1) / kept[:, None], kept)
