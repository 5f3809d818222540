"""One look at the rows of a block: which of them count, what values they have, which are chosen.

A row is left out if its alpha, a channel more than `channels`, is 0, or if a value of it is NaN
or infinite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit


@jit
def counts_in(row: NDArray[Any], channels: int) -> bool:
    """Tell if a row (channels [+ alpha]) takes part."""
    is_part = row.size == channels or row[channels] != 0
    for channel in range(channels):
        is_part &= np.isfinite(row[channel])
    return bool(is_part)


@jit
def widen(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha]), any real type
    channels: int,
    ranges: NDArray[np.float64],  # INOUT (channels, 2), infinity and minus infinity before
) -> int:
    """Widen the ranges so that they hold the values of all rows; count these."""
    n = 0
    for i in range(rows.shape[0]):
        if not counts_in(rows[i], channels):
            continue
        n += 1
        for channel in range(channels):
            value = np.float64(rows[i, channel])
            ranges[channel, 0] = min(ranges[channel, 0], value)
            ranges[channel, 1] = max(ranges[channel, 1], value)
    return n


@jit
def sum_squares(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha]), whole numbers
    channels: int,
    halves: NDArray[np.uint64],  # OUT (channels, 2), zeros before
) -> None:
    """Sum the squares of whole numbers of at most 32 bits: their upper halves, and their lower."""
    last = np.uint64((1 << 32) - 1)
    for i in range(rows.shape[0]):
        if not counts_in(rows[i], channels):
            continue
        for channel in range(channels):
            value = np.int64(rows[i, channel])
            square = np.uint64(value) * np.uint64(value)  # the same for -value, modulo 2**64
            halves[channel, 0] += square >> np.uint64(32)
            halves[channel, 1] += square & last


@jit
def choose(
    pixels: NDArray[Any],  # IN  (rows, columns, channels [+ alpha])
    channels: int,
    first: np.uint64,  # number of the first pixel
    stride: np.uint64,  # from one row of the image to the next
    salt: np.uint64,
    most: np.uint64,  # the greatest hash that is chosen
    places: NDArray[np.int64],  # OUT (n,) of the chosen in the block; n may be 0, to count them
    hashes: NDArray[np.uint64],  # OUT (n,) theirs
) -> int:
    """Choose pixels by a hash of their number in the image, and tell how many there are.

    The hash is splitmix64 (Steele et al., 2014): one to one, so no two pixels share theirs.
    """
    n = 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            number = first + np.uint64(y) * stride + np.uint64(x)
            mixed = number * np.uint64(0x9E3779B97F4A7C15) + salt
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
            if mixed > most or not counts_in(pixels[y, x], channels):
                continue
            if n < places.size:
                places[n] = y * pixels.shape[1] + x
                hashes[n] = mixed
            n += 1
    return n


def merge_ranges(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the ranges (channels, 2) that hold two of them."""
    lows = np.minimum(some[:, 0], others[:, 0])
    return np.stack([lows, np.maximum(some[:, 1], others[:, 1])], axis=1)
