"""What a job would read, hold and write, told before it starts."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

import numpy as np

from bigquant.image import Image
from bigquant.read import open_image
from bigquant.tiling import plan_pyramid
from bigquant.ways import BINNED, LLOYD, n_passes, way_of

#: Two lists of bins and their sum; what a slice of pixels takes to be sorted.
_BINS_BYTES = 200 << 20
_SAMPLE_BYTES = 64 << 20


def inspect(image: str | os.PathLike[str] | Any, **reading: Any) -> dict[str, Any]:
    """Tell what an image is and how it would be quantized, without reading its pixels.

    Parameters
    ----------
    image : path or array
        Whatever `open_image` takes.
    **reading
        Its other parameters.

    Returns
    -------
    dict
        In JSON's types: path, format, width, height, channels, alpha, dtype, algorithm (see
        `ways.way_of`), valid_range, chunk (width and height), blocks, passes over the pixels
        (None where Lloyd's iteration decides), memory_per_task and
        output_bytes (an estimate in bytes; the output's before compression, image and labels
        at all levels), pixel_size in micrometers (height, width), icc_profile and
        georeferenced, and what the file says of its axes, bands, masks, levels, compression
        and tiles. `unpacked` tells if it is streamed to a temporary folder first.
    """
    opened = open_image(image, **reading)
    dtype, channels = opened.dtype, opened.channels
    height, width, _ = opened.shape
    levels = itertools.chain(*plan_pyramid(opened.chunks[:2]))
    output_pixels = sum(math.prod(level.shape) for level in levels)
    source = opened.source
    return {
        "path": source.path,
        "format": source.format,
        "width": width,
        "height": height,
        "channels": channels,
        "alpha": opened.has_alpha,
        "dtype": str(dtype),
        "algorithm": way_of(dtype, channels),
        "valid_range": list(source.valid_range) if source.valid_range else None,
        "chunk": [opened.chunksize[1], opened.chunksize[0]],
        "blocks": opened.npartitions,
        "passes": n_passes(dtype, channels),
        "memory_per_task": needed_memory(opened),
        "output_bytes": output_pixels * (channels * dtype.itemsize + 1),
        "pixel_size": list(source.pixel_size) if source.pixel_size else None,
        "icc_profile": source.icc_profile is not None,
        "georeferenced": source.georeferenced,
        **source.details,
        "unpacked": bool(opened.staged),
    }


def needed_memory(image: Image) -> int:
    """Estimate the bytes that a task on an image holds at most."""
    block_pixels = image.chunksize[0] * image.chunksize[1]
    return task_memory(block_pixels, image.shape[2], image.channels, image.dtype)


def task_memory(block_pixels: int, depth: int, channels: int, dtype: Any = np.uint8) -> int:
    """Estimate the bytes that a task holds at most, from the size of its block.

    Parameters
    ----------
    block_pixels : int
    depth : int
        Channels that are read, alpha too.
    channels : int
        Those that are quantized.
    dtype : dtype
        Of their values.
    """
    size = np.dtype(dtype).itemsize
    read, way = block_pixels * depth * size, way_of(dtype, channels)
    if way == LLOYD:
        count = read + _SAMPLE_BYTES
    elif way == BINNED:
        count = read + _BINS_BYTES
    else:
        codes = 1 << 8 * size * channels
        table = 4 * codes
        count = read + table + (channels + 8) * min(block_pixels, codes)
    # labels, colours, and the same again while a shard is encoded
    write = read + 2 * block_pixels * (channels * size + 1)
    return int(max(count, write))
