"""What a fit climbs: from the means of coarse bins over finer ones to all colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigquant.bincounts import BinnedHistogram
from bigquant.bintree import BinTree
from bigquant.colorcounts import ColorHistogram
from bigquant.colortree import ColorTree
from bigquant.pointsets import Cubes, Floats, Points, PointSet, TreeColors, TreePoints
from bigquant.spacecounts import SpaceHistogram

Histogram = ColorHistogram | BinnedHistogram | SpaceHistogram

#: Depths of a tree that are levels; bits per channel of the bins of other points, and up to
#: how many points there are none.
_DEPTHS = (4, 5, 6)
_BITS = (5, 6)
_FEW_POINTS = 4096


def levels_of(histogram: Histogram) -> list[PointSet]:
    """List the levels that a fit climbs: means of coarse bins, of finer bins, all colours."""
    levels: list[PointSet] = []
    everything: PointSet
    if isinstance(histogram, BinnedHistogram | SpaceHistogram):
        boxes = histogram.tree
        levels = [_boxes(boxes, boxes.depths == depth) for depth in range(boxes.n_depths)]
        everything = TreePoints(boxes)
    elif histogram.tree is not None:
        tree = histogram.tree
        levels = [Cubes(tree.moments[tree.depths == depth]) for depth in _DEPTHS]
        everything = TreeColors(tree)
    else:
        points, weights = histogram.colors, histogram.counts
        everything = Points(points.astype(np.float64), weights.astype(np.float64))
        if len(points) > _FEW_POINTS and points.shape[1] <= 3:
            levels = [_bin_means(everything, bits) for bits in _BITS]
    return [*(level for level in levels if level.size <= everything.size // 2), everything]


def level_of(histogram: Histogram, levels: list[PointSet], n_points: int) -> PointSet:
    """Make the coarsest level of so many points.

    Between two depths of a tree those cubes are divided whose colours vary most.
    """
    finer = first_with(levels, n_points)
    level, tree = levels[finer], histogram.tree
    if tree is None or not finer or finer == len(levels) - 1:
        return level
    if isinstance(tree, BinTree):
        return _boxes(tree, divided(tree.depths, tree.spreads, finer - 1, n_points))
    return Cubes(divide(tree, _DEPTHS[finer - 1], n_points))


def first_with(levels: list[PointSet], n_points: int) -> int:
    """Find the coarsest level of at least so many points; the last where none has."""
    enough = (number for number, level in enumerate(levels) if level.size >= n_points)
    return next(enough, len(levels) - 1)


def divide(tree: ColorTree, depth: int, n_points: int) -> NDArray[np.int64]:
    """Choose cubes of a depth, and of the next where colours vary most; their moments."""
    moments = tree.moments.astype(np.float64)
    spreads = moments[:, 4] - (moments[:, 1:4] ** 2).sum(axis=1) / moments[:, 0]
    chosen: NDArray[np.int64] = tree.moments[divided(tree.depths, spreads, depth, n_points)]
    return chosen


def divided(
    depths: NDArray[np.int64], spreads: Floats, depth: int, n_points: int
) -> NDArray[np.bool_]:
    """Choose cubes of a depth, and of the next where the spread in them is greatest."""
    is_parent, is_child = depths == depth, depths == depth + 1
    parent = np.cumsum(is_parent) - 1  # of a child: the last before it
    order = np.argsort(-spreads[is_parent], kind="stable")
    gained = np.bincount(parent[is_child], minlength=len(order)) - 1
    enough = np.searchsorted(len(order) + np.cumsum(gained[order]), n_points) + 1
    is_divided = np.zeros(len(order), np.bool_)
    is_divided[order[:enough]] = True
    chosen: NDArray[np.bool_] = np.where(
        is_parent, ~is_divided[parent], is_child & is_divided[parent]
    )
    return chosen


def _boxes(tree: BinTree, chosen: NDArray[np.bool_]) -> Points:
    """Take the means of boxes of a tree."""
    return Points(tree.means[chosen], tree.masses[chosen])


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
