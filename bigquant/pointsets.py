"""What the fit runs on: weighted points.

8-bit RGB with whole counts stands in a `ColorTree`, where sums are exact and most colours
need no look, and bins in a `BinTree`; points of any other kind are compared with every centre.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bigquant import kernels
from bigquant.bintree import BinTree
from bigquant.colortree import ColorTree, gather_means
from bigquant.nearest import assign, nearest_of_all

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, eq=False)
class Points:
    """Any points, (n, channels) and (n,)."""

    points: Floats
    weights: Floats

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return len(self.points)

    def mean(self) -> Floats:
        """Weighted mean of all points, (channels,)."""
        sums = [kernels.weighted_sum(self.weights, column) for column in self.points.T]
        mean: Floats = np.array(sums) / self.weights.sum()
        return mean

    def variance(self) -> float:  # noqa: D102
        total = self.weights.sum()
        variances = []
        for column, mean in zip(self.points.T, self.mean(), strict=True):
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
class TreePoints:
    """All the points of a tree of boxes; what lies around each adds to the inertia."""

    tree: BinTree

    @property
    def size(self) -> int:
        """See `PointSet`, here and below."""
        return len(self.tree.points)

    @property
    def points(self) -> Floats:  # noqa: D102
        return self.tree.points

    @property
    def weights(self) -> Floats:  # noqa: D102
        return self.tree.weights

    def variance(self) -> float:  # noqa: D102
        center = Points(self.points, self.weights).mean()[None]
        return self.inertia(center) / (center.size * float(self.weights.sum()))

    def gather(self, centers: Floats) -> Gathered:  # noqa: D102
        masses, sums, inertia = self.tree.gather(centers)
        means = sums / np.where(masses, masses, 1)[:, None]
        gained = masses * ((means - centers) ** 2).sum(axis=1)
        return Gathered(masses, means, max(0.0, inertia - float(gained.sum())))

    def assign(self, centers: Floats) -> tuple[NDArray[np.int32], Floats]:  # noqa: D102
        return assign(self.tree.points, centers)

    def inertia(self, centers: Floats) -> float:  # noqa: D102
        return self.tree.gather(centers)[2]


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
