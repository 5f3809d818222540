"""Rows of any real type and their centres: labels, squared errors.

A row is a pixel, with alpha perhaps, or a row of a table. Whatever its type, it becomes a point
first: float64, each value times its band's factor. All that follows is compiled once, and gives
the bits of brute force: ``d += t * t`` over the bands in order, ties to the lowest index.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.boxes import BANDS, make_boxes
from bigquant.jit import jit
from bigquant.pruned import find_of_all, make_neighbours

#: Rows that are labelled at once: their points stay in the second cache.
_SLICE = 1 << 13
#: Trying all centres is the fastest way with so few of them, and so few distances take less
#: time than lists of candidates do.
_FEW_CENTERS, _FEW_DISTANCES = 40, 1 << 20
#: Lists are made for up to so many centres of more than four bands: it takes k**2 distances.
_MOST_NEIGHBOURS = 1 << 13
#: Squared distances of centres are neither 0 nor infinite while these lie so far apart.
_LEAST_EXTENT, _MOST_EXTENT = 1e-140, 1e140

#: Finds the nearest centre of points (n, width) that are taken, -1 for others: points, taken,
#: nearest (n,) int32, which it fills.
Finder = Callable[[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int32]], None]

_lock = threading.Lock()


def label_rows(
    rows: NDArray[Any],
    channels: int,
    centers_scaled: NDArray[np.float64],
    factors: NDArray[np.float64],
    first_label: int,
    labels: NDArray[Any],
) -> None:
    """Give every row the label of its nearest centre.

    Parameters
    ----------
    rows : ndarray, (n, channels [+ alpha]), any real type
    channels : int
        How many values of a row are held against the centres; one more is alpha.
    centers_scaled : ndarray, (k, channels), float64
        Centres times the factors.
    factors : ndarray, (channels,), float64
    first_label : int
        Label of the first centre. It has to be 1 where rows are masked: those whose alpha is 0
        or that have a value that is not finite get label 0.
    labels : ndarray, (n,), uint8, uint16 or int32
        Filled.
    """
    for start, _, nearest in _nearest(rows, channels, centers_scaled, factors):
        np.add(nearest, first_label, out=labels[start : start + len(nearest)], casting="unsafe")


def tally_rows(
    rows: NDArray[Any],
    channels: int,
    labels: NDArray[Any],
    centers_scaled: NDArray[np.float64],
    factors: NDArray[np.float64],
    first_label: int,
    unit: float,
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Count the rows of every label, and sum up the squared errors in fixed point.

    A squared error is a whole number of units, rounded half up, so that sums of such are the
    same in any order.

    Parameters
    ----------
    rows, channels, labels, centers_scaled, factors, first_label
        As for `label_rows`. Rows of a label below `first_label` have no error.
    unit : float
        In scaled squared units; an error is less than 2**63 of it.
    counts : ndarray, (first_label + k,), int64
        The rows of every label are added to it.

    Returns
    -------
    high, low : int
        The sum is ``(high << 20) + low`` units.
    """
    high = low = 0
    centers = _padded(centers_scaled)
    for start, points, _ in _points(rows, channels, factors):
        part = labels[start : start + len(points)]
        counts += np.bincount(part, minlength=len(counts))
        nearest = part.astype(np.int32) - np.int32(first_label)
        parts = _weigh_in_units(points, nearest, centers, unit)
        high, low = high + parts[0], low + parts[1]
    return int(high), int(low)


def _nearest(
    rows: NDArray[Any],
    channels: int,
    centers_scaled: NDArray[np.float64],
    factors: NDArray[np.float64],
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.int32]]]:
    """Find each row's nearest centre, -1 for masked ones: slice by slice, with its points."""
    find = _finder(centers_scaled, len(rows))
    nearest = np.empty(min(_SLICE, len(rows)), np.int32)
    for start, points, taken in _points(rows, channels, factors):
        find(points, taken, nearest[: len(points)])
        yield start, points, nearest[: len(points)]


def _finder(centers: NDArray[np.float64], n_rows: int) -> Finder:
    """Choose how to find nearest centres; lists of candidates are made once in each process."""
    k, channels = centers.shape
    lists_pay = k > _FEW_CENTERS and n_rows * k > _FEW_DISTANCES
    extent = np.ptp(centers, axis=0).max()
    lists_can_be = channels <= BANDS or k <= _MOST_NEIGHBOURS
    if lists_pay and lists_can_be and _LEAST_EXTENT < extent < _MOST_EXTENT:
        with _lock:  # a second thread waits for the lists rather than making others
            return _made_finder(centers.astype(np.float64).tobytes(), k, channels)
    padded = _padded(centers)
    return lambda points, taken, nearest: find_of_all(points, taken, padded, nearest)


@functools.lru_cache(maxsize=2)
def _made_finder(data: bytes, k: int, channels: int) -> Finder:
    centers = np.frombuffer(data).reshape(k, channels).copy()  # kernels are made for writable ones
    return (make_boxes if channels <= BANDS else make_neighbours)(centers).find


def _points(
    rows: NDArray[Any], channels: int, factors: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.bool_]]]:
    """Make points of the rows, slice by slice, and tell which are not masked."""
    size = min(_SLICE, len(rows))
    factors = np.require(factors, np.float64, ["C", "W"])
    points = np.zeros((size, max(channels, BANDS)))
    taken = np.empty(size, np.bool_)
    for start in range(0, len(rows), _SLICE):
        part = _plain(rows[start : start + _SLICE])
        _spread(part, channels, factors, points[: len(part)], taken[: len(part)])
        yield start, points[: len(part)], taken[: len(part)]


def _plain(rows: NDArray[Any]) -> NDArray[Any]:
    """Make the rows such as kernels are compiled for: native, writable; no half precision."""
    dtype = rows.dtype.newbyteorder("=")
    return np.require(rows, np.float32 if dtype == np.float16 else dtype, ["C", "W"])


def _padded(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill up with zeros to at least four bands, as points are: it changes no distance."""
    k, channels = centers.shape
    padded = np.zeros((k, max(channels, BANDS)))
    padded[:, :channels] = centers
    return padded


@jit
def _spread(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha])
    channels: int,
    factors: NDArray[np.float64],  # IN  (channels,)
    points: NDArray[np.float64],  # OUT (n, at least channels); masked ones are zeros
    taken: NDArray[np.bool_],  # OUT (n,) whether it is not masked
) -> None:
    """Scale rows, and tell those apart that are masked: alpha 0, or a value is not finite."""
    has_alpha = rows.shape[1] > channels
    for i in range(rows.shape[0]):
        whole = not has_alpha or rows[i, channels] != 0
        for band in range(channels):
            value = np.float64(rows[i, band]) * factors[band]
            points[i, band] = value
            whole &= value - value == 0.0
        taken[i] = whole
        if not whole:
            points[i] = 0.0


@jit
def _squared(point: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    """Compute the squared distance in the order of the bands."""
    d = 0.0
    for band in range(center.size):
        t = point[band] - center[band]
        d += t * t
    return d


@jit
def _weigh_in_units(
    points: NDArray[np.float64],  # IN  (n, width)
    nearest: NDArray[np.int32],  # IN  (n,) negative: no part
    centers: NDArray[np.float64],  # IN  (k, width)
    unit: float,
) -> tuple[int, int]:
    """Sum up squared distances in whole units: upper bits and lower 20 bits."""
    high, low = np.int64(0), np.int64(0)
    for i in range(nearest.size):
        if nearest[i] >= 0:
            d = _squared(points[i], centers[nearest[i]])
            units = np.int64(np.floor(d / unit + 0.5))
            high += units >> 20
            low += units & ((1 << 20) - 1)
    return high, low  # type: ignore[return-value]
