"""The nearest centre of points of up to four bands: only those near its box are tried.

Candidate lists per cell are the idea of inverse colour maps (S. W. Thomas, "Efficient inverse
color map computation", Graphics Gems II, 1991). `bigquant.nearest` has them for 8-bit RGB; here
bands may have any range, so the boxes lie where the centres do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit

#: Bands of a point; those it lacks are zeros, which changes no distance.
BANDS = 4
#: How often, and in how many, each axis is parted, for 1 to 4 bands: 1024, 64, 32, 16 cells.
_PARTINGS = {1: (16, 16, 4), 2: (4, 4, 4), 3: (2, 2, 2, 2, 2), 4: (2, 2, 2, 2)}
#: An axis is looked up in so many equal steps; a cell is a run of them, short among centres.
_STEPS = 2048
#: Steps begin so far before the first centre and end so far behind the last, in terms of the
#: extent of the centres.
_MARGIN = 0.25
#: The outermost cells reach so far beyond the steps, likewise. Farther out rounding decides
#: which centre is nearest: such points are held against all.
_REACH = 16.0
#: A cell takes over the list of a larger one once so many comparisons are spent, or so many
#: candidates listed.
_MOST_COMPARISONS, _MOST_LISTED = 1 << 28, 1 << 24


@dataclass(frozen=True, eq=False)
class Boxes:
    """Cells, and for each the centres that may be nearest to a point in it.

    Parameters
    ----------
    centers : ndarray, (k, 4), float64
    lows, scales : ndarray, (channels,), float64
        Step ``(x - low) * scale`` along an axis; the outermost cells reach beyond the steps.
    cells : ndarray, (channels, steps), int32
        What the step along an axis adds to the number of the cell.
    lists : ndarray, (cells, 2), int32
        The candidates of a cell are ``ids[first:end]``.
    ids : ndarray, int32
        Indices of centres, ascending within a list. Of equal centres only the first is listed.
    """

    centers: NDArray[np.float64]
    lows: NDArray[np.float64]
    scales: NDArray[np.float64]
    cells: NDArray[np.int32]
    lists: NDArray[np.int32]
    ids: NDArray[np.int32]

    def find(
        self,
        points: NDArray[np.float64],
        taken: NDArray[np.bool_],
        nearest: NDArray[np.int32],
    ) -> None:
        """Find the nearest centre of the points (n, 4) that are taken; others get -1."""
        _nearest_in_boxes(
            points,
            taken,
            self.centers,
            self.lows,
            self.scales,
            self.cells,
            self.lists,
            self.ids,
            nearest,
        )


def make_boxes(centers: NDArray[np.float64]) -> Boxes:
    """List the candidates of every cell.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
        Of 1 to 4 bands; they lie no farther apart, and no closer, than numbers whose fourth
        powers float64 can hold.
    """
    channels = centers.shape[1]
    extents = np.ptp(centers, axis=0)
    extents = np.maximum(extents, 1e-3 * extents.max() or 1.0)
    lows = centers.min(axis=0) - _MARGIN * extents
    scales = _STEPS / ((1 + 2 * _MARGIN) * extents)
    partings = _PARTINGS[channels]
    per_axis = int(np.prod(partings))
    # from the lows on: so rounding does not depend on where they lie
    points = np.zeros((len(centers), BANDS))
    points[:, :channels] = centers - lows
    borders = _borders(points[:, :channels] * scales, per_axis)
    edges = np.zeros((2, BANDS, per_axis))  # of no width along the axes there are not
    edges[:, :channels] = borders[:, :-1] / scales[:, None], borders[:, 1:] / scales[:, None]
    edges[0, :channels, 0] -= _REACH * extents
    edges[1, :channels, -1] += _REACH * extents
    lists, ids = _candidates(points, channels, partings, edges)
    steps = np.arange(_STEPS)
    numbers = np.stack([np.searchsorted(axis, steps, side="right") - 1 for axis in borders])
    strides = per_axis ** np.arange(channels)[::-1, None]
    padded = np.zeros_like(points)
    padded[:, :channels] = centers
    return Boxes(padded, lows, scales, (numbers * strides).astype(np.int32), lists, ids)


def _borders(places: NDArray[np.float64], per_axis: int) -> NDArray[np.int64]:
    """Part the steps of every axis into cells: half evenly, half by how many centres lie there.

    Centres crowd where the points do, and one that lies far away (a cloud over a dark sea)
    leaves few equal cells to the crowd.
    """
    evenly = np.linspace(0, 1, _STEPS + 1)
    cells = np.arange(per_axis + 1)
    shares = (np.arange(len(places)) + 0.5) / len(places)
    borders = np.empty((places.shape[1], per_axis + 1), np.int64)
    for axis, along in enumerate(np.sort(places, axis=0).T):
        before = np.interp(evenly * _STEPS, np.r_[0, along, _STEPS], np.r_[0, shares, 1])
        chosen = np.searchsorted((evenly + before) / 2, cells / per_axis)
        chosen[0], chosen[-1] = 0, _STEPS
        chosen = np.maximum.accumulate(chosen - cells) + cells  # no cell without a step
        borders[axis] = np.minimum(chosen, _STEPS - per_axis + cells)
    return borders


def _candidates(
    points: NDArray[np.float64],
    channels: int,
    partings: tuple[int, ...],
    edges: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """List the candidates of every cell, from those of larger and larger ones before."""
    ids = np.sort(np.unique(points, axis=0, return_index=True)[1]).astype(np.int32)
    lists = np.array([[0, len(ids)]], np.int32)
    reach = float(np.sqrt((np.abs(edges).max(axis=(0, 2)) ** 2).sum()))
    side, spent, used = 1, 0, len(ids)
    for parts in partings:
        run = edges.shape[2] // (side * parts)
        within = np.stack([edges[0, :, ::run], edges[1, :, run - 1 :: run]])
        lists, ids, used, spent = _refine(
            points, channels, within, reach, side, parts, lists, ids, used, spent
        )
        side *= parts
    return lists, ids[:used].copy()


@jit
def _refine(
    points: NDArray[np.float64],  # IN  (k, 4) centres
    channels: int,
    edges: NDArray[np.float64],  # IN  (2, 4, side * parts) of the smaller cells
    reach: float,
    side: int,  # larger cells along each axis
    parts: int,  # smaller cells in each of them, along each axis
    lists: NDArray[np.int32],  # IN  (side ** channels, 2)
    ids: NDArray[np.int32],  # INOUT unless it has to grow
    used: int,  # how many of the ids count
    spent: int,  # comparisons so far
) -> tuple[NDArray[np.int32], NDArray[np.int32], int, int]:
    """Go from larger cells to smaller ones; tell lists, ids, and the two numbers, anew."""
    finer = side * parts
    refined = np.empty((finer**channels, 2), np.int32)
    low, high = np.zeros(BANDS), np.zeros(BANDS)
    for cell in range(refined.shape[0]):
        larger, rest, stride = 0, cell, 1
        for band in range(channels - 1, -1, -1):
            number = rest % finer
            rest //= finer
            larger += (number // parts) * stride
            stride *= side
            low[band], high[band] = edges[0, band, number], edges[1, band, number]
        first, end = lists[larger, 0], lists[larger, 1]
        refined[cell, 0], refined[cell, 1] = first, end
        size = end - first
        if size == 1 or spent > _MOST_COMPARISONS or used + size > _MOST_LISTED:
            continue
        if used + size > ids.size:
            grown = np.empty(2 * ids.size + size, np.int32)
            grown[:used] = ids[:used]
            ids = grown
        kept = _narrow(points, ids[first:end], low, high, reach, ids[used : used + size])
        spent += size
        if kept < size:
            refined[cell, 0], refined[cell, 1] = used, used + kept
            used += kept
    return refined, ids, used, spent


@jit
def _narrow(
    points: NDArray[np.float64],  # IN  (k, 4) centres
    candidates: NDArray[np.int32],  # IN  ascending
    low: NDArray[np.float64],  # IN  (4,)
    high: NDArray[np.float64],  # IN  (4,)
    reach: float,  # no coordinate in use is farther from 0
    kept: NDArray[np.int32],  # OUT ascending
) -> int:
    """Keep the candidates that may be nearest to a point of a box, as `nearest.narrow` does.

    What is struck is farther by more than rounding can hide: a few units of 2**-53 of the
    squared distance, and as many of `reach` in where a point or a border lies.
    """
    middle = 0.5 * (low + high)
    best, nearest = np.inf, 0
    for j in candidates:
        d = 0.0
        for band in range(BANDS):
            d += (points[j, band] - middle[band]) ** 2
        if d < best:
            best, nearest = d, j
    near = points[nearest]
    farthest = 0.0
    for band in range(BANDS):
        farthest += max(high[band] - near[band], near[band] - low[band]) ** 2
    slack = 1e-12 * farthest + 1e-13 * reach * np.sqrt(farthest)
    n_kept = 0
    for j in candidates:
        ahead = 0.0
        for band in range(BANDS):
            own, other = points[j, band], near[band]
            corner = high[band] if own > other else low[band]
            ahead += (corner - own) ** 2 - (corner - other) ** 2
        if ahead <= slack:
            kept[n_kept] = j
            n_kept += 1
    return n_kept


@jit
def _nearest_in_boxes(
    points: NDArray[np.float64],  # IN  (n, 4)
    taken: NDArray[np.bool_],  # IN  (n,)
    centers: NDArray[np.float64],  # IN  (k, 4); from here on as in Boxes
    lows: NDArray[np.float64],
    scales: NDArray[np.float64],
    cells: NDArray[np.int32],
    lists: NDArray[np.int32],
    ids: NDArray[np.int32],
    nearest: NDArray[np.int32],  # OUT (n,)
) -> None:
    everyone = np.arange(centers.shape[0]).astype(np.int32)
    beyond = 0.99 * _REACH * _STEPS / (1 + 2 * _MARGIN)
    for i in range(points.shape[0]):
        if not taken[i]:
            nearest[i] = -1
            continue
        cell, inside = np.int64(0), True
        for band in range(lows.size):
            step = (points[i, band] - lows[band]) * scales[band]
            inside &= (step > -beyond) & (step < _STEPS + beyond)
            cell += cells[band, np.int64(min(max(step, 0.0), _STEPS - 1.0))]
        if not inside:
            nearest[i] = _nearest_listed(points[i], centers, everyone, 0, everyone.size)
            continue
        first, end = lists[cell, 0], lists[cell, 1]
        if end - first == 1:
            nearest[i] = ids[first]
        else:
            nearest[i] = _nearest_listed(points[i], centers, ids, first, end)


@jit
def _nearest_listed(
    point: NDArray[np.float64],  # IN  (4,)
    centers: NDArray[np.float64],  # IN  (k, 4)
    ids: NDArray[np.int32],  # IN  ascending within the list
    first: int,
    end: int,
) -> int:
    """Try the centres of a list; of equally near ones take the lowest index."""
    best, label = np.inf, ids[first]
    p, q, r, s = point[0], point[1], point[2], point[3]
    for place in range(first, end):
        j = ids[place]
        a, b, c, d = p - centers[j, 0], q - centers[j, 1], r - centers[j, 2], s - centers[j, 3]
        squared = a * a + b * b + c * c + d * d
        if squared < best:
            best, label = squared, j
    return label  # type: ignore[no-any-return]
