"""The loops over pixels and colours: Numba, serial, ``nogil``, one block each.

Dask owns the parallelism, so no kernel is ``parallel=True`` (inside Dask's thread pool such
kernels compete with it and can abort the process). Arrays marked OUT are filled in place.
A colour of up to three 8-bit channels has a *code*: its channels packed into one integer,
the first channel highest, so that code order is the lexicographic order of the colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit


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
    low: NDArray[np.uint8],  # OUT (256 ** channels,) zeros before; 1 to 255 where a code occurs
    high: NDArray[np.uint32],  # OUT (256 ** channels,) zeros before; how often `low` was full
    pages: NDArray[np.bool_],  # OUT (256 ** channels / 256,) which runs of `high` are not zeros
) -> int:
    """Count every pixel's colour; pixels whose alpha is 0 are passed over.

    A code's count is ``low + 255 * high``: a table of bytes stays in the cache where one of
    wider numbers would not. Returns how many codes occur.
    """
    rows, columns, depth = pixels.shape
    has_alpha = depth > channels
    n = 0
    for y in range(rows):
        for x in range(columns):
            if has_alpha and pixels[y, x, channels] == 0:
                continue
            code = np.int64(pixels[y, x, 0])
            if channels > 1:
                code = (code << 8) | np.int64(pixels[y, x, 1])
            if channels > 2:
                code = (code << 8) | np.int64(pixels[y, x, 2])
            count = low[code]
            n += count == 0
            if count == 255:
                high[code] += np.uint32(1)
                pages[code >> 8] = True
                count = np.uint8(0)
            low[code] = count + np.uint8(1)
    return n


@jit
def drain_table(
    words: NDArray[np.uint64],  # INOUT the bytes of `low`, eight at a time
    low: NDArray[np.uint8],  # INOUT of count_codes: read, then left all zeros
    high: NDArray[np.uint32],  # INOUT of count_codes, likewise
    pages: NDArray[np.bool_],  # INOUT of count_codes, likewise
    colors: NDArray[np.uint8],  # OUT (n + 1, channels), in code order; the last is no colour
    counts: NDArray[np.uint64],  # OUT (n + 1,)
) -> None:
    """Move the counted colours out of the table, and leave it ready for the next block."""
    channels = colors.shape[1]
    n = 0
    for word in range(words.size):
        if words[word] == 0:
            continue
        full = pages[word >> 5]
        for code in range(word << 3, (word + 1) << 3):
            # written in any case, and over again unless it occurs: nobody can foretell a branch
            count = low[code]
            colors[n, channels - 1] = code & 255
            if channels > 1:
                colors[n, channels - 2] = (code >> 8) & 255
            if channels > 2:
                colors[n, 0] = code >> 16
            counts[n] = count
            if full:
                counts[n] += np.uint64(255) * high[code]
                high[code] = 0
            n += count != 0
        words[word] = 0
    pages[:] = False


@jit
def count_bits(
    bits: NDArray[Any],  # IN  (n,) uint8 or uint16
    counts: NDArray[np.uint64],  # OUT (all of that type,) zeros before
) -> None:
    """Count every value of one band."""
    for i in range(bits.size):
        counts[bits[i]] += np.uint64(1)


@jit
def merge_sorted(
    colors_a: NDArray[np.uint8],  # IN  (n_a, channels), sorted, distinct
    counts_a: NDArray[np.uint64],  # IN  (n_a,)
    colors_b: NDArray[np.uint8],  # IN  (n_b, channels), sorted, distinct
    counts_b: NDArray[np.uint64],  # IN  (n_b,)
    colors: NDArray[np.uint8],  # OUT (n_a + n_b, channels), of which the first n are filled
    counts: NDArray[np.uint64],  # OUT (n_a + n_b,)
) -> int:
    """Merge two sorted colour lists, adding the counts of shared colours. Returns n."""
    channels = colors.shape[1]
    i = j = n = 0
    past = 1 << 40  # past every code: that list is used up
    left = _code(colors_a[0], channels) if colors_a.shape[0] else past
    right = _code(colors_b[0], channels) if colors_b.shape[0] else past
    while left != past or right != past:
        code = min(left, right)
        total = np.uint64(0)
        if left == code:
            total += counts_a[i]
            i += 1
            left = _code(colors_a[i], channels) if i < colors_a.shape[0] else past
        if right == code:
            total += counts_b[j]
            j += 1
            right = _code(colors_b[j], channels) if j < colors_b.shape[0] else past
        for channel in range(channels):
            colors[n, channel] = (code >> (8 * (channels - 1 - channel))) & 255
        counts[n] = total
        n += 1
    return n


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
def tally(
    pixels: NDArray[np.uint8],  # IN  (rows, columns, channels [+ alpha])
    labels: NDArray[Any],  # IN  (rows, columns) below n
    table: NDArray[np.uint8],  # IN  (n, channels) colour of each label
    reserved: bool,  # whether pixels of label 0 are no part of the image
    counts: NDArray[np.int64],  # OUT (n,) zeros before
) -> int:
    """Count the pixels of every label; sum up the squared errors of those that are counted in.

    Pixels beside each other often have one label: each of four counts in a table of its own, so
    that none has to wait until the one before is counted.
    """
    rows, columns = labels.shape
    colors = np.zeros((table.shape[0], 3), np.int32)
    colors[:, : table.shape[1]] = table
    apart = np.zeros((4, table.shape[0]), np.int64)
    is_rgb, missed = table.shape[1] == 3, np.int64(0)
    for y in range(rows):
        for x in range(columns):
            label = np.int64(labels[y, x])
            apart[x & 3, label] += 1
            delta = np.int32(pixels[y, x, 0]) - colors[label, 0]
            error = delta * delta
            if is_rgb:
                delta = np.int32(pixels[y, x, 1]) - colors[label, 1]
                error += delta * delta
                delta = np.int32(pixels[y, x, 2]) - colors[label, 2]
                error += delta * delta
            missed += 0 if reserved and label == 0 else error
    counts += apart.sum(axis=0)
    return missed  # type: ignore[return-value]


@jit
def weighted_sum(weights: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Sum weight x value, in order: a BLAS would sum by the number of its threads."""
    total = 0.0
    for i in range(weights.size):
        total += weights[i] * values[i]
    return total


@jit
def plus_plus(
    points: NDArray[np.float64],  # IN  (n, channels)
    weights: NDArray[np.float64],  # IN  (n,)
    draws: NDArray[np.float64],  # IN  (k, trials) uniform in [0, 1)
    kept: NDArray[np.float64],  # IN  (m, channels) chosen already; m may be 0
    chosen: NDArray[np.int64],  # OUT (k,) indices of points
) -> None:
    """Choose k starting points by greedy weighted k-means++.

    Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding" (2007): a point
    is drawn with probability weight x squared distance to the nearest chosen one; of each
    draw's trials the one is kept that lowers the total most. All randomness is in `draws`.
    """
    k, trials = draws.shape
    n = weights.size
    columns = points.T.copy()  # side by side, so that several points go into one instruction
    closest = np.ones(n)
    reduced, best_reduced = np.empty(n), np.empty(n)
    cumulative = np.empty(n)
    n_kept = kept.shape[0]
    for j in range(n_kept):
        _draw_near(columns, weights, kept[j], closest, j > 0, reduced)
        closest, reduced = reduced, closest
    for step in range(k):
        total = 0.0
        for i in range(n):
            total += weights[i] * closest[i]
            cumulative[i] = total
        best_total = np.inf
        for trial in range(trials if step + n_kept else 1):
            pick = np.searchsorted(cumulative, draws[step, trial] * total, side="right")
            pick = min(pick, n - 1)
            is_near = step + n_kept > 0
            new_total = _draw_near(columns, weights, points[pick], closest, is_near, reduced)
            if new_total < best_total:
                best_total = new_total
                chosen[step] = pick
                best_reduced, reduced = reduced, best_reduced
        closest, best_reduced = best_reduced, closest


@jit
def _draw_near(
    columns: NDArray[np.float64],  # IN  (channels, n) points
    weights: NDArray[np.float64],  # IN  (n,)
    point: NDArray[np.float64],  # IN  (channels,)
    closest: NDArray[np.float64],  # IN  (n,) squared distances so far
    has_closest: bool,
    reduced: NDArray[np.float64],  # OUT (n,) the same with this point
) -> float:
    """Add a point to those that distances are measured to; tell their weighted sum."""
    reduced[:] = 0.0
    for channel in range(columns.shape[0]):
        column = columns[channel]
        for i in range(column.size):
            delta = column[i] - point[channel]
            reduced[i] += delta * delta
    if has_closest:
        for i in range(reduced.size):
            reduced[i] = min(reduced[i], closest[i])
    a = b = c = d = 0.0  # four sums, so that one addition need not wait for another
    whole = reduced.size & ~3
    for i in range(0, whole, 4):
        a += weights[i] * reduced[i]
        b += weights[i + 1] * reduced[i + 1]
        c += weights[i + 2] * reduced[i + 2]
        d += weights[i + 3] * reduced[i + 3]
    for i in range(whole, reduced.size):
        a += weights[i] * reduced[i]
    return a + b + c + d


@jit
def worst_of_each(
    labels: NDArray[np.int32],  # IN  (n,)
    missed: NDArray[np.float64],  # IN  (n,) at least 0
    worst: NDArray[np.int64],  # OUT (k,) index of each label's greatest; 0 where it has none
) -> None:
    """Find the value of every label that is greatest; of equal ones the first."""
    worst[:] = 0
    greatest = np.full(worst.size, -1.0)
    for i in range(labels.size):
        label = labels[i]
        if missed[i] > greatest[label]:
            greatest[label] = missed[i]
            worst[label] = i
