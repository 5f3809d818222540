"""Which centre is nearest to a colour: exactly, with ties to the lowest index.

Two ways to the same bits: by trying every centre, and, for RGB, by trying only those
that can be nearest to some colour of a small cell of the colour cube.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit

#: Colour cells are cubes of 8 x 8 x 8 codes, 32 along each axis.
CELL = 8
CELLS_PER_AXIS = 256 // CELL
#: Lists of candidates per colour cell pay from about so many distances on.
_MANY_DISTANCES = 1 << 23


def assign(
    colors: NDArray[Any], centers: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Find each colour's nearest centre; of equally near ones the lowest index.

    Parameters
    ----------
    colors : ndarray, (n, channels), any real type
    centers : ndarray, (k, channels), float64

    Returns
    -------
    labels : ndarray, (n,), int32
    distances : ndarray, (n,), float64
        Squared. Both are the same bits whichever kernel made them.
    """
    labels, distances = np.empty(len(colors), np.int32), np.empty(len(colors))
    many = colors.shape[1] == 3 and len(colors) * len(centers) > _MANY_DISTANCES
    if many and (colors.dtype == np.uint8 or (colors.min() >= 0 and colors.max() <= 255)):
        starts, ids = cell_candidates(centers)
        nearest_in_cells(colors, centers, starts, ids, labels, distances)
    else:
        nearest_of_all(colors.astype(np.float64), centers, labels, distances)
    return labels, distances


@jit
def nearest_of_all(
    points: NDArray[np.float64],  # IN  (n, channels)
    centers: NDArray[np.float64],  # IN  (k, channels)
    labels: NDArray[np.int32],  # OUT (n,)
    distances: NDArray[np.float64],  # OUT (n,) squared
) -> None:
    """Find each point's nearest centre; of equally near ones the lowest index."""
    for i in range(points.shape[0]):
        best = np.inf
        label = 0
        for j in range(centers.shape[0]):
            d = 0.0
            for channel in range(points.shape[1]):
                delta = points[i, channel] - centers[j, channel]
                d += delta * delta
            if d < best:
                best = d
                label = j
        labels[i] = label
        distances[i] = best


@jit
def removal_costs(
    points: NDArray[np.float64],  # IN  (n, channels)
    weights: NDArray[np.float64],  # IN  (n,)
    centers: NDArray[np.float64],  # IN  (k, channels)
    costs: NDArray[np.float64],  # OUT (k,)
) -> None:
    """Sum what the points of each centre would lose if it were taken away."""
    costs[:] = 0.0
    for i in range(points.shape[0]):
        best, second = np.inf, np.inf
        label = 0
        for j in range(centers.shape[0]):
            d = 0.0
            for channel in range(points.shape[1]):
                delta = points[i, channel] - centers[j, channel]
                d += delta * delta
            if d < best:
                best, second = d, best
                label = j
            elif d < second:
                second = d
        costs[label] += weights[i] * (second - best)


@jit
def _prune(
    centers: NDArray[np.float64],
    candidates: NDArray[np.int32],
    low: tuple[int, int, int],
    side: int,
    kept: NDArray[np.int32],  # OUT, first n entries
) -> int:
    """Keep the candidates that may be nearest to some colour of a cube.

    A centre whose nearest point of the cube is farther than another centre's farthest
    point can be struck. Returns how many are kept, in their old order.
    """
    bound = np.inf
    for n in range(candidates.size):
        far = 0.0
        for channel in range(3):
            c = centers[candidates[n], channel]
            delta = max(abs(c - low[channel]), abs(low[channel] + side - c))
            far += delta * delta
        bound = min(bound, far)
    bound += 1e-9 * (1.0 + bound)  # float centres: rounding must not strike a tie
    n_kept = 0
    for n in range(candidates.size):
        near = 0.0
        for channel in range(3):
            c = centers[candidates[n], channel]
            delta = max(low[channel] - c, c - (low[channel] + side), 0.0)
            near += delta * delta
        if near <= bound:
            kept[n_kept] = candidates[n]
            n_kept += 1
    return n_kept


@jit
def cell_candidates(
    centers: NDArray[np.float64],  # IN (k, 3) in 0..255
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """List for every colour cell the centres that may be nearest to a colour in it.

    Candidate lists per cell are the idea of inverse colour maps (S. W. Thomas, "Efficient
    inverse color map computation", Graphics Gems II, 1991). Cells are pruned from lists of
    coarse cubes of 32 codes a side, so the work grows little with k.

    Returns
    -------
    starts : (32 ** 3 + 1,) int64
        The list of cell ``(r >> 3, g >> 3, b >> 3)`` is ``ids[starts[cell]:starts[cell + 1]]``.
    ids : int32
        Centre indices, ascending within a cell.
    """
    k = centers.shape[0]
    everyone = np.arange(k).astype(np.int32)
    coarse, fine = np.empty(k, np.int32), np.empty(k, np.int32)
    lists = np.empty(CELLS_PER_AXIS**3 * 4 + k, np.int32)
    firsts = np.empty(CELLS_PER_AXIS**3, np.int64)
    sizes = np.empty(CELLS_PER_AXIS**3, np.int64)
    used = 0
    for cube in range(8**3):
        corner = ((cube >> 6) * 32, ((cube >> 3) & 7) * 32, (cube & 7) * 32)
        n_coarse = _prune(centers, everyone, corner, 32, coarse)
        for part in range(4**3):
            low = (
                corner[0] + (part >> 4) * CELL,
                corner[1] + ((part >> 2) & 3) * CELL,
                corner[2] + (part & 3) * CELL,
            )
            n_fine = _prune(centers, coarse[:n_coarse], low, CELL, fine)
            if used + n_fine > lists.size:
                grown = np.empty(2 * lists.size, np.int32)
                grown[:used] = lists[:used]
                lists = grown
            lists[used : used + n_fine] = fine[:n_fine]
            cell = ((low[0] >> 3) * 32 + (low[1] >> 3)) * 32 + (low[2] >> 3)
            firsts[cell] = used
            sizes[cell] = n_fine
            used += n_fine
    starts = np.zeros(CELLS_PER_AXIS**3 + 1, np.int64)
    starts[1:] = np.cumsum(sizes)
    ids = np.empty(used, np.int32)
    for cell in range(sizes.size):
        ids[starts[cell] : starts[cell + 1]] = lists[firsts[cell] : firsts[cell] + sizes[cell]]
    return starts, ids


@jit
def nearest_in_cells(
    colors: NDArray[Any],  # IN  (n, 3), 0 to 255, any real type
    centers: NDArray[np.float64],  # IN  (k, 3)
    starts: NDArray[np.int64],  # IN  of cell_candidates
    ids: NDArray[np.int32],  # IN  of cell_candidates
    labels: NDArray[np.int32],  # OUT (n,)
    distances: NDArray[np.float64],  # OUT (n,) squared
) -> None:
    """Do as `nearest_of_all` does, to the last bit, trying only the candidates of each cell."""
    for i in range(colors.shape[0]):
        r, g, b = colors[i, 0], colors[i, 1], colors[i, 2]
        cell = ((np.int64(r) >> 3) * 32 + (np.int64(g) >> 3)) * 32 + (np.int64(b) >> 3)
        best = np.inf
        label = 0
        for n in range(starts[cell], starts[cell + 1]):
            j = ids[n]
            dr, dg, db = r - centers[j, 0], g - centers[j, 1], b - centers[j, 2]
            d = dr * dr + dg * dg + db * db
            if d < best:
                best = d
                label = j
        labels[i] = label
        distances[i] = best


@jit
def fill_table(
    centers: NDArray[np.float64],  # IN  (k, 3)
    starts: NDArray[np.int64],  # IN  of cell_candidates
    ids: NDArray[np.int32],  # IN  of cell_candidates
    first_label: int,
    table: NDArray[Any],  # OUT (2 ** 24,) uint8 or uint16 labels by code
) -> None:
    """Fill the table that gives every 24-bit colour the label of its nearest centre."""
    for cell in range(starts.size - 1):
        r0, g0, b0 = (cell >> 10) * CELL, ((cell >> 5) & 31) * CELL, (cell & 31) * CELL
        only = starts[cell + 1] - starts[cell] == 1
        for r in range(r0, r0 + CELL):
            for g in range(g0, g0 + CELL):
                for b in range(b0, b0 + CELL):
                    label = ids[starts[cell]]
                    if not only:
                        best = np.inf
                        for n in range(starts[cell], starts[cell + 1]):
                            j = ids[n]
                            dr, dg, db = r - centers[j, 0], g - centers[j, 1], b - centers[j, 2]
                            d = dr * dr + dg * dg + db * db
                            if d < best:
                                best = d
                                label = j
                    table[(r << 16) | (g << 8) | b] = label + first_label
