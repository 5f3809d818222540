"""Small TIFFs of random samples, and the whole of what is read from one."""

from __future__ import annotations

import numpy as np
import tifffile

from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

RNG = np.random.default_rng(7)
SHAPE = (37, 53)


def opened(path):
    raster = open_tiff(str(path), Selection())
    height, width, depth = raster.windows.shape
    return raster, raster.windows[slice(0, height), slice(0, width), slice(0, depth)]


def random(depth, dtype=np.uint8, high=None):
    limits = np.iinfo(dtype)
    top = limits.max if high is None else high
    return RNG.integers(0, top, (*SHAPE, depth), dtype, endpoint=True)


def write(path, samples, **options):
    options = {"metadata": None, "rowsperstrip": 5, **options}
    if samples.shape[2] > 1:
        options.setdefault("planarconfig", "contig")
    tifffile.imwrite(path, samples.squeeze(2) if samples.shape[2] == 1 else samples, **options)
    return path
