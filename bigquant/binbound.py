"""What it can cost at most that all pixels of a bin go where the bin's mean goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigquant.bintree import BinTree, Floats, narrow_box, nearest_listed
from bigquant.jit import jit


def bound_cost(
    tree: BinTree, lows: Floats, highs: Floats, deviations: Floats, slack: Floats, centers: Floats
) -> float:
    """Bound the sum over all pixels of what their bin's centre costs more than their own.

    Let a bin have n pixels x with the mean m, let b be the centre nearest to m, and j another.
    With v = j - b, the pixel loses to j

        y = |x - b|**2 - |x - j|**2 = 2 (x - m) v - g,    g = |m - j|**2 - |m - b|**2 >= 0,

    and what it loses in all is at most the sum of max(0, y) over those j that are nearest to
    some point of the bin's box: none where the box is wholly that of b. Over the bin's pixels
    the mean of y is -g, and that of (x - m) v is 0, its variance by Cauchy and Schwarz no more
    than the square of the sum of |v| x standard deviation over the bands. As max(0, y) is half
    of |y| + y, and the mean of |y| at most the root of that of y**2, the mean loss is at most

        (sqrt(s**2 + g**2) - g) / 2,    s = 2 x sum of |v| x standard deviation

    (H. Scarf, "A min-max solution of an inventory problem", 1958). Where codes are rounded
    values, x is off by `slack` at most, and y by twice the sum of |v| x slack: g is taken to
    be less by that.

    Parameters
    ----------
    tree : BinTree
        Of the bins.
    lows, highs : ndarray, (n, channels), float64
        The box of each bin, in which all of its pixels lie.
    deviations : ndarray, (n, channels), float64
        Standard deviation of its pixels.
    slack : ndarray, (channels,), float64
    centers : ndarray, (k, channels), float64
    """
    reach = np.maximum((tree.points - lows).max(axis=0), (highs - tree.points).max(axis=0))
    return bound_in_boxes(
        tree.points, tree.weights, tree.depths, tree.skips, tree.firsts,
        tree.lows - reach, tree.highs + reach, tree.n_depths,
        lows, highs, deviations, slack, centers,
    )  # fmt: skip


@jit
def bound_in_boxes(
    points: Floats,  # IN  of BinTree, as are all up to `firsts`
    weights: Floats,
    depths: NDArray[np.int64],
    skips: NDArray[np.int64],
    firsts: NDArray[np.int64],
    box_lows: Floats,  # IN  (boxes, channels) around the boxes of the bins in each
    box_highs: Floats,
    n_depths: int,
    lows: Floats,  # IN  of `bound_cost`, as are all that follow
    highs: Floats,
    deviations: Floats,
    slack: Floats,
    centers: Floats,
) -> float:
    """See `bound_cost`."""
    k = centers.shape[0]
    lists = np.empty((n_depths + 2, k), np.int32)
    sizes = np.empty(n_depths + 1, np.int64)
    lists[0] = np.arange(k)
    sizes[0] = k
    own = lists[n_depths + 1]
    total = 0.0
    box = 0
    while box < depths.size:
        d = depths[box]
        n = narrow_box(centers, lists[d], sizes[d], box_lows[box], box_highs[box], lists[d + 1])
        sizes[d + 1] = n
        if n > 1 and d + 1 < n_depths:
            box += 1
            continue
        if n > 1:
            for i in range(firsts[box], firsts[skips[box]]):
                n_own = narrow_box(centers, lists[d + 1], n, lows[i], highs[i], own)
                if n_own > 1:
                    lost = _lost_at_most(points[i], deviations[i], slack, centers, own, n_own)
                    total += weights[i] * lost
        box = skips[box]
    return total


@jit
def _lost_at_most(
    mean: Floats,
    deviation: Floats,
    slack: Floats,
    centers: Floats,
    candidates: NDArray[np.int32],
    n: int,
) -> float:
    """Bound what a pixel of a bin loses, on average."""
    b, nearest = nearest_listed(mean, centers, candidates, n)
    lost = 0.0
    for i in range(n):
        j = candidates[i]
        if j == b:
            continue
        gap, spread = -nearest, 0.0
        for band in range(mean.size):
            apart = abs(centers[j, band] - centers[b, band])
            gap += (mean[band] - centers[j, band]) ** 2 - 2 * slack[band] * apart
            spread += 2 * apart * deviation[band]
        root = np.sqrt(spread * spread + gap * gap)
        lost += 0.5 * (spread * spread / (root + gap) if gap > 0 else root - gap)
    return lost
