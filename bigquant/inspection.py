"""What a job would read, hold and write, told before it starts."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

from bigquant.bands import split_channels
from bigquant.errors import BandsNeeded
from bigquant.image import Image
from bigquant.read import open_image
from bigquant.tiling import plan_pyramid

_TABLE_BYTES = 64 << 20
_HISTOGRAM_BYTES = 11  # of each distinct colour


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
        In JSON's types: path, format, width, height, channels, alpha, dtype, valid_range,
        chunk (width and height), blocks, passes over the pixels, memory_per_task and
        output_bytes (an estimate in bytes; the output's before compression, image and labels
        at all levels), pixel_size in micrometers (height, width), icc_profile and
        georeferenced, and what the file says of its axes, bands, masks, levels, compression
        and tiles. `unpacked` tells if it is streamed to a temporary folder first; where bands
        must be chosen, `needed` says so.
    """
    needed = None
    try:
        opened = open_image(image, **reading)
    except BandsNeeded as error:
        needed = str(error)
        opened = open_image(image, **{**reading, "bands": (1,)})
    height, width, depth = opened.shape
    channels, has_alpha = split_channels(depth)
    levels = itertools.chain(*plan_pyramid(opened.chunks[:2]))
    output_pixels = sum(math.prod(level.shape) for level in levels)
    source = opened.source
    return {
        "path": source.path,
        "format": source.format,
        "width": width,
        "height": height,
        "channels": channels,
        "alpha": has_alpha,
        "dtype": str(opened.dtype),
        "valid_range": list(source.valid_range) if source.valid_range else None,
        "chunk": [opened.chunksize[1], opened.chunksize[0]],
        "blocks": opened.npartitions,
        "passes": 2,
        "memory_per_task": needed_memory(opened),
        "output_bytes": output_pixels * (channels + 1),
        "pixel_size": list(source.pixel_size) if source.pixel_size else None,
        "icc_profile": source.icc_profile is not None,
        "georeferenced": source.georeferenced,
        **source.details,
        "unpacked": bool(opened.staged),
        "needed": needed,
    }


def needed_memory(image: Image) -> int:
    """Estimate the bytes that a task on an image holds at most."""
    channels, _ = split_channels(image.shape[2])
    block_pixels = image.chunksize[0] * image.chunksize[1]
    return task_memory(block_pixels, image.shape[2] * image.dtype.itemsize, channels)


def task_memory(block_pixels: int, depth: int, channels: int) -> int:
    """Estimate the bytes that a task holds at most, from the size of its block.

    Parameters
    ----------
    block_pixels : int
    depth : int
        Bytes per pixel read, with alpha.
    channels : int
        Colour channels.
    """
    read = block_pixels * depth
    table = int(_TABLE_BYTES >> (8 * (3 - channels)))
    count = read + table + _HISTOGRAM_BYTES * min(block_pixels, 1 << 8 * channels)
    # labels, colours, and the same again while a shard is encoded
    write = read + 2 * block_pixels * (channels + 1)
    return max(count, write)
