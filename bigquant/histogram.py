"""Dask image -> distinct colours and their counts, in one pass, merged as a tree."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.colorcounts import ColorHistogram


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
