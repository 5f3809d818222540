"""Dask image -> distinct colours and their counts, in one pass, merged as a tree.

The colour histogram is a sufficient statistic for k-means: it does not matter where a pixel
lies. Histograms form a monoid (`create`, `add`, `merge`; `colors` and `counts` extract), and
counts are integers, so the result is the same for any chunking and any order of merging.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant import kernels
from bigquant.bands import split_channels
from bigquant.errors import BigquantError, InputError

#: As many distinct rows as 8-bit RGB can have. Data of other types may have more, and
#: would fill the memory: it is refused beyond this.
MAX_DISTINCT = 1 << 24

_scratch = threading.local()


@dataclass(frozen=True, eq=False)
class ColorHistogram:
    """The distinct colours of an image and how many pixels have each.

    Parameters
    ----------
    colors : ndarray, (n_colors, channels), any real type
        Distinct colours in lexicographic order.
    counts : ndarray, (n_colors,), uint64 or float64
        Pixels of each colour; float64 only where pixels carry weights.

    Examples
    --------
    >>> pixels = np.array([[[255, 0, 0], [0, 0, 0]], [[255, 0, 0], [255, 0, 0]]], np.uint8)
    >>> histogram = ColorHistogram.create(3).add(pixels)
    >>> histogram.colors.tolist(), histogram.counts.tolist()
    ([[0, 0, 0], [255, 0, 0]], [1, 3])
    """

    colors: NDArray[Any]
    counts: NDArray[Any]

    @classmethod
    def create(cls, channels: int, dtype: Any = np.uint8) -> ColorHistogram:
        """Make the empty histogram of colours with `channels` channels of `dtype`."""
        return cls(np.empty((0, channels), dtype), np.empty(0, np.uint64))

    def add(self, pixels: NDArray[Any], weights: NDArray[Any] | None = None) -> ColorHistogram:
        """Count the pixels of one block on top.

        Parameters
        ----------
        pixels : ndarray, (..., channels) or (..., channels + 1)
            Of the histogram's own type. A channel more than the histogram has is alpha:
            pixels whose alpha is 0 are not counted.
        weights : ndarray, (...,), optional
            A weight per pixel, instead of 1; the counts become sums of weights (float64).
        """
        channels = self.colors.shape[1]
        has_alpha = pixels.shape[-1] == channels + 1
        if pixels.dtype != self.colors.dtype or not (has_alpha or pixels.shape[-1] == channels):
            raise InputError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} cannot be added to a "
                f"histogram of {channels} channels of {self.colors.dtype}"
            )
        if not pixels.size:
            return self
        if weights is None and _is_packable(self.colors):
            return self.merge(_count_in_table(pixels, channels))
        rows = pixels.reshape(-1, pixels.shape[-1])
        masses = np.ones(len(rows), np.uint64) if weights is None else weights.reshape(-1)
        if not (masses >= 0).all() or not np.isfinite(masses).all():
            raise InputError("weights must be finite and 0 or more")
        if has_alpha:
            rows, masses = rows[rows[:, -1] > 0, :-1], masses[rows[:, -1] > 0]
        return self.merge(_group_rows(rows, masses))

    def merge(self, other: ColorHistogram) -> ColorHistogram:
        """Add the counts of `other`, a histogram of the same channels and type."""
        if (
            self.colors.shape[1:] != other.colors.shape[1:]
            or self.colors.dtype != other.colors.dtype
        ):
            raise InputError("histograms of different channels or types cannot be merged")
        if not len(self.colors) or not len(other.colors):
            return self if len(self.colors) else other
        if _is_packable(self.colors) and self.counts.dtype == other.counts.dtype == np.uint64:
            return self._merge_sorted(other)
        merged = _group_rows(
            np.concatenate([self.colors, other.colors]),
            np.concatenate([self.counts, other.counts]),
        )
        if len(merged.colors) > MAX_DISTINCT:
            raise BigquantError(
                f"the data has more than {MAX_DISTINCT} distinct rows, too many to count in "
                "memory: round it to fewer levels, or use algorithm='dask-ml'"
            )
        return merged

    def _merge_sorted(self, other: ColorHistogram) -> ColorHistogram:
        n = kernels.count_union(self.colors, other.colors)
        colors = np.empty((n, self.colors.shape[1]), np.uint8)
        counts = np.empty(n, np.uint64)
        kernels.merge_sorted(self.colors, self.counts, other.colors, other.counts, colors, counts)
        return ColorHistogram(colors, counts)

    @property
    def n_colors(self) -> int:
        """Number of distinct colours."""
        return len(self.colors)

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted (the sum of the weights, rounded, where they have any)."""
        return int(self.counts.sum())

    def __reduce__(self) -> tuple[Any, ...]:
        return ColorHistogram, (self.colors, self.counts)


def _is_packable(colors: NDArray[Any]) -> bool:
    """Whether a colour's channels fit one code of 24 bits."""
    return colors.dtype == np.uint8 and colors.shape[1] <= 3


def _count_in_table(pixels: NDArray[np.uint8], channels: int) -> ColorHistogram:
    """Count 8-bit colours in a table of all codes, kept per thread and left empty."""
    tables = _scratch.__dict__.setdefault("tables", {})
    # taken out while in use: a count that is interrupted must not leave a full table behind
    table, pages = tables.pop(channels, (None, None))
    if table is None:
        table, pages = np.zeros(256**channels, np.uint32), np.zeros(256 ** (channels - 1), np.bool_)
    block = np.require(pixels, np.uint8, ["C", "W"])  # one layout, so one compiled kernel
    block = block.reshape(-1, pixels.shape[-2], pixels.shape[-1])
    rows_at_once = max(1, (2**32 - 1) // max(1, block.shape[1]))  # the table is uint32
    histogram = ColorHistogram.create(channels)
    for start in range(0, len(block), rows_at_once):
        kernels.count_codes(block[start : start + rows_at_once], channels, table, pages)
        n = kernels.count_distinct(table, pages)
        part = ColorHistogram(np.empty((n, channels), np.uint8), np.empty(n, np.uint64))
        kernels.drain_table(table, pages, part.colors, part.counts)
        histogram = histogram.merge(part)
    tables[channels] = table, pages
    return histogram


def _group_rows(rows: NDArray[Any], masses: NDArray[Any]) -> ColorHistogram:
    """Group equal rows of any type; counts stay exact up to 2**53."""
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise InputError("the data contains NaN or infinity: fill or drop those values first")
    colors, inverse = np.unique(rows, axis=0, return_inverse=True)
    counts = np.bincount(inverse.ravel(), weights=masses, minlength=len(colors))
    if masses.dtype == np.uint64:
        return ColorHistogram(colors, counts.astype(np.uint64))
    return ColorHistogram(colors[counts > 0], counts[counts > 0])


def count_block(pixels: NDArray[Any], channels: int) -> ColorHistogram:
    """Count one block of an image, ``(..., channels [+ alpha])``."""
    return ColorHistogram.create(channels, pixels.dtype).add(pixels)


def count_weighted(rows: NDArray[Any], weights: NDArray[Any]) -> ColorHistogram:
    """Count one block of rows (n, channels) with a weight each, (n, 1)."""
    return ColorHistogram.create(rows.shape[1], rows.dtype).add(rows, weights[:, 0])


def count_rows(rows: da.Array, weights: da.Array | None = None) -> Delayed:
    """Plan to count the distinct rows of a matrix (n, channels), each read once.

    Parameters
    ----------
    rows : dask.array.Array, (n, channels), any real type
    weights : dask.array.Array, (n,), optional
        Weight of each row, float64, instead of 1.
    """
    rows = rows.rechunk({1: -1})
    if weights is None:
        parts = rows.map_blocks(
            count_block,
            rows.shape[1],
            token="count-block",
            dtype=object,
            drop_axis=1,
            meta=np.empty(0, object),
        )
    else:
        parts = da.map_blocks(
            count_weighted,
            rows,
            weights.rechunk((rows.chunks[0],))[:, None],
            token="count-block",
            dtype=object,
            drop_axis=1,
            meta=np.empty(0, object),
        )
    return merge_tree(parts.to_delayed().ravel().tolist())


def count_colors(image: da.Array) -> Delayed:
    """Plan to count the distinct colours of an image, each pixel read once.

    Parameters
    ----------
    image : dask.array.Array, (y, x, channel), uint8
        1 or 3 colour channels, and perhaps alpha: pixels whose alpha is 0 are not counted.

    Returns
    -------
    Delayed
        Of the `ColorHistogram`. Nothing is read before it is computed.
    """
    channels, _ = split_channels(image.shape[2])
    parts = image.rechunk({2: -1}).map_blocks(
        count_block,
        channels,
        token="count-block",
        dtype=object,
        drop_axis=2,
        meta=np.empty((0, 0), object),
    )
    return merge_tree(parts.to_delayed().ravel().tolist())


def merge_tree(parts: list[Delayed]) -> Delayed:
    """Plan to merge histograms in pairs: two and their sum are all that a task holds."""
    merge = dask.delayed(ColorHistogram.merge, pure=False, traverse=False)
    level = 0
    while len(parts) > 1:
        paired = [
            merge(*parts[i : i + 2], dask_key_name=f"merge-counts-{level}-{i}-{parts[i].key}")
            for i in range(0, len(parts) - 1, 2)
        ]
        parts = paired + parts[len(parts) & ~1 :]
        level += 1
    return parts[0]
