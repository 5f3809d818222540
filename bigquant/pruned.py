"""The nearest centre of points of many bands: those near the last point's are tried first.

Sort-means (S. J. Phillips, "Acceleration of k-means and related clustering algorithms", 2002):
neighbouring pixels mostly share their centre p, and no centre that is farther from p than a
point is from p and from its best centre together can be nearer to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit
from bigquant.nearest import nearest_of_all

#: So many pairs of centres are kept, 24 MB. With more centres only the nearest few of each are.
_MOST_PAIRS = 1 << 21
#: Centres that are held against all others at once when the pairs are made.
_CHUNK = 64
#: So many points show whether walking pays for those behind them.
_PROBE = 512
#: Trying a centre by itself takes as long as so many of all at once, for several points
#: together; and starting a point as long as trying it with two.
_DEARER, _START = 8, 2


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Centres, and for each the others by their distance to it.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
    order : ndarray, (k, few), int32
        Indices of the centres nearest to each.
    apart : ndarray, (k, few), float64
        Their squared distances to it, ascending.
    """

    centers: NDArray[np.float64]
    order: NDArray[np.int32]
    apart: NDArray[np.float64]

    def find(
        self,
        points: NDArray[np.float64],
        taken: NDArray[np.bool_],
        nearest: NDArray[np.int32],
    ) -> None:
        """Find the nearest centre of the points (n, channels) that are taken; others get -1.

        Rows of a table often stand in no order: then most centres would be tried, one by one.
        """
        k, n = len(self.centers), min(_PROBE, len(points))
        tables = self.centers, self.order, self.apart
        tried = _walk(points[:n], taken[:n], *tables, nearest[:n])
        if (tried + _START * n) * _DEARER < k * n:
            _walk(points[n:], taken[n:], *tables, nearest[n:])
        else:
            find_of_all(points[n:], taken[n:], self.centers, nearest[n:])


def find_of_all(
    points: NDArray[np.float64],
    taken: NDArray[np.bool_],
    centers: NDArray[np.float64],
    nearest: NDArray[np.int32],
) -> None:
    """Find the nearest centre of the points that are taken by trying all; others get -1."""
    nearest_of_all(points, centers, nearest, np.empty(len(points)))
    nearest[~taken] = -1


def make_neighbours(centers: NDArray[np.float64]) -> Neighbours:
    """Sort for each of the centres (k, channels) the others by distance."""
    k = len(centers)
    few = min(k, _MOST_PAIRS // k)
    order, apart = np.empty((k, few), np.int32), np.empty((k, few))
    for start in range(0, k, _CHUNK):
        some = centers[start : start + _CHUNK]
        squares = np.zeros((len(some), k))
        for own, others in zip(some.T, centers.T, strict=True):
            squares += (own[:, None] - others) ** 2
        squares[np.arange(len(some)), np.arange(start, start + len(some))] = -1.0  # the first
        nearest = np.argpartition(squares, few - 1, axis=1)[:, :few]
        distances = np.take_along_axis(squares, nearest, axis=1)
        by_distance = np.argsort(distances, axis=1)
        order[start : start + _CHUNK] = np.take_along_axis(nearest, by_distance, axis=1)
        apart[start : start + _CHUNK] = np.take_along_axis(distances, by_distance, axis=1)
    return Neighbours(centers, order, apart)


@jit
def _walk(
    points: NDArray[np.float64],  # IN  (n, channels)
    taken: NDArray[np.bool_],  # IN  (n,)
    centers: NDArray[np.float64],  # IN  (k, channels); from here on as in Neighbours
    order: NDArray[np.int32],
    apart: NDArray[np.float64],
    nearest: NDArray[np.int32],  # OUT (n,)
) -> int:
    """Walk from the last point's centre outwards; tell how many centres were tried.

    With p and b for the squared distances to it and to the best so far, a centre beyond
    ``2 (p + b) >= (sqrt(p) + sqrt(b)) ** 2`` from it is farther than the best: by the triangle
    inequality, and by far more than rounding hides.
    """
    k, few = order.shape
    last, tried = 0, 0
    for i in range(points.shape[0]):
        if not taken[i]:
            nearest[i] = -1
            continue
        point, start = points[i], last
        own = best = _squared_within(point, centers[start], np.inf)
        place = 1  # after itself
        while place < few:
            if apart[start, place] > 2.00000001 * (own + best) + 1e-300:
                break
            j = order[start, place]
            d = _squared_within(point, centers[j], best)
            if d <= best and (d < best or j < last):
                best, last = d, j
            place += 1
        tried += place - 1
        if place == few < k:
            tried += k
            for j in range(k):
                d = _squared_within(point, centers[j], best)
                if d <= best and (d < best or j < last):
                    best, last = d, j
        nearest[i] = last
    return tried


@jit
def _squared_within(point: NDArray[np.float64], center: NDArray[np.float64], most: float) -> float:
    """Compute the squared distance, or something greater than `most` if it is."""
    squared, band, whole = 0.0, 0, point.size & ~3
    while band < whole and squared <= most:
        a, b = point[band] - center[band], point[band + 1] - center[band + 1]
        c, d = point[band + 2] - center[band + 2], point[band + 3] - center[band + 3]
        squared = squared + a * a + b * b + c * c + d * d
        band += 4
    if squared <= most:
        for rest in range(whole, point.size):
            a = point[rest] - center[rest]
            squared += a * a
    return squared
