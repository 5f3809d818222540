"""`Sample`: pixels that stand for all, and what is known of all. Knows nothing of Dask.

Chosen are the pixels whose numbers have the least hashes, so the same ones for any chunks and any
order of merging. Samples form a monoid, like histograms.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import rowscan
from bigquant.colorcounts import ColorHistogram
from bigquant.nearest import assign

#: Pixels of a sample, at most; so many times as many are looked at, as masked ones do not count.
SAMPLE = 1 << 17
_CANDIDATES = 4
#: Whole numbers up to here can be summed up in 64 bits, block by block, squares and all.
_MOST_WHOLE = float((1 << 32) - 1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Some pixels of an image, or rows of a table, in an order of chance.

    Parameters
    ----------
    rows : ndarray, (m, channels), any real type
        At most `SAMPLE` of them.
    hashes : ndarray, (m,), uint64, ascending
        Of the numbers of these pixels.
    n_pixels : int
        Of all pixels that count, chosen or not.
    ranges : ndarray, (channels, 2), float64
        Least and greatest value of each band in all of them; infinite without any.
    squares : tuple of int
        Sum of the squared values of each band in all of them: exact where `is_exact`.
    """

    rows: NDArray[Any]
    hashes: NDArray[np.uint64]
    n_pixels: int
    ranges: NDArray[np.float64]
    squares: tuple[int, ...]

    @classmethod
    def create(cls, channels: int, dtype: Any) -> Sample:
        """Make the empty sample."""
        rows, hashes = np.empty((0, channels), dtype), np.empty(0, np.uint64)
        return cls(rows, hashes, 0, np.tile([np.inf, -np.inf], (channels, 1)), (0,) * channels)

    def merge(self, other: Sample) -> Sample:
        """Add what was found in other pixels."""
        hashes = np.concatenate([self.hashes, other.hashes])
        least = np.argsort(hashes)[:SAMPLE]
        return Sample(
            np.concatenate([self.rows, other.rows])[least],
            hashes[least],
            self.n_pixels + other.n_pixels,
            rowscan.merge_ranges(self.ranges, other.ranges),
            tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
        )

    @property
    def is_exact(self) -> bool:
        """Whether the values are whole numbers whose sums are exact in 64 bits."""
        return self.rows.dtype.kind in "bui" and bool(np.abs(self.ranges).max() <= _MOST_WHOLE)

    @functools.cached_property
    def histogram(self) -> ColorHistogram:
        """The distinct rows and how often each was chosen."""
        return ColorHistogram.create(self.rows.shape[1], self.rows.dtype).add(self.rows)

    def scaled(self, factors: NDArray[np.float64]) -> ColorHistogram:
        """Give the distinct rows, as float64, with every band multiplied by its factor."""
        counted = self.histogram
        return ColorHistogram(counted.colors.astype(np.float64) * factors, counted.counts)

    @property
    def n_colors(self) -> int:
        """Number of distinct rows that were chosen."""
        return self.histogram.n_colors

    def n_centers(self, most: int, kept: NDArray[Any]) -> int:
        """Count the centres that a fit of at most so many has, see `ColorHistogram.n_centers`."""
        if len(np.unique(self.rows[: 2 * most], axis=0)) >= most:  # it takes a while to group all
            return most
        return self.histogram.n_centers(most, kept)

    def sample(self, most: int) -> ColorHistogram:
        """Choose at most so many colours that stand for all, see `ColorHistogram.sample`."""
        return self.histogram.sample(most)

    def gather_masses(self, centers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the chosen rows that are nearest to each centre (k, channels)."""
        labels, _ = assign(self.rows, centers)
        return np.bincount(labels, minlength=len(centers))

    def variance(self, factors: NDArray[np.float64]) -> float:
        """Tell the mean over the bands of the variance of scaled values, by the chosen rows."""
        return float(((self.deviations * factors) ** 2).mean())

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation of each band, as the chosen rows tell it."""
        found: NDArray[np.float64] = self.rows.std(axis=0, dtype=np.float64)
        return found

    def percentiles(self, q: Sequence[float]) -> NDArray[np.float64]:
        """Tell percentiles of each band, (len(q), channels), of the chosen rows."""
        found: NDArray[np.float64] = np.percentile(self.rows.astype(np.float64), q, axis=0)
        return found

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of what was found: the same for the same pixels in any chunks."""
        digest = hashlib.sha256(f"{self.rows.shape} {self.rows.dtype.str} {self.n_pixels}".encode())
        for part in (self.rows, self.hashes, self.ranges):
            digest.update(np.ascontiguousarray(part).data)
        return f"sha256:{digest.hexdigest()}"

    def __sizeof__(self) -> int:
        """Tell schedulers and workers what it takes to hold or to move it."""
        return object.__sizeof__(self) + self.rows.nbytes + self.hashes.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what was made of it."""
        return Sample, (self.rows, self.hashes, self.n_pixels, self.ranges, self.squares)


@dataclass(frozen=True)
class SampleCounter:
    """Takes the sample of a block, by where it stands.

    Parameters
    ----------
    channels : int
        Bands; a channel more is alpha.
    salt : int
        What the seed makes different in the hashes.
    first : int
        Number of the image's first pixel: that of all pixels of images before it.
    width : int
        Pixels in a row of the image; 1 for rows of tables.
    most : int
        The greatest hash that is looked at.
    """

    channels: int
    salt: int
    first: int
    width: int
    most: int

    @classmethod
    def of_shapes(
        cls, shapes: Sequence[tuple[int, ...]], channels: int, seed: int
    ) -> list[SampleCounter]:
        """Make those of images (y, x, channel) or tables (n, channels) that are sampled together.

        How many pixels are looked at is known from their shapes alone.
        """
        sizes = [int(np.prod(shape[:-1], dtype=object)) for shape in shapes]
        most = min(1, _CANDIDATES * SAMPLE / max(1, sum(sizes)))
        limit = min((1 << 64) - 1, int(most * (1 << 64)))
        salt = (seed * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) % (1 << 64)
        widths = [shape[1] if len(shape) > 2 else 1 for shape in shapes]
        firsts = np.cumsum([0, *sizes[:-1]]).tolist() if sizes else []
        places = zip(firsts, widths, strict=True)
        return [cls(channels, salt, first, width, limit) for first, width in places]

    def __call__(self, pixels: NDArray[Any], row: int, column: int = 0) -> Sample:
        """Look at a block, (y, x, channels [+ alpha]) or (n, channels), that begins there."""
        if pixels.dtype == np.float16:  # of no use to kernels
            pixels = pixels.astype(np.float32)
        rows = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1])
        chosen, hashes = self._choose(rows.reshape(len(pixels), -1, rows.shape[1]), row, column)
        least = np.argsort(hashes)[:SAMPLE]
        empty = Sample.create(self.channels, rows.dtype)
        n_pixels = rowscan.widen(rows, self.channels, empty.ranges)
        halves = np.zeros((self.channels, 2), np.uint64)
        if rows.dtype.kind != "f":
            rowscan.sum_squares(rows, self.channels, halves)
        squares = tuple((high << 32) + low for high, low in halves.tolist())
        found = np.ascontiguousarray(rows[chosen[least], : self.channels])
        return Sample(found, hashes[least], n_pixels, empty.ranges, squares)

    def _choose(
        self, block: NDArray[Any], row: int, column: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        first = np.uint64(self.first + row * self.width + column)
        choice = first, np.uint64(self.width), np.uint64(self.salt), np.uint64(self.most)
        places, hashes = np.empty(0, np.int64), np.empty(0, np.uint64)
        n = rowscan.choose(block, self.channels, *choice, places, hashes)
        places, hashes = np.empty(n, np.int64), np.empty(n, np.uint64)
        rowscan.choose(block, self.channels, *choice, places, hashes)
        return places, hashes
