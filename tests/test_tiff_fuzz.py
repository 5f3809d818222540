"""TIFFs with a few bytes changed: read, or refused in one line, soon."""

from __future__ import annotations

import re
import time
import warnings

import numpy as np
import pytest
import tifffile
from tiffs import write_ycbcr

from bigquant.errors import BigquantError
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 50, 3), np.uint8)
SEEDS = {
    "raw": {},
    "tiled": {"tile": (16, 16), "compression": "deflate"},
    "planar": {"planarconfig": "separate", "rowsperstrip": 9, "compression": "lzw"},
    "big": {"bigtiff": True, "byteorder": ">", "compression": "packbits"},
    "jpeg": {"compression": "jpeg", "tile": (16, 16)},
    "zstd": {"compression": "zstd", "predictor": True},
    "webp": {"compression": "webp"},
    "jpeg2000": {"compression": "jpeg2000"},
    "lerc": {"compression": "lerc"},
    "ome": {"ome": True, "metadata": {"axes": "CYX"}, "photometric": "minisblack"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"},
    "pages": {"photometric": "minisblack", "compression": "deflate"},
    "levels": {"subifds": 1},
    "palette": {"photometric": "palette", "colormap": np.arange(768).reshape(3, 256) * 85},
    "cmyk": {"photometric": "separated"},
    "volume": {"volumetric": True, "tile": (16, 16, 16), "photometric": "minisblack"},
    "nodata": {"extratags": [(42113, 2, 0, "7", True)], "tile": (16, 16)},
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    found = []
    for name, options in SEEDS.items():
        path = folder / f"{name}.tif"
        write(path, name, dict(options))
        found.append(path.read_bytes())
    for number, factors in enumerate([(2, 2), (4, 1), (1, 2)]):
        path = folder / "ycbcr.tif"
        write_ycbcr(path, PIXELS, factors, "lzw", tile=number % 2 == 0)
        found.append(path.read_bytes())
    return found


def write(path, name, options):
    pixels = PIXELS
    if options.get("planarconfig") or options.get("photometric") == "minisblack":
        pixels = np.moveaxis(pixels, 2, 0).copy()
    if name == "palette":
        pixels, options["colormap"] = PIXELS[..., 0], options["colormap"].astype(np.uint16)
    if name == "cmyk":
        pixels = np.concatenate([PIXELS, PIXELS[..., :1]], axis=2)
    options.setdefault("photometric", "rgb")
    kind = {
        key: options.pop(key) for key in ("ome", "imagej", "bigtiff", "byteorder") if key in options
    }
    with tifffile.TiffWriter(path, **kind) as tif:
        tif.write(pixels, **options)
        if name == "levels":
            tif.write(PIXELS[::2, ::2].copy(), photometric="rgb", subfiletype=1)
        if name == "tiled":
            tif.write(PIXELS[..., 0] > 99, photometric="mask", subfiletype=4)


def mutate(rng, data):
    """Change a few bytes, in the directory's entries more often than elsewhere; or cut."""
    data = bytearray(data)
    order = "little" if data[:2] == b"II" else "big"
    big = data[2] == 43 or data[3] == 43
    start = int.from_bytes(data[8:16] if big else data[4:8], order)
    for _ in range(rng.integers(1, 6)):
        place = start + rng.integers(0, 300) if rng.random() < 0.7 else rng.integers(0, len(data))
        if place < len(data):
            odd = rng.choice([0, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 254, 255])
            data[place] = odd if rng.random() < 0.5 else rng.integers(0, 256)
    return bytes(data[: rng.integers(0, len(data))] if rng.random() < 0.05 else data)


def read(path):
    """Read a file as far as that is cheap: what is huge is not worth the time of a test."""
    for selection in (Selection(), Selection(page=0), Selection(planes={"Z": 0, "C": 1})):
        try:
            raster = open_tiff(str(path), selection)
            height, width, depth = raster.windows.shape
            for windows in filter(None, (raster.windows, raster.mask)):
                windows[slice(0, min(height, 512)), slice(0, min(width, 512)), slice(0, depth)]
        except BigquantError as error:
            if not re.fullmatch(rf"{re.escape(str(path))}: [^\n]{{1,800}}", str(error)):
                raise AssertionError(f"not one line that names the file: {error}") from error


def fuzz(folder, seeds, n_cases, first):
    slowest = 0.0
    for case in range(first, first + n_cases):
        rng = np.random.default_rng(case)
        data = mutate(rng, seeds[case % len(seeds)])
        path = folder / f"{case}.tif"
        path.write_bytes(data)
        start = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
        slowest = max(slowest, time.monotonic() - start)
        path.unlink()
    assert slowest < 10


def test_changed_bytes_are_survived(tmp_path, seeds, capfd):
    fuzz(tmp_path, seeds, 480, 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_many_more_changed_bytes_are_survived(tmp_path, seeds, capfd):
    fuzz(tmp_path, seeds, 6000, 1000)
    assert capfd.readouterr() == ("", "")
