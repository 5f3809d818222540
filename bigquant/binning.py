"""Blocks of images or tables -> the range of their values, and their counts in bins of a grid.

Each is a pass over all blocks: one task a block, merged as a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant import rowscan
from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.histogram import merge_blocks
from bigquant.rowscan import merge_ranges


def measure_ranges(blocks: Sequence[da.Array], channels: int) -> Delayed:
    """Plan to find the least and the greatest value of each band.

    Parameters
    ----------
    blocks : sequence of dask.array.Array, (y, x, channel) or (n, channels)
        Of one type; a channel more than `channels` is alpha. Masked pixels do not count.

    Returns
    -------
    Delayed
        Of an ndarray, (channels, 2), float64: infinity and minus infinity without a pixel.
    """
    return merge_blocks(blocks, _measure_block, merge_ranges, channels, token="range-block")


def count_bins(blocks: Sequence[da.Array], grid: Grid) -> Delayed:
    """Plan to count blocks, as for `measure_ranges`, in a grid; Delayed of `BinnedHistogram`."""
    return merge_blocks(blocks, count_block, BinnedHistogram.merge, grid, token="count-block")


def count_block(pixels: NDArray[Any], grid: Grid) -> BinnedHistogram:
    """Count one block (..., bands of the grid [+ alpha])."""
    return BinnedHistogram.create(grid).add(pixels)


def _measure_block(pixels: NDArray[Any], channels: int) -> NDArray[np.float64]:
    if pixels.dtype == np.float16:  # of no use to kernels
        pixels = pixels.astype(np.float32)
    ranges = np.tile([np.inf, -np.inf], (channels, 1))
    rowscan.widen(np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1]), channels, ranges)
    return ranges
