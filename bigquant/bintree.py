"""Weighted points along a Z-curve as a tree of boxes, so that k-means looks at few of them.

What `ColorTree` is to 8-bit colours, for points of any scale in a few bands: boxes are those
of the points that are there, and what belongs to one centre as a whole is taken as a whole
(T. Kanungo et al., "An efficient k-means clustering algorithm: analysis and implementation",
2002). Sums are floats, but in one order, whoever counted the points, and how.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigquant.binkeys import Keys, finest
from bigquant.jit import jit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

#: How many boxes go into one of the next depth, about; and how many the first depth has.
_FANOUT, _FIRST = 4, 8


@dataclass(frozen=True, eq=False)
class BinTree:
    """Boxes in the order in which a walk from the root comes upon them.

    Parameters
    ----------
    points : ndarray, (n, channels), float64
        Those of a box side by side.
    weights : ndarray, (n,), float64
    spread : ndarray, (n,), float64
        What each point stands for lies around it: squared distances, weighted and summed.
    depths : ndarray, (boxes,), int64
        From 0 on; boxes of the last depth are not divided.
    skips : ndarray, (boxes,), int64
        Index of the first box after a box's own.
    firsts : ndarray, (boxes + 1,), int64
        Index of a box's first point.
    lows, highs : ndarray, (boxes, channels), float64
        Least and greatest values of its points.
    masses, means, spreads : ndarray, (boxes,), (boxes, channels), (boxes,), float64
        Sum of their weights, weighted mean, and squared distances to it, with those in `spread`.
    """

    points: Floats
    weights: Floats
    spread: Floats
    depths: Whole
    skips: Whole
    firsts: Whole
    lows: Floats
    highs: Floats
    masses: Floats
    means: Floats
    spreads: Floats
    _last: dict[bytes, tuple[Floats, Floats, float]] = field(default_factory=dict, init=False)

    @classmethod
    def grow(cls, keys: Keys, points: Floats, weights: Floats, spread: Floats) -> BinTree:
        """Make the tree of points (n, channels) in the order of their keys (n,)."""
        drops = _drops(keys)
        n_boxes = int(count_boxes(keys, drops))
        channels = points.shape[1]
        tree = cls(
            points, weights, spread,
            np.empty(n_boxes, np.int64), np.empty(n_boxes, np.int64),
            np.empty(n_boxes + 1, np.int64),
            np.full((n_boxes, channels), np.inf), np.full((n_boxes, channels), -np.inf),
            np.zeros(n_boxes), np.zeros((n_boxes, channels)), np.zeros(n_boxes),
        )  # fmt: skip
        lay_boxes(keys, drops, tree.depths, tree.skips, tree.firsts)
        fill_boxes(
            points, weights, spread, tree.skips, tree.firsts,
            tree.lows, tree.highs, tree.masses, tree.means, tree.spreads,
        )  # fmt: skip
        return tree

    @property
    def n_depths(self) -> int:
        """Number of depths."""
        return int(self.depths.max()) + 1

    def gather(self, centers: Floats) -> tuple[Floats, Floats, float]:
        """Sum up what is nearest to each centre; ties to the lower index.

        Parameters
        ----------
        centers : ndarray, (k, channels), float64

        Returns
        -------
        masses : ndarray, (k,)
        sums : ndarray, (k, channels)
            Of weight x point.
        inertia : float
            Of weight x squared distance to the centre, and of `spread`.
        """
        key = centers.tobytes()
        found = self._last.get(key)
        if found is None:  # who measures a fit asks what its last iteration has just found
            masses, sums = np.zeros(len(centers)), np.zeros(centers.shape)
            inertia = gather_boxes(
                self.points, self.weights, self.spread, self.depths, self.skips, self.firsts,
                self.lows, self.highs, self.masses, self.means, self.spreads,
                centers, self.n_depths, masses, sums,
            )  # fmt: skip
            found = masses, sums, inertia
            self._last.clear()
            self._last[key] = found
        return found[0].copy(), found[1].copy(), found[2]


def _drops(keys: Keys) -> Whole:
    """Choose the bits that the keys of the boxes of each depth drop, most first."""
    drops: list[int] = []
    most = len(keys) // _FANOUT
    while most >= _FIRST:
        dropped, _ = finest(keys, 0, most)
        if not drops or dropped > drops[-1]:
            drops.append(dropped)
        most //= _FANOUT
    return np.array(drops[::-1] or [finest(keys, 0, _FIRST)[0]], np.int64)


@jit
def _parting(key: int, before: int, drops: Whole) -> int:
    """Tell the depth from which on two keys lie in different boxes."""
    depth = 0
    while depth < drops.size and key >> np.uint64(drops[depth]) == before >> np.uint64(
        drops[depth]
    ):
        depth += 1
    return depth


@jit
def count_boxes(keys: Keys, drops: Whole) -> int:
    """Count the boxes of all depths."""
    n = drops.size
    for i in range(1, keys.size):
        n += drops.size - _parting(keys[i], keys[i - 1], drops)
    return n


@jit
def lay_boxes(
    keys: Keys,  # IN  ascending
    drops: Whole,  # IN  of `_drops`
    depths: Whole,  # OUT, and all that follow
    skips: Whole,
    firsts: Whole,
) -> None:
    """Lay the boxes down in the order of a walk."""
    path = np.zeros(drops.size, np.int64)  # the box of each depth we are in
    n = 0
    for i in range(keys.size):
        parting = 0 if i == 0 else _parting(keys[i], keys[i - 1], drops)
        for depth in range(parting, drops.size):
            if i:
                skips[path[depth]] = n
        for depth in range(parting, drops.size):
            path[depth] = n
            depths[n] = depth
            firsts[n] = i
            n += 1
    for depth in range(drops.size):
        skips[path[depth]] = n
    firsts[n] = keys.size


@jit
def fill_boxes(
    points: Floats,  # IN  of BinTree, as are all
    weights: Floats,
    spread: Floats,
    skips: Whole,
    firsts: Whole,
    lows: Floats,  # OUT infinite before
    highs: Floats,  # OUT likewise
    masses: Floats,  # OUT zeros before, as are all that follow
    means: Floats,
    spreads: Floats,
) -> None:
    """Find what the points of each box span, and sum them up."""
    channels = points.shape[1]
    for box in range(skips.size):
        first, last = firsts[box], firsts[skips[box]]
        for i in range(first, last):
            masses[box] += weights[i]
            for band in range(channels):
                value = points[i, band]
                lows[box, band] = min(lows[box, band], value)
                highs[box, band] = max(highs[box, band], value)
                means[box, band] += weights[i] * value
        for band in range(channels):
            means[box, band] /= masses[box]
        for i in range(first, last):
            apart = 0.0
            for band in range(channels):
                delta = points[i, band] - means[box, band]
                apart += delta * delta
            spreads[box] += spread[i] + weights[i] * apart


@jit
def narrow_box(
    centers: Floats,  # IN  (k, channels)
    candidates: NDArray[np.int32],  # IN  ascending
    n: int,  # how many of them count
    low: Floats,  # IN  (channels,) the box
    high: Floats,
    kept: NDArray[np.int32],  # OUT ascending
) -> int:
    """Keep the candidates that may be nearest to a point of a box, and tell how many.

    As `nearest.narrow` does for cubes: one that is farther from every point of the box than
    the centre nearest to the box's middle is struck.
    """
    channels = low.size
    best, nearest = np.inf, 0
    for i in range(n):
        j = candidates[i]
        d = 0.0
        for band in range(channels):
            delta = centers[j, band] - 0.5 * (low[band] + high[band])
            d += delta * delta
        if d < best:
            best, nearest = d, j
    n_kept = 0
    for i in range(n):
        j = candidates[i]
        own = bound = 0.0
        for band in range(channels):
            c, m = centers[j, band], centers[nearest, band]
            v = high[band] if c > m else low[band]
            own += (v - c) ** 2
            bound += (v - m) ** 2
        if own <= bound + 1e-9 * bound:  # rounding must not strike a tie
            kept[n_kept] = j
            n_kept += 1
    return n_kept


@jit
def nearest_listed(
    point: Floats,  # IN  (channels,)
    centers: Floats,  # IN  (k, channels)
    candidates: NDArray[np.int32],  # IN  ascending
    n: int,  # how many of them count
) -> tuple[int, float]:
    """Find a point's nearest centre, of equally near ones the lowest index; how far it is."""
    best, label = np.inf, 0
    for i in range(n):
        j = candidates[i]
        d = 0.0
        for band in range(point.size):
            delta = point[band] - centers[j, band]
            d += delta * delta
        if d < best:
            best, label = d, j
    return label, best


@jit
def gather_boxes(
    points: Floats,  # IN  of BinTree, as are all up to `spreads`
    weights: Floats,
    spread: Floats,
    depths: Whole,
    skips: Whole,
    firsts: Whole,
    lows: Floats,
    highs: Floats,
    box_masses: Floats,
    means: Floats,
    spreads: Floats,
    centers: Floats,  # IN  (k, channels)
    n_depths: int,
    masses: Floats,  # OUT (k,) zeros before
    sums: Floats,  # OUT (k, channels) zeros before
) -> float:
    """See `BinTree.gather`."""
    k, channels = centers.shape
    lists = np.empty((n_depths + 1, k), np.int32)
    sizes = np.empty(n_depths + 1, np.int64)
    lists[0] = np.arange(k)
    sizes[0] = k
    inertia = 0.0
    box = 0
    while box < depths.size:
        d = depths[box]
        n = narrow_box(centers, lists[d], sizes[d], lows[box], highs[box], lists[d + 1])
        sizes[d + 1] = n
        if n > 1 and d + 1 < n_depths:
            box += 1
            continue
        if n == 1:
            j, apart = nearest_listed(means[box], centers, lists[d + 1], 1)
            inertia += spreads[box] + box_masses[box] * apart
            masses[j] += box_masses[box]
            for band in range(channels):
                sums[j, band] += box_masses[box] * means[box, band]
        else:
            for i in range(firsts[box], firsts[skips[box]]):
                j, apart = nearest_listed(points[i], centers, lists[d + 1], n)
                inertia += spread[i] + weights[i] * apart
                masses[j] += weights[i]
                for band in range(channels):
                    sums[j, band] += weights[i] * points[i, band]
        box = skips[box]
    return inertia
