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
#: Points that are held against all centres together; they fit the innermost cache.
_BATCH = 256


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
        nearest_of_all(colors, centers, labels, distances)
    return labels, distances


@jit
def nearest_of_all(
    points: NDArray[Any],  # IN  (n, channels), any real type
    centers: NDArray[Any],  # IN  (k, channels), floats of the precision to compute in
    labels: NDArray[np.int32],  # OUT (n,)
    distances: NDArray[Any],  # OUT (n,) squared, of the type of the centres
) -> None:
    """Find each point's nearest centre; of equally near ones the lowest index.

    Some points at a time, a channel beside the other, are held against one centre after the
    other: so the processor takes several of them with each instruction.
    """
    n, channels = points.shape
    columns = np.zeros((channels, _BATCH), centers.dtype)
    nearest, closest = np.empty(_BATCH, np.int32), np.empty(_BATCH, centers.dtype)
    apart = np.empty(_BATCH, centers.dtype)
    for start in range(0, n, _BATCH):
        size = min(_BATCH, n - start)
        for i in range(size):
            for channel in range(channels):
                columns[channel, i] = points[start + i, channel]
        nearest[:], closest[:] = 0, np.inf
        for j in range(centers.shape[0]):
            if channels == 3:
                _hold_rgb_against(columns, centers[j], j, nearest, closest)
            else:
                _hold_against(columns, centers[j], j, apart, nearest, closest)
        labels[start : start + size] = nearest[:size]
        distances[start : start + size] = closest[:size]


@jit
def _hold_rgb_against(
    columns: NDArray[Any],
    center: NDArray[Any],
    j: int,
    labels: NDArray[np.int32],
    distances: NDArray[Any],
) -> None:
    """Label the points that are nearer to centre j than to those before; without a branch."""
    reds, greens, blues = columns[0], columns[1], columns[2]
    r, g, b = center[0], center[1], center[2]
    for i in range(labels.size):
        dr, dg, db = reds[i] - r, greens[i] - g, blues[i] - b
        d = dr * dr + dg * dg + db * db
        label, distance = labels[i], distances[i]
        labels[i] = j if d < distance else label
        distances[i] = d if d < distance else distance


@jit
def _hold_against(
    columns: NDArray[Any],
    center: NDArray[Any],
    j: int,
    apart: NDArray[Any],  # room for distances
    labels: NDArray[np.int32],
    distances: NDArray[Any],
) -> None:
    """Do the same in any number of channels."""
    apart[:] = 0
    for channel in range(columns.shape[0]):
        column = columns[channel]
        for i in range(labels.size):
            delta = column[i] - center[channel]
            apart[i] += delta * delta
    for i in range(labels.size):
        label, distance, d = labels[i], distances[i], apart[i]
        labels[i] = j if d < distance else label
        distances[i] = d if d < distance else distance


@jit
def narrow(
    centers: NDArray[np.float64],  # IN  (k, 3)
    candidates: NDArray[np.int32],  # IN  ascending
    n: int,  # how many of them count
    corner: Any,  # (3,)
    reach: int,  # the cube lies between corner and corner + reach
    kept: NDArray[np.int32],  # OUT ascending
) -> int:
    """Keep the candidates that may be nearest to a point of a cube, and tell how many.

    One that is farther from every point of the cube than the centre nearest to the cube's
    middle is struck: it suffices to look at the corner of the cube that lies farthest in its
    direction (Kanungo et al., "An efficient k-means clustering algorithm", 2002, section 2).
    """
    r0, g0, b0 = np.float64(corner[0]), np.float64(corner[1]), np.float64(corner[2])
    half = 0.5 * reach
    best, nearest = np.inf, 0
    for i in range(n):
        j = candidates[i]
        dr, dg, db = centers[j, 0] - r0 - half, centers[j, 1] - g0 - half, centers[j, 2] - b0 - half
        d = dr * dr + dg * dg + db * db
        if d < best:
            best, nearest = d, j
    nr, ng, nb = centers[nearest, 0], centers[nearest, 1], centers[nearest, 2]
    n_kept = 0
    for i in range(n):
        j = candidates[i]
        cr, cg, cb = centers[j, 0], centers[j, 1], centers[j, 2]
        vr = r0 + reach if cr > nr else r0
        vg = g0 + reach if cg > ng else g0
        vb = b0 + reach if cb > nb else b0
        own = (vr - cr) ** 2 + (vg - cg) ** 2 + (vb - cb) ** 2
        bound = (vr - nr) ** 2 + (vg - ng) ** 2 + (vb - nb) ** 2
        if own <= bound + 1e-9 * (1.0 + bound):  # rounding must not strike a tie
            kept[n_kept] = j
            n_kept += 1
    return n_kept


@jit
def nearest_candidate(
    r: float,
    g: float,
    b: float,
    centers: NDArray[np.float64],  # IN  (k, 3)
    candidates: NDArray[np.int32],  # IN  ascending
    n: int,  # how many of them count
) -> int:
    """Find a point's nearest centre; of equally near ones the lowest index."""
    best, label = np.inf, 0
    for i in range(n):
        j = candidates[i]
        dr, dg, db = r - centers[j, 0], g - centers[j, 1], b - centers[j, 2]
        d = dr * dr + dg * dg + db * db
        if d < best:
            best, label = d, j
    return label


@jit
def _part(corner: Any, number: int, bits: int, side: int) -> tuple[int, int, int]:
    """Find the corner of a numbered part of a cube, cut into 2**bits parts of `side` an axis."""
    last = (1 << bits) - 1
    return (
        corner[0] + (number >> (2 * bits)) * side,
        corner[1] + ((number >> bits) & last) * side,
        corner[2] + (number & last) * side,
    )


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
        corner = _part((0, 0, 0), cube, 3, 32)
        n_coarse = narrow(centers, everyone, k, corner, 32, coarse)
        for part in range(4**3):
            low = _part(corner, part, 2, CELL)
            n_fine = narrow(centers, coarse, n_coarse, low, CELL, fine)
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
        r, g, b = float(colors[i, 0]), float(colors[i, 1]), float(colors[i, 2])
        cell = ((np.int64(r) >> 3) * 32 + (np.int64(g) >> 3)) * 32 + (np.int64(b) >> 3)
        candidates = ids[starts[cell] : starts[cell + 1]]
        j = nearest_candidate(r, g, b, centers, candidates, candidates.size)
        dr, dg, db = r - centers[j, 0], g - centers[j, 1], b - centers[j, 2]
        labels[i] = j
        distances[i] = dr * dr + dg * dg + db * db


@jit
def fill_table(
    centers: NDArray[np.float64],  # IN  (k, 3)
    first_label: int,
    table: NDArray[Any],  # OUT (2 ** 24,) uint8 or uint16 labels by code
) -> None:
    """Fill the table that gives every 24-bit colour the label of its nearest centre."""
    k = centers.shape[0]
    lists = np.empty((4, k), np.int32)
    lists[0] = np.arange(k)
    half = CELL // 2
    for large in range(8**3):
        corner = _part((0, 0, 0), large, 3, 32)
        n_large = narrow(centers, lists[0], k, corner, 31, lists[1])
        for cell in range(4**3):
            low = _part(corner, cell, 2, CELL)
            n_cell = narrow(centers, lists[1], n_large, low, CELL - 1, lists[2])
            if n_cell == 1:
                _fill_cube(centers, lists[2], 1, low, CELL, first_label, table)
                continue
            for part in range(2**3):
                lowest = _part(low, part, 1, half)
                n = narrow(centers, lists[2], n_cell, lowest, half - 1, lists[3])
                _fill_cube(centers, lists[3], n, lowest, half, first_label, table)


@jit
def _fill_cube(
    centers: NDArray[np.float64],
    candidates: NDArray[np.int32],
    n: int,
    corner: tuple[int, int, int],
    side: int,
    first_label: int,
    table: NDArray[Any],
) -> None:
    label = candidates[0]
    for r in range(corner[0], corner[0] + side):
        for g in range(corner[1], corner[1] + side):
            for b in range(corner[2], corner[2] + side):
                if n > 1:
                    label = nearest_candidate(float(r), float(g), float(b), centers, candidates, n)
                table[(r << 16) | (g << 8) | b] = label + first_label
