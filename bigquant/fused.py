"""Rows and centres -> what is nearest to each centre, summed up in one go: no label is kept."""

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
    sums: NDArray[Any],  # INOUT (k + 1, channels) of the rows as they are, int64 or float64
    masses: NDArray[np.int64],  # INOUT (k + 1,) the last is of masked rows
) -> float:
    """Add every row to the sum of its nearest centre; of equally near ones the lowest index.

    Some rows at a time are held against all centres in single precision, a channel beside the
    other, so that the processor takes many of them with each instruction. Where that does not
    settle it, they are held against them in double precision: what comes out is what brute
    force gives. Returns the sum of the squared distances, 0 where they are not measured.
    """
    origin, moved, halves, longest, farthest = _move(centers)
    columns = np.zeros((channels, _BATCH), np.float32)
    nearest, lead = np.empty(_BATCH, np.int32), np.empty(_BATCH, np.float32)
    room = np.empty((4, _BATCH), np.float32)
    inertia = 0.0
    for start in range(0, rows.shape[0], _BATCH):
        part = rows[start : start + _BATCH]
        _load(part, factors, origin, columns)
        _find_nearest(columns, moved, halves, longest, farthest, room, nearest, lead)
        _settle(part, channels, centers, factors, lead, nearest)
        _add(part, nearest, sums, masses)
        if measured:
            inertia += _measure(part, centers, factors, nearest)
    return inertia


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
    room: Singles,  # (4, n)
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
    best, second, one, other = room[0], room[1], room[2], room[3]
    nearest[:], best[:], second[:] = 0, np.inf, np.inf
    for j in range(0, moved.shape[0], 2):
        _hold_two(columns, moved[j], moved[j + 1], halves[j], halves[j + 1], one, other)
        _compare(one, other, j, nearest, best, second)
    reach = one
    reach[:] = 0
    for channel in range(columns.shape[0]):
        column = columns[channel]
        for i in range(_BATCH):
            reach[i] += abs(column[i])
    rounding = np.float32((columns.shape[0] + 8) * 2.0**-23)
    fine, tiny = np.float32(rounding * 2.0**-27), np.float32(1e-37)
    for i in range(_BATCH):
        r = reach[i]
        hidden = rounding * (longest + r * farthest) + fine * (r * r) + tiny
        lead[i] = second[i] - best[i] - hidden


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
    rows: NDArray[Any], centers: Doubles, factors: Doubles, nearest: NDArray[np.int32]
) -> float:
    total = 0.0
    for i in range(rows.shape[0]):
        label = nearest[i]
        if label < centers.shape[0]:
            d = 0.0
            for channel in range(factors.size):
                delta = rows[i, channel] * factors[channel] - centers[label, channel]
                d += delta * delta
            total += d
    return total
