"""Make the blue noise that is shipped: ``python tests/blue_noise.py`` writes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).parents[1] / "bigquant" / "blue_noise.npy"
SIDE = 64
#: Spread of what a point weighs on those around it, in pixels: Ulichney's.
_SIGMA = 1.5


def void_and_cluster(side=SIDE):
    """Rank the places of a torus so that the first n of them are spread evenly, for every n.

    R. Ulichney, "The void-and-cluster method for dither array generation" (1993). Weights are
    whole numbers, so that sums, and which of two places weighs more, are the same everywhere.
    """
    near = np.minimum(np.arange(side), side - np.arange(side))
    squares = (near**2)[:, None] + near**2
    weights = np.rint(np.exp(-squares / (2 * _SIGMA**2)) * 2**40).astype(np.int64)

    def weigh(points):
        total = np.zeros_like(weights)
        for y, x in np.argwhere(points):
            total += np.roll(weights, (y, x), (0, 1))
        return total

    def tightest(points, total):
        return np.unravel_index(np.where(points, total, -1).argmax(), total.shape)

    def emptiest(points, total):
        return np.unravel_index(np.where(points, total.max() + 1, total).argmin(), total.shape)

    rng = np.random.default_rng(0)
    start = (rng.permutation(side * side) < side * side // 10).reshape(side, side)
    total = weigh(start)
    while True:  # points go from clusters to voids until one would come back
        cluster = tightest(start, total)
        start[cluster] = False
        total -= np.roll(weights, cluster, (0, 1))
        void = emptiest(start, total)
        start[void] = True
        total += np.roll(weights, void, (0, 1))
        if void == cluster:
            break

    ranks = np.empty((side, side), np.uint16)
    points, left = start.copy(), total.copy()
    for rank in reversed(range(start.sum())):
        place = tightest(points, left)
        points[place], ranks[place] = False, rank
        left -= np.roll(weights, place, (0, 1))
    points, left = start.copy(), total.copy()
    for rank in range(start.sum(), side * side):
        # past one half this is the tightest cluster of what is empty: all weighs the same in sum
        place = emptiest(points, left)
        points[place], ranks[place] = True, rank
        left += np.roll(weights, place, (0, 1))
    return ranks


if __name__ == "__main__":
    np.save(SHIPPED, void_and_cluster())
