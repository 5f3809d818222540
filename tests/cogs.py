"""Random TIFF outputs, and what rio-cogeo, rasterio and GDAL make of them."""

from __future__ import annotations

import shutil
import subprocess

import dask.array as da
import numpy as np
import pytest
import rasterio
from rio_cogeo import cogeo

from bigquant import Palette
from bigquant.source import Source
from bigquant.tiff_output import write_tiff

KINDS = {  # shape, transparent, k
    "gray": ((1300, 1100, 1), False, 8),
    "RGB": ((1300, 1100, 3), False, 8),
    "RGBA with transparent parts": ((1300, 1100, 3), True, 8),
    "5 x 7 pixels": ((5, 7, 3), False, 8),
    "1 x 100000 pixels": ((1, 100_000, 3), False, 8),
    "100000 x 3 pixels": ((100_000, 3, 3), True, 8),
    "700 x 16 pixels": ((700, 16, 3), False, 8),
    "700 x 512 pixels": ((700, 512, 3), False, 8),
    "512 x 700 pixels": ((512, 700, 3), False, 8),
    "16 x 1024 pixels": ((16, 1024, 1), False, 8),
    "700 x 1 pixels": ((700, 1, 3), False, 8),
    "k=1": ((700, 600, 3), False, 1),
    "k=2": ((700, 600, 3), False, 2),
    "k=256": ((700, 600, 3), False, 256),
    "k=300": ((700, 600, 3), False, 300),
    "k=300 with transparent parts": ((700, 600, 3), True, 300),
    "gray, k=256, with transparent parts": ((700, 600, 1), True, 256),
}
needs_gdal = pytest.mark.skipif(not shutil.which("gdalinfo"), reason="GDAL is not installed")


def write(path, kind, rng, source=Source(), chunks=(512, 512), **options):  # noqa: B008
    """Write random labels; return them and the palette."""
    (height, width, channels), transparent, k = KINDS[kind]
    colors = rng.permutation(256 if channels == 1 else 4096)[:k, None] * [1, 7, 13][:channels] % 256
    palette = Palette.from_colors(colors, first_label=int(transparent))
    labels = rng.integers(0, k + transparent, (height, width)).astype(palette.label_dtype)
    labels[: height // 3, : width // 3] = 0
    write_tiff(path, da.from_array(labels, chunks=chunks), palette, source, **options)
    return labels, palette


def problems(path):
    """What rio-cogeo has against a file, strictly."""
    is_valid, errors, warned = cogeo.cog_validate(path, strict=True, quiet=True)
    assert is_valid == (not errors and not warned)
    return errors + warned


def read(path):
    """What rasterio finds."""
    with rasterio.open(path) as file:
        colors = None
        if file.colorinterp[0].name == "palette":
            colors = np.array([file.colormap(1)[i] for i in range(256)])
        return file.profile, file.read(), colors, [c.name for c in file.colorinterp]


def gdalinfo(*arguments):
    done = subprocess.run(["gdalinfo", *arguments], check=True, capture_output=True, text=True)
    return done.stdout
