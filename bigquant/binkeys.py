"""Pixels as places on a Z-curve, and bins of it: the loops that count them.

A pixel's *code* is a whole number per band; its *key* has the bits of all codes interleaved,
the highest first, those of the first band before those of the last (G. M. Morton, 1966). Keys
that are the same but for the last few bits lie in one box, so that dropping bits of sorted
keys makes coarser bins of finer ones, which stay sorted.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit

Keys = NDArray[np.uint64]
Whole = NDArray[np.int64]

#: Bits of every band that a lookup takes out of a key, by the number of bands.
_TAKEN = {1: 8, 2: 4, 3: 3, 4: 2}


class Bins(NamedTuple):
    """Bins, and what their pixels sum up to.

    Parameters
    ----------
    keys : ndarray, (n,), uint64
        Ascending, without the bits that are dropped.
    counts : ndarray, (n,), int64
    sums, squares : ndarray, (n, channels), int64
        Of codes and of their squares, from the lowest code of the bin on.
    """

    keys: Keys
    counts: Whole
    sums: Whole
    squares: Whole

    @classmethod
    def make_room(cls, n: int, channels: int) -> Bins:
        """Make so many bins without pixels."""
        sums, squares = (np.zeros((n, channels), np.int64) for _ in range(2))
        return cls(np.zeros(n, np.uint64), np.zeros(n, np.int64), sums, squares)


@functools.cache
def spreading(channels: int) -> Keys:
    """Make the table of all bytes, their bits `channels` places apart, (256,)."""
    table = np.zeros(256, np.uint64)
    for bit in range(8):
        table |= ((np.arange(256) >> bit) & 1).astype(np.uint64) << np.uint64(bit * channels)
    return table


@functools.cache
def parting(channels: int) -> Keys:
    """Make the table that undoes it: a key's last bits as the bands' codes, side by side.

    A band has 64 // `channels` bits of the result, the first band the lowest.
    """
    taken = _TAKEN[channels]
    numbers = np.arange(1 << taken * channels)
    table = np.zeros(len(numbers), np.uint64)
    for bit in range(taken):
        for band in range(channels):
            is_set = (numbers >> (bit * channels + channels - 1 - band)) & 1
            table |= is_set.astype(np.uint64) << np.uint64(band * (64 // channels) + bit)
    return table


def dropped_of(band: int, channels: int, dropped: int) -> int:
    """Tell how many of the bits that are dropped of a key are those of one band."""
    return (dropped + band) // channels


def finest(keys: Keys, floor: int, most: int) -> tuple[int, int]:
    """Find how few bits of sorted keys, `floor` at least, can be dropped to have `most` bins.

    Returns them, and how many bins there are.
    """
    parted = np.zeros(65, np.int64)
    count_partings(keys, floor, parted)
    occupied = 1 + parted.sum() - np.cumsum(parted)  # by the bits dropped
    dropped = int(np.argmax(occupied[floor:] <= most)) + floor
    return dropped, int(occupied[dropped])


@jit
def count_partings(
    keys: Keys,  # IN  sorted
    floor: int,
    parted: Whole,  # OUT (65,) zeros before; by the highest bit that differs, from 1
) -> None:
    """Count the neighbours that differ in more than the last `floor` bits."""
    for i in range(1, keys.size):
        differing = keys[i] ^ keys[i - 1]
        if differing >> np.uint64(floor):
            length = 1
            for step in (32, 16, 8, 4, 2, 1):
                if differing >> np.uint64(step):
                    differing >>= np.uint64(step)
                    length += step
            parted[length] += 1


@jit
def interleave(
    rows: NDArray[Any],  # IN  (n, channels [+ alpha]), any real type
    lows: NDArray[np.float64],  # IN  (channels,) the value of code 0
    steps: NDArray[np.float64],  # IN  (channels,) from code to code
    top: float,  # the highest code
    spread: Keys,  # IN  of `spreading`
    keys: Keys,  # OUT (n,) of which the first are filled
    least: NDArray[np.float64],  # INOUT (channels,) values seen so far
    greatest: NDArray[np.float64],  # INOUT (channels,)
) -> int:
    """Make the keys of all pixels but transparent ones and those that are not finite.

    Returns how many there are.
    """
    channels = lows.size
    has_alpha = rows.shape[1] > channels
    last = np.uint64(255)
    n = 0
    for i in range(rows.shape[0]):
        counts = not has_alpha or rows[i, channels] > 0
        key = np.uint64(0)
        for band in range(channels):
            value = np.float64(rows[i, band])
            if not np.isfinite(value):
                counts, value = False, lows[band]
            place = np.floor((value - lows[band]) / steps[band] + 0.5)
            code = np.uint64(np.int64(min(max(place, 0.0), top)))
            part = (
                spread[code & last]
                | spread[(code >> np.uint64(8)) & last] << np.uint64(8 * channels)
                | spread[code >> np.uint64(16)] << np.uint64(16 * channels)
            )
            key = key << np.uint64(1) | part
        if not counts:
            continue
        keys[n] = key
        n += 1
        for band in range(channels):
            value = np.float64(rows[i, band])
            least[band] = min(least[band], value)
            greatest[band] = max(greatest[band], value)
    return n


@jit
def _part(key: Any, channels: int, table: Keys) -> Any:
    """Take a key apart into the codes of its bands, side by side; see `parting`."""
    taken = 8 if channels == 1 else (4 if channels == 2 else (3 if channels == 3 else 2))
    last = np.uint64(table.size - 1)
    parts, shift = np.uint64(0), np.uint64(0)
    while key:
        parts |= table[key & last] << shift
        key >>= np.uint64(taken * channels)
        shift += np.uint64(taken)
    return parts


@jit
def part_keys(
    keys: Keys,  # IN  (n,)
    table: Keys,  # IN  of `parting`
    codes: Whole,  # OUT (n, channels)
) -> None:
    """Take keys apart into codes."""
    channels = codes.shape[1]
    width = np.uint64(64 // channels)
    mask = ~np.uint64(0) >> (np.uint64(64) - width)
    for i in range(keys.size):
        parts = _part(keys[i], channels, table)
        for band in range(channels):
            codes[i, band] = np.int64((parts >> (np.uint64(band) * width)) & mask)


@jit
def sum_pixels(
    pixels: Keys,  # IN  sorted
    dropped: int,
    table: Keys,  # IN  of `parting`
    bins: Bins,  # OUT zeros before
) -> None:
    """Sum up the pixels of every bin."""
    keys, counts, sums, squares = bins
    channels = sums.shape[1]
    width = np.uint64(64 // channels)
    mask = ~np.uint64(0) >> (np.uint64(64) - width)
    inside = (np.uint64(1) << np.uint64(dropped)) - np.uint64(1)
    n = -1
    before = ~np.uint64(0)
    for i in range(pixels.size):
        key = pixels[i] >> np.uint64(dropped)
        if n < 0 or key != before:
            n += 1
            keys[n] = before = key
        counts[n] += 1
        parts = _part(pixels[i] & inside, channels, table)
        for band in range(channels):
            code = np.int64((parts >> (np.uint64(band) * width)) & mask)
            sums[n, band] += code
            squares[n, band] += code * code


def merge_bins(a: Bins, dropped_a: int, b: Bins, dropped_b: int, most: int) -> tuple[Bins, int]:
    """Merge two lists of bins, to the finest of which there are no more than `most`.

    Returns them, and the bits that their keys have dropped.
    """
    channels = a.sums.shape[1]
    dropped = max(dropped_a, dropped_b)
    parts = (a, dropped_a), (b, dropped_b)
    keys = np.concatenate([each.keys >> np.uint64(dropped - before) for each, before in parts])
    keys.sort()
    more, n = finest(keys, 0, most)
    both = Bins.make_room(n, channels)
    keys >>= np.uint64(more)
    both.keys[0] = keys[0]
    both.keys[1:] = keys[1:][keys[1:] != keys[:-1]]
    for each, before in parts:
        add_bins(each, before, dropped + more, parting(channels), both)
    return both, dropped + more


@jit
def add_bins(
    fine: Bins,
    before: int,  # bits that their keys have dropped
    dropped: int,  # as many as that or more
    table: Keys,  # IN  of `parting`
    coarse: Bins,  # INOUT with the keys of all of them
) -> None:
    """Add bins to others that are as coarse or coarser."""
    fine_keys, fine_counts, fine_sums, fine_squares = fine
    keys, counts, sums, squares = coarse
    channels = sums.shape[1]
    width = np.uint64(64 // channels)
    mask = ~np.uint64(0) >> (np.uint64(64) - width)
    more = np.uint64(dropped - before)
    inside = (np.uint64(1) << more) - np.uint64(1)
    n = 0
    for i in range(fine_keys.size):
        key = fine_keys[i] >> more
        while keys[n] < key:
            n += 1
        count = fine_counts[i]
        counts[n] += count
        parts = _part((fine_keys[i] & inside) << np.uint64(before), channels, table)
        for band in range(channels):
            shift = np.int64((parts >> (np.uint64(band) * width)) & mask)
            total = fine_sums[i, band]
            sums[n, band] += total + count * shift
            squares[n, band] += fine_squares[i, band] + shift * (2 * total + count * shift)
