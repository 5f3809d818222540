"""Rows and centres -> what is nearest to each centre, summed up in one go: no label is kept.

Rows whose nearest centre may soon be another can be told apart.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit
from bigquant.rowscan import counts_in

#: Rows that are held against all centres together; they fit the innermost cache.
_BATCH = 256

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]


@jit
def gather_all(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha]), any real type
    channels: int,
    centers: Doubles,  # IN  (k, channels), scaled
    factors: Doubles,  # IN  (channels,)
    measured: bool,  # whether to tell the squared distances
    radii: Doubles,  # IN  (k,) how far each centre may move, or (0,)
    sums: NDArray[Any],  # INOUT (k + 1, channels) of the rows as they are, int64 or float64
    masses: NDArray[np.int64],  # INOUT (k + 1,) the last is of masked rows
    aside: NDArray[np.int64],  # OUT (n,) with radii: places of the rows that are set aside
) -> tuple[float, float, int]:
    """Add every row to the sum of its nearest centre; of equally near ones the lowest index.

    Some rows at a time are held against all centres in single precision, a channel beside the
    other, so that the processor takes many of them with each instruction. Where that does not
    settle it, they are held against them in double precision: what comes out is what brute
    force gives.

    With radii, rows are set aside whose nearest centre could be another once the centres have
    moved so far. Sums and masses are then twice as long, and the second halves are of these rows.

    Returns the sum of the squared distances, 0 where they are not measured, the same of the rows
    that are set aside, and the number of these.
    """
    origin, moved, halves, longest, farthest = _move(centers)
    columns = np.zeros((channels, _BATCH), np.float32)
    nearest, lead = np.empty(_BATCH, np.int32), np.empty(_BATCH, np.float32)
    held = np.empty((moved.shape[0] if radii.size else 2, _BATCH), np.float32)
    room = np.empty((4, _BATCH), np.float32)
    reaches = (radii * (1 + 1e-6)).astype(np.float32)
    inertias, n_aside, k = np.zeros(2), 0, centers.shape[0]
    for start in range(0, rows.shape[0], _BATCH):
        part = rows[start : start + _BATCH]
        _load(part, factors, origin, columns)
        _find_nearest(columns, moved, halves, longest, farthest, held, room, nearest, lead)
        if radii.size:
            _find_unsettled(columns, held, reaches, nearest, room)
        _settle(part, channels, centers, factors, lead, nearest)
        if radii.size:
            for i in range(part.shape[0]):
                is_aside = room[0, i] != 0 and nearest[i] < k
                aside[n_aside] = start + i
                n_aside += is_aside
                nearest[i] += (k + 1) * is_aside
        _add(part, nearest, sums, masses)
        if measured:
            _measure(part, centers, factors, nearest, inertias)
    return inertias[0], inertias[1], n_aside


@jit
def _move(centers: Doubles) -> tuple[Doubles, Singles, Singles, Any, Any]:
    """Move the origin to the middle of the centres, where single precision is finest.

    Returns the origin, the centres from there, half of their squared lengths, the greatest of
    these and the greatest value. Their number is made even by one that is infinitely far away.
    """
    k, channels = centers.shape
    origin = np.zeros(channels)
    for j in range(k):
        origin += centers[j] / k
    moved = np.zeros((k + k % 2, channels), np.float32)
    halves = np.full(k + k % 2, np.inf, np.float32)
    longest, farthest = np.float32(0), np.float32(0)
    for j in range(k):
        length = 0.0
        for channel in range(channels):
            value = centers[j, channel] - origin[channel]
            moved[j, channel] = value
            length += value * value
            farthest = max(farthest, abs(moved[j, channel]))
        halves[j] = length / 2
        longest = max(longest, halves[j])
    return origin, moved, halves, longest, farthest


@jit
def _load(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha])
    factors: Doubles,
    origin: Doubles,
    columns: Singles,  # OUT (channels, at least n)
) -> None:
    for i in range(rows.shape[0]):
        for channel in range(columns.shape[0]):
            columns[channel, i] = rows[i, channel] * factors[channel] - origin[channel]


@jit
def _find_nearest(
    columns: Singles,  # IN  (channels, n) points
    moved: Singles,  # IN  (k, channels) centres, an even number
    halves: Singles,  # IN  (k,) half of their squared lengths
    longest: Any,  # the greatest of these
    farthest: Any,  # the greatest value of a centre
    held: Singles,  # OUT (k, n) what is compared, or (2, n) where nobody wants it
    room: Singles,  # OUT (4, n) the least of it, the second, |x| or more, what rounding can hide
    nearest: NDArray[np.int32],  # OUT (n,)
    lead: Singles,  # OUT (n,) above 0 where that is certain
) -> None:
    """Find each point's nearest centre, and whether rounding can hide that another is nearer.

    Compared is ``c * c / 2 - x * c``, half of the squared distance but for what all have in
    common. With u = 2**-24 its error is less than ``(channels + 4) u (c * c / 2 + |x| |c|)``, by
    the sum and the rounding of all numbers in it, and the two best are apart by more than the
    errors of both if the lead is above 0. The last two terms are for the rounding of double
    precision, far out, and for numbers too small to have all their digits.
    """
    best, second, reach, hidden = room[0], room[1], room[2], room[3]
    is_kept = held.shape[0] >= moved.shape[0]
    nearest[:], best[:], second[:] = 0, np.inf, np.inf
    for j in range(0, moved.shape[0], 2):
        one, other = held[j if is_kept else 0], held[j + 1 if is_kept else 1]
        _hold_two(columns, moved[j], moved[j + 1], halves[j], halves[j + 1], one, other)
        _compare(one, other, j, nearest, best, second)
    reach[:] = 0
    for channel in range(columns.shape[0]):
        column = columns[channel]
        for i in range(_BATCH):
            reach[i] += abs(column[i])
    rounding = np.float32((columns.shape[0] + 8) * 2.0**-23)
    fine, tiny = np.float32(rounding * 2.0**-27), np.float32(1e-37)
    for i in range(_BATCH):
        r = reach[i]
        hidden[i] = rounding * (longest + r * farthest) + fine * (r * r) + tiny
        lead[i] = second[i] - best[i] - hidden[i]


@jit
def _find_unsettled(
    columns: Singles,  # IN  (channels, n) points
    held: Singles,  # INOUT (k, n) of _find_nearest
    reaches: Singles,  # IN  (k,) how far each centre may move
    nearest: NDArray[np.int32],  # IN  (n,)
    room: Singles,  # INOUT (4, n) of _find_nearest; the first is then 1 for these points, else 0
) -> None:
    """Find the points that another centre can take, and those of which that is not certain.

    Centre j can take the point of centre i if ``d_j <= d_i + r_i + r_j``. Squared distances are
    ``x * x`` and twice what is held; a millionth is what single precision rounds, sixteen times,
    so that enough remains for whoever compares distances in double precision.
    """
    slack, near, square, hidden = room[0], room[1], room[2], room[3]
    square[:] = 0
    for channel in range(columns.shape[0]):
        column = columns[channel]
        for i in range(_BATCH):
            square[i] += column[i] * column[i]
    rounding, more = np.float32((columns.shape[0] + 8) * 2.0**-23), np.float32(1 + 1e-6)
    for i in range(_BATCH):
        error = 2 * hidden[i] + rounding * square[i]
        least = max(square[i] + 2 * slack[i], np.float32(0))  # it is not yet the slack
        near[i] = more * np.sqrt(least + error)
        square[i] -= error
        slack[i] = np.inf
    for i in range(_BATCH):
        near[i] += reaches[nearest[i]]
        held[nearest[i], i] = np.inf
    for j in range(reaches.size):
        _compare_reach(held[j], square, near, reaches[j], slack)
    for i in range(_BATCH):
        slack[i] = not (slack[i] > 0 and near[i] < np.inf)


@jit
def _compare_reach(
    own: Singles,  # IN  (n,) of centre j
    square: Singles,  # IN  (n,)
    near: Singles,  # IN  (n,)
    reach: float,
    slack: Singles,  # INOUT (n,)
) -> None:
    """Keep the least of how much farther than that the squared distance is; without a branch."""
    for i in range(_BATCH):
        far = (near[i] + reach) * np.float32(1 + 1e-6)
        beyond = square[i] + 2 * own[i] - far * far
        slack[i] = beyond if beyond < slack[i] else slack[i]


@functools.partial(jit, fastmath={"contract"})
def _hold_two(
    columns: Singles,  # IN  (channels, n)
    center: Singles,  # IN  (channels,)
    center2: Singles,  # IN  (channels,)
    half: float,
    half2: float,
    one: Singles,  # OUT (n,) of the one centre
    other: Singles,  # OUT (n,) of the other
) -> None:
    """Compute half - x * c for two centres, four channels at a time: few loads and stores."""
    channels = columns.shape[0]
    for i in range(_BATCH):
        one[i], other[i] = half, half2
    whole = channels & ~3
    for at in range(0, whole, 4):
        p, q, r, s = columns[at], columns[at + 1], columns[at + 2], columns[at + 3]
        a, b, c, d = center[at], center[at + 1], center[at + 2], center[at + 3]
        e, f, g, h = center2[at], center2[at + 1], center2[at + 2], center2[at + 3]
        for i in range(_BATCH):
            w, x, y, z = p[i], q[i], r[i], s[i]
            one[i] = one[i] - w * a - x * b - y * c - z * d
            other[i] = other[i] - w * e - x * f - y * g - z * h
    for at in range(whole, channels):
        column, a, e = columns[at], center[at], center2[at]
        for i in range(_BATCH):
            w = column[i]
            one[i] = one[i] - w * a
            other[i] = other[i] - w * e


@jit
def _compare(
    one: Singles,  # IN  (n,) of centre j
    other: Singles,  # IN  (n,) of centre j + 1
    j: int,
    nearest: NDArray[np.int32],  # INOUT (n,)
    best: Singles,  # INOUT (n,)
    second: Singles,  # INOUT (n,)
) -> None:
    """Keep the two least of what there is; without a branch."""
    for i in range(_BATCH):
        d, e, b, s = one[i], other[i], best[i], second[i]
        low = e if e < d else d
        high = d if e < d else e
        label = j + 1 if e < d else j
        beaten = b if low < b else low
        high = high if high < s else s
        nearest[i] = label if low < b else nearest[i]
        best[i] = low if low < b else b
        second[i] = beaten if beaten < high else high


@jit
def _settle(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha])
    channels: int,
    centers: Doubles,
    factors: Doubles,
    lead: Singles,  # IN  (at least n,)
    nearest: NDArray[np.int32],  # INOUT (at least n,)
) -> None:
    """Decide what is not certain, and give masked rows the label k."""
    k, n = centers.shape[0], rows.shape[0]
    unsure = 0
    for i in range(_BATCH):
        unsure += not lead[i] > 0  # also NaN, of rows that have it and of what is out of range
    for i in range(n if unsure else 0):
        if not lead[i] > 0:
            row, best = rows[i], np.inf
            nearest[i] = 0 if counts_in(row, channels) else k
            for j in range(k if nearest[i] == 0 else 0):
                d = 0.0
                for channel in range(channels):
                    delta = row[channel] * factors[channel] - centers[j, channel]
                    d += delta * delta
                if d < best:
                    nearest[i], best = j, d
    if rows.shape[1] > channels:
        for i in range(n):
            if rows[i, channels] == 0:
                nearest[i] = k


@jit
def _add(
    rows: NDArray[Any], nearest: NDArray[np.int32], sums: NDArray[Any], masses: NDArray[np.int64]
) -> None:
    for i in range(rows.shape[0]):
        label = nearest[i]
        masses[label] += 1
        for channel in range(sums.shape[1]):
            sums[label, channel] += rows[i, channel]


@jit
def _measure(
    rows: NDArray[Any],
    centers: Doubles,
    factors: Doubles,
    nearest: NDArray[np.int32],
    inertias: Doubles,  # INOUT (2,) of rows, and of rows that are set aside
) -> None:
    k = centers.shape[0]
    for i in range(rows.shape[0]):
        is_aside = nearest[i] > k
        label = nearest[i] - (k + 1) * is_aside
        if label < k:
            d = 0.0
            for channel in range(factors.size):
                delta = rows[i, channel] * factors[channel] - centers[label, channel]
                d += delta * delta
            inertias[int(is_aside)] += d


@jit
def find_lifetimes(
    points: Doubles,  # IN  (n, channels), scaled
    centers: Doubles,  # IN  (k, channels), scaled
    radii: Doubles,  # IN  (k,)
    lifetimes: Doubles,  # OUT (n,)
) -> None:
    """Tell how many radii the centres can move before another is nearest to each point."""
    apart = np.empty(centers.shape[0])
    for i in range(points.shape[0]):
        nearest = 0
        for j in range(centers.shape[0]):
            d = 0.0
            for channel in range(centers.shape[1]):
                delta = points[i, channel] - centers[j, channel]
                d += delta * delta
            apart[j] = np.sqrt(d)
            if apart[j] < apart[nearest]:
                nearest = j
        lifetimes[i] = np.inf
        for j in range(centers.shape[0]):
            if j != nearest:
                lifetime = (apart[j] - apart[nearest]) / (radii[j] + radii[nearest])
                lifetimes[i] = min(lifetimes[i], lifetime)
