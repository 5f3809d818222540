"""The loops over pixels and colours: Numba, serial, ``nogil``, one block each.

Dask owns the parallelism, so no kernel is ``parallel=True`` (inside Dask's thread pool such
kernels compete with it and can abort the process). Arrays marked OUT are filled in place.
A colour of up to three 8-bit channels has a *code*: its channels packed into one integer,
the first channel highest, so that code order is the lexicographic order of the colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

#: Colour cells are cubes of 8 x 8 x 8 codes, 32 along each axis.
CELL = 8
CELLS_PER_AXIS = 256 // CELL
#: Lists of candidates per colour cell pay from about so many distances on.
_MANY_DISTANCES = 1 << 20


def jit(function: F) -> F:
    """Compile with the one set of options that all kernels share."""
    return cast(F, numba.njit(nogil=True, cache=True)(function))


@jit
def _code(row: NDArray[np.uint8], channels: int) -> int:
    code = np.int64(row[0])
    for channel in range(1, channels):
        code = (code << 8) | np.int64(row[channel])
    return code  # type: ignore[return-value]


@jit
def count_codes(
    pixels: NDArray[np.uint8],  # IN  (rows, columns, channels [+ alpha])
    channels: int,
    table: NDArray[np.uint32],  # OUT (256 ** channels,) counts by code, added to
    pages: NDArray[np.bool_],  # OUT (256 ** (channels - 1),) which runs of 256 codes occur
) -> None:
    """Count every pixel's colour; pixels whose alpha is 0 are passed over.

    `pages` spares small blocks the walk through a table of 64 MiB.
    """
    rows, columns, depth = pixels.shape
    has_alpha = depth > channels
    for y in range(rows):
        for x in range(columns):
            if has_alpha and pixels[y, x, channels] == 0:
                continue
            code = np.int64(pixels[y, x, 0])
            if channels > 1:
                code = (code << 8) | np.int64(pixels[y, x, 1])
            if channels > 2:
                code = (code << 8) | np.int64(pixels[y, x, 2])
            table[code] += np.uint32(1)
            pages[code >> 8] = True


@jit
def count_distinct(
    table: NDArray[np.uint32],  # IN  of count_codes
    pages: NDArray[np.bool_],  # IN  of count_codes
) -> int:
    """Count the codes that occur."""
    n = 0
    for page in range(pages.size):
        if pages[page]:
            for code in range(page << 8, (page + 1) << 8):
                n += table[code] != 0
    return n


@jit
def drain_table(
    table: NDArray[np.uint32],  # IN and OUT: read, then left all zeros
    pages: NDArray[np.bool_],  # IN and OUT: read, then left all false
    colors: NDArray[np.uint8],  # OUT (n, channels), in code order
    counts: NDArray[np.uint64],  # OUT (n,)
) -> None:
    """Move the counted colours out of `table`, and leave it ready for the next block."""
    channels = colors.shape[1]
    n = 0
    for page in range(pages.size):
        if not pages[page]:
            continue
        pages[page] = False
        for code in range(page << 8, (page + 1) << 8):
            if table[code]:
                for channel in range(channels):
                    colors[n, channel] = (code >> (8 * (channels - 1 - channel))) & 255
                counts[n] = table[code]
                table[code] = 0
                n += 1


@jit
def count_union(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Count the distinct rows of two sorted colour lists ``(n, channels)``."""
    channels = a.shape[1]
    i = j = n = 0
    while i < a.shape[0] and j < b.shape[0]:
        left, right = _code(a[i], channels), _code(b[j], channels)
        i += left <= right
        j += right <= left
        n += 1
    return int(n + (a.shape[0] - i) + (b.shape[0] - j))


@jit
def merge_sorted(
    colors_a: NDArray[np.uint8],  # IN  (n_a, channels), sorted, distinct
    counts_a: NDArray[np.uint64],  # IN  (n_a,)
    colors_b: NDArray[np.uint8],  # IN  (n_b, channels), sorted, distinct
    counts_b: NDArray[np.uint64],  # IN  (n_b,)
    colors: NDArray[np.uint8],  # OUT (count_union(a, b), channels)
    counts: NDArray[np.uint64],  # OUT
) -> None:
    """Merge two sorted colour lists, adding the counts of shared colours."""
    channels = colors.shape[1]
    i = j = 0
    for n in range(colors.shape[0]):
        left = right = 1 << 40  # past every code: that list is used up
        if i < colors_a.shape[0]:
            left = _code(colors_a[i], channels)
        if j < colors_b.shape[0]:
            right = _code(colors_b[j], channels)
        total = np.uint64(0)
        code = min(left, right)
        if left == code:
            total += counts_a[i]
            i += 1
        if right == code:
            total += counts_b[j]
            j += 1
        for channel in range(channels):
            colors[n, channel] = (code >> (8 * (channels - 1 - channel))) & 255
        counts[n] = total


@jit
def nearest(
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
def accumulate(
    points: NDArray[Any],  # IN  (n, channels), any real type
    weights: NDArray[np.float64],  # IN  (n,)
    labels: NDArray[np.int32],  # IN  (n,)
    sums: NDArray[np.float64],  # OUT (k, channels)
    masses: NDArray[np.float64],  # OUT (k,)
) -> None:
    """Sum the weighted points, and the weights, of every label."""
    sums[:] = 0.0
    masses[:] = 0.0
    for i in range(points.shape[0]):
        label = labels[i]
        masses[label] += weights[i]
        for channel in range(points.shape[1]):
            sums[label, channel] += weights[i] * points[i, channel]


@jit
def _prune(
    centers: NDArray[np.float64],
    candidates: NDArray[np.int32],
    low: tuple[int, int, int],
    side: int,
    kept: NDArray[np.int32],  # OUT, first n entries
) -> int:
    """Keep the candidates that may be nearest to some integer colour of a cube.

    A centre whose nearest point of the cube is farther than another centre's farthest
    point can be struck. Returns how many are kept, in their old order.
    """
    bound = np.inf
    for n in range(candidates.size):
        far = 0.0
        for channel in range(3):
            c = centers[candidates[n], channel]
            delta = max(abs(c - low[channel]), abs(low[channel] + side - 1 - c))
            far += delta * delta
        bound = min(bound, far)
    bound += 1e-9 * (1.0 + bound)  # float centres: rounding must not strike a tie
    n_kept = 0
    for n in range(candidates.size):
        near = 0.0
        for channel in range(3):
            c = centers[candidates[n], channel]
            delta = max(low[channel] - c, c - (low[channel] + side - 1), 0.0)
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
    colors: NDArray[np.uint8],  # IN  (n, 3)
    centers: NDArray[np.float64],  # IN  (k, 3)
    starts: NDArray[np.int64],  # IN  of cell_candidates
    ids: NDArray[np.int32],  # IN  of cell_candidates
    labels: NDArray[np.int32],  # OUT (n,)
    distances: NDArray[np.float64],  # OUT (n,) squared
) -> None:
    """Do as `nearest` does, to the last bit, trying only the candidates of each cell."""
    for i in range(colors.shape[0]):
        r, g, b = np.int64(colors[i, 0]), np.int64(colors[i, 1]), np.int64(colors[i, 2])
        cell = ((r >> 3) * 32 + (g >> 3)) * 32 + (b >> 3)
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
    by_cells = colors.dtype == np.uint8 and colors.shape[1] == 3
    if by_cells and len(colors) * len(centers) > _MANY_DISTANCES:
        starts, ids = cell_candidates(centers)
        nearest_in_cells(colors, centers, starts, ids, labels, distances)
    else:
        nearest(colors.astype(np.float64), centers, labels, distances)
    return labels, distances


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


@jit
def apply_table(
    pixels: NDArray[np.uint8],  # IN  (rows, columns, channels [+ alpha])
    channels: int,
    table: NDArray[Any],  # IN  (256 ** channels,) labels by code
    labels: NDArray[Any],  # OUT (rows, columns)
) -> None:
    """Look every pixel's label up; pixels whose alpha is 0 get label 0."""
    rows, columns, depth = pixels.shape
    has_alpha = depth > channels
    for y in range(rows):
        for x in range(columns):
            code = np.int64(pixels[y, x, 0])
            if channels > 1:
                code = (code << 8) | np.int64(pixels[y, x, 1])
            if channels > 2:
                code = (code << 8) | np.int64(pixels[y, x, 2])
            labels[y, x] = table[code]
            if has_alpha and pixels[y, x, channels] == 0:
                labels[y, x] = 0


@jit
def plus_plus(
    points: NDArray[np.float64],  # IN  (n, channels)
    weights: NDArray[np.float64],  # IN  (n,)
    draws: NDArray[np.float64],  # IN  (k, trials) uniform in [0, 1)
    chosen: NDArray[np.int64],  # OUT (k,) indices of points
) -> None:
    """Choose k starting points by greedy weighted k-means++.

    Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding" (2007): a point
    is drawn with probability weight x squared distance to the nearest chosen one; of each
    draw's trials the one is kept that lowers the total most. All randomness is in `draws`.
    """
    n, channels = points.shape
    k, trials = draws.shape
    closest = np.ones(n)
    reduced, best_reduced = np.empty(n), np.empty(n)
    cumulative = np.empty(n)
    for step in range(k):
        total = 0.0
        for i in range(n):
            total += weights[i] * closest[i]
            cumulative[i] = total
        best_total = np.inf
        for trial in range(trials if step else 1):
            pick = np.searchsorted(cumulative, draws[step, trial] * total, side="right")
            pick = min(pick, n - 1)
            new_total = 0.0
            for i in range(n):
                d = 0.0
                for channel in range(channels):
                    delta = points[i, channel] - points[pick, channel]
                    d += delta * delta
                if step:
                    d = min(d, closest[i])
                reduced[i] = d
                new_total += weights[i] * d
            if new_total < best_total:
                best_total = new_total
                chosen[step] = pick
                best_reduced, reduced = reduced, best_reduced
        closest, best_reduced = best_reduced, closest
