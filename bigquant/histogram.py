"""Dask images -> distinct colours and their counts, in one pass, merged as a tree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import BigquantError

#: Blocks that are counted in one go: enough to keep a cluster busy.
_BATCH = 512
_log = logging.getLogger(__name__)


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


def count_images(images: Sequence[da.Array]) -> tuple[Delayed, dict[int, BigquantError]]:
    """Count the colours of several images together.

    Parameters
    ----------
    images : sequence of dask.array.Array, (y, x, channel), uint8
        Of as many colour channels; with alpha or without.

    Returns
    -------
    histogram : Delayed
        Of all readable images; it is computed, and lies where the workers are.
    failures : dict
        What went wrong with the images that could not be read, by their place in `images`,
        unless there is only one: then it is raised. Nothing of them is counted.
    """
    if len(images) == 1:
        return _counted(images), {}
    parts: list[Delayed] = []
    failures: dict[int, BigquantError] = {}
    for numbers in _batches(images):
        try:
            parts.append(_awaited([images[number] for number in numbers]))
        except BigquantError:
            for number in numbers:  # find out which
                try:
                    parts.append(_awaited([images[number]]))
                except BigquantError as error:
                    failures[number] = error
    if not parts:
        raise next(iter(failures.values()))
    return parts[0] if len(parts) == 1 else merge_tree(parts).persist(), failures


def _batches(images: Sequence[da.Array]) -> Iterator[list[int]]:
    batch: list[int] = []
    blocks = 0
    for number, image in enumerate(images):
        batch.append(number)
        blocks += image.npartitions
        if blocks >= _BATCH:
            yield batch
            batch, blocks = [], 0
    if batch:
        yield batch


def _awaited(images: list[da.Array]) -> Delayed:
    total = _counted(images)
    total.n_colors.compute()  # a cluster tells only when asked what went wrong
    return total


def _counted(images: Sequence[da.Array]) -> Delayed:
    for image in images:
        _log.info(
            "counting the colours of %d x %d pixels in %d blocks of %d x %d",
            *(image.shape[1], image.shape[0], image.npartitions),
            *(image.chunksize[1], image.chunksize[0]),
        )
    return merge_tree([count_colors(image) for image in images]).persist()


def merge_tree(
    parts: list[Delayed], merge: Callable[[Any, Any], Any] = ColorHistogram.merge
) -> Delayed:
    """Plan to merge histograms in pairs: two and their sum are all that a task holds.

    Other sums of whole numbers have a `merge` of their own.
    """
    merged = dask.delayed(merge, pure=False, traverse=False)
    level = 0
    while len(parts) > 1:
        paired = [
            merged(*parts[i : i + 2], dask_key_name=f"merge-counts-{level}-{i}-{parts[i].key}")
            for i in range(0, len(parts) - 1, 2)
        ]
        parts = paired + parts[len(parts) & ~1 :]
        level += 1
    return parts[0]
