"""`Differences`: how far the pixels of two images are apart, in whole numbers.

Knows nothing of Dask. Equal pairs of colours are counted first, and each is measured once. What
is kept are integers that are added up, so the result is the same for any chunking and any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorcounts import ColorHistogram
from bigquant.jit import jit
from bigquant.metrics import ciede2000

#: CIEDE2000 is rounded to such parts of 1, and counted.
STEPS = 1000
#: Places for distinct pairs of a block: as many as the cache holds; then they are measured,
#: and counting goes on with empty places.
_MOST_SLOTS = 1 << 21


@dataclass(frozen=True, eq=False)
class Differences:
    """How far the pixels of two images of one size are apart.

    Parameters
    ----------
    first, second : ColorHistogram
        Of each image's own pixels that are not masked.
    masked : ndarray, (3,), int64
        Pixels that are left out: masked in the first image only, in the second only, in both.
    squares : int
        Sum of the squared distances of all pairs of pixels.
    steps : ndarray, (n,), int64
        Pairs of pixels whose CIEDE2000, rounded, is 0, 1, 2, ... thousandths.

    Examples
    --------
    >>> black, red = np.array([[[0, 0, 0]]], np.uint8), np.array([[[255, 0, 0]]], np.uint8)
    >>> differences = Differences.create(3).add(black, red)
    >>> differences.pixels, differences.squares, differences.quantile(95)
    (1, 65025, 50.411)
    """

    first: ColorHistogram
    second: ColorHistogram
    masked: NDArray[np.int64]
    squares: int
    steps: NDArray[np.int64]

    @classmethod
    def create(cls, channels: int) -> Differences:
        """Make the differences of images without pixels, gray (1 channel) or RGB (3)."""
        empty = ColorHistogram.create(channels)
        return cls(empty, empty, np.zeros(3, np.int64), 0, np.zeros(0, np.int64))

    def add(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Differences:
        """Measure a block of both images on top.

        Parameters
        ----------
        first, second : ndarray, (y, x, channels [+ alpha]), uint8
            Pixels whose alpha is 0 in either are left out.
        """
        channels = self.first.colors.shape[1]
        masked, squares, steps = np.zeros(3, np.int64), 0, np.zeros(0, np.int64)
        rows, others = _rows(first), _rows(second)
        bits = min(2 * len(rows), _MOST_SLOTS - 1).bit_length()
        keys, counts = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.int64)
        start = 0
        while start < len(rows):
            start = _count_pairs(rows, others, channels, start, bits, keys, counts, masked)
            used = np.flatnonzero(counts)
            more, stepped = _measure(keys[used], counts[used], channels)
            squares, steps = squares + more, _sum(steps, stepped)
            keys[:] = 0
            counts[:] = 0
        ours = ColorHistogram.create(channels).add(first)
        theirs = ColorHistogram.create(channels).add(second)
        return self.merge(Differences(ours, theirs, masked, squares, steps))

    def merge(self, other: Differences) -> Differences:
        """Add the differences of other pixels."""
        return Differences(
            self.first.merge(other.first),
            self.second.merge(other.second),
            self.masked + other.masked,
            self.squares + other.squares,
            _sum(self.steps, other.steps),
        )

    @property
    def pixels(self) -> int:
        """Pairs of pixels that are compared."""
        return int(self.steps.sum())

    @property
    def mean(self) -> float:
        """Mean CIEDE2000 of the pairs, each rounded to thousandths."""
        total = sum(i * int(count) for i, count in enumerate(self.steps))
        return total / (STEPS * self.pixels)

    def quantile(self, percent: int) -> float:
        """Find the smallest CIEDE2000, in thousandths, that `percent` of the pairs reach at most.

        That is NumPy's ``percentile(..., method="inverted_cdf")``.
        """
        rank = -(-percent * self.pixels // 100)
        return int(np.searchsorted(self.steps.cumsum(), rank)) / STEPS


def _rows(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """List the pixels of a block, in one layout, so that there is one compiled kernel."""
    return np.require(block, np.uint8, ["C", "W"]).reshape(-1, block.shape[2])


def _sum(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add counts up, the shorter ones filled up with zeros."""
    total = np.zeros(max(len(some), len(others)), np.int64)
    total[: len(some)] += some
    total[: len(others)] += others
    return total


def _measure(
    keys: NDArray[np.uint64], counts: NDArray[np.int64], channels: int
) -> tuple[int, NDArray[np.int64]]:
    """Measure distinct pairs: sum up their squared distances, count their CIEDE2000."""
    codes: NDArray[Any] = (keys - np.uint64(1)).astype(">u8").view(np.uint8).reshape(-1, 8)
    first, second = codes[:, -2 * channels : -channels], codes[:, -channels:]
    distances: NDArray[np.int64] = np.square(first.astype(np.int64) - second).sum(axis=1)
    steps = np.rint(ciede2000(first, second) * STEPS).astype(np.int64)
    # counts are added up as float64, which is exact: no block has 2**53 pixels
    counted = np.bincount(steps, weights=counts)
    return int(distances @ counts), counted.astype(np.int64)


@jit
def _count_pairs(
    first: NDArray[np.uint8],  # IN  (n, channels [+ alpha])
    second: NDArray[np.uint8],  # IN  (n, channels [+ alpha])
    channels: int,
    start: int,  # the first pixel to count
    bits: int,
    keys: NDArray[np.uint64],  # OUT (2 ** bits,) zeros before; code of a pair + 1
    counts: NDArray[np.int64],  # OUT (2 ** bits,) zeros before; how often the pair occurs
    masked: NDArray[np.int64],  # INOUT (3,) masked in the first only, the second only, both
) -> int:
    """Count the pairs of colours until three quarters of the table are full.

    Returns the first pixel that is not counted.
    """
    shift, last = np.uint64(64 - bits), np.uint64(counts.size - 1)
    room = counts.size - counts.size // 4
    for i in range(start, first.shape[0]):
        hidden = first.shape[1] > channels and first[i, channels] == 0
        hidden_too = second.shape[1] > channels and second[i, channels] == 0
        if hidden or hidden_too:
            masked[2 if hidden and hidden_too else int(hidden_too)] += 1
            continue
        code = np.uint64(0)
        for channel in range(channels):
            code = (code << np.uint64(8)) | np.uint64(first[i, channel])
        for channel in range(channels):
            code = (code << np.uint64(8)) | np.uint64(second[i, channel])
        key = code + np.uint64(1)
        place = (key * np.uint64(0x9E3779B97F4A7C15)) >> shift  # Fibonacci hashing
        while keys[place] != key:
            if keys[place] == 0:
                if room == 0:
                    return i
                keys[place] = key
                room -= 1
                break
            place = (place + np.uint64(1)) & last
        counts[place] += 1
    return len(first)
