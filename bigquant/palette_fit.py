"""Fitted centres -> the colours of a palette: their order, their rounding, what they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.bincounts import BinnedHistogram
from bigquant.colorcounts import ColorHistogram
from bigquant.colorspace import points_of_centers
from bigquant.nearest import assign
from bigquant.rounding import round_to
from bigquant.spacecounts import SpaceHistogram

#: What has counted pixels: each colour, or those in a bin, or each colour seen in a space.
Histogram = ColorHistogram | BinnedHistogram | SpaceHistogram


def dtype_of(histogram: Histogram) -> np.dtype[Any]:
    """Tell the type of the pixels that were counted."""
    if isinstance(histogram, BinnedHistogram):
        return histogram.grid.dtype
    counted = histogram.counted if isinstance(histogram, SpaceHistogram) else histogram
    return counted.colors.dtype


def ranges_of(histogram: Histogram) -> NDArray[np.float64]:
    """Tell the least and the greatest value of each band, (c, 2)."""
    return (histogram.counted if isinstance(histogram, SpaceHistogram) else histogram).ranges


def space_of(histogram: Histogram) -> str:
    """Tell the space that distances are measured in."""
    return histogram.space if isinstance(histogram, SpaceHistogram) else "srgb"


def settle(
    centers: NDArray[np.float64], masses: NDArray[Any], dtype: np.dtype[Any]
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.int64]]:
    """Order centres by their pixels, most first, then by value, and round them.

    Returns
    -------
    centers, colors : ndarray, (k, c)
        Of two centres that round to one colour the first; colours are of type `dtype`.
    became : ndarray, (n,), int64
        Which of the colours each of the given centres has become.
    """
    order = np.lexsort((*centers.T[::-1], -masses))
    rounded = round_to(centers[order], dtype)
    _, firsts, groups = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    kept = np.sort(firsts)
    became = np.empty(len(centers), np.int64)
    became[order] = np.searchsorted(kept, firsts[groups.ravel()])
    return centers[order][kept], rounded[kept], became


def in_scale(histogram: Histogram, factors: NDArray[np.float64]) -> Histogram:
    """Take a histogram whose distances are measured as factors have it, where it has bins."""
    if not isinstance(histogram, BinnedHistogram) or np.array_equal(histogram.factors, factors):
        return histogram  # with what has been made of it already
    return histogram.scaled(factors)


def count_pixels(
    histogram: Histogram,
    centers: NDArray[np.float64],
    factors: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Count the pixels that are nearest to each centre; the histogram is one of `in_scale`."""
    if isinstance(histogram, SpaceHistogram):
        return histogram.gather_masses(points_of_centers(centers, histogram.space))
    if isinstance(histogram, BinnedHistogram):
        return histogram.tree.gather(centers * factors)[0].astype(np.int64)
    if _is_of_bytes(histogram, factors):
        return histogram.gather(centers)[:, 0]
    return _count_exactly(histogram, centers, factors)[0]


def measure_colors(
    histogram: Histogram, colors: NDArray[Any], factors: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int | float]:
    """Count the pixels nearest to each colour, and sum up their squared distances.

    The sum is a whole number, and exact, where pixels are bytes or single whole numbers and no
    factor is applied; it is of the bytes themselves also where another space tells what is
    nearest. The histogram is one of `in_scale`.
    """
    if isinstance(histogram, SpaceHistogram):
        return histogram.measure(colors)
    if isinstance(histogram, BinnedHistogram):
        masses, _, inertia = histogram.tree.gather(colors * factors)
        return masses.astype(np.int64), float(inertia)
    if not _is_of_bytes(histogram, factors):
        return _count_exactly(histogram, colors, factors)
    whole = colors.astype(np.int64)
    moments = histogram.gather(colors.astype(np.float64))
    totals, sums, squares = moments[:, 0], moments[:, 1:-1], moments[:, -1]
    # sum of |x - c|**2 over all pixels x, in whole numbers, so exact
    errors = squares - 2 * (whole * sums).sum(axis=1) + totals * (whole**2).sum(axis=1)
    return totals, int(errors.sum())


def _is_of_bytes(histogram: ColorHistogram, factors: NDArray[np.float64]) -> bool:
    return histogram.colors.dtype == np.uint8 and bool((factors == 1).all())


def _count_exactly(
    histogram: ColorHistogram, colors: NDArray[Any], factors: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int | float]:
    """Hold every distinct value against all colours."""
    labels, distances = assign(histogram.colors * factors, colors * factors)
    counts = np.zeros(len(colors), np.int64)
    np.add.at(counts, labels, histogram.counts.astype(np.int64))
    if colors.shape[1] > 1 or colors.dtype.kind == "f" or (factors != 1).any():
        return counts, float((distances * histogram.counts).sum())
    # a square takes 32 bits and a count 45: their product more than there are
    squares = distances.astype(np.int64).astype(object)
    return counts, int((squares * histogram.counts.astype(object)).sum())
