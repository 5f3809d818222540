"""TIFFs with a few bytes changed: read, or refused in one line, soon, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from children import Reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import survived
from tiffs import write_ycbcr

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


ODD = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 254, 255])
CHOICES = ({}, {"page": 0, "bands": (1,)}, {"select": {"Z": 0, "C": 1}})


@st.composite
def damaged(draw, seeds):
    """Change a few bytes, in the directory's entries more often than elsewhere; or cut."""
    data = bytearray(seeds[draw(st.integers(0, len(seeds) - 1))])
    order = "little" if data[:2] == b"II" else "big"
    big = data[2] == 43 or data[3] == 43
    start = int.from_bytes(data[8:16] if big else data[4:8], order)
    near = st.integers(start, min(start + 299, len(data) - 1))
    places = st.one_of(near, near, st.integers(0, len(data) - 1))
    for place, value in draw(
        st.lists(st.tuples(places, ODD | st.integers(0, 255)), min_size=1, max_size=5)
    ):
        data[place] = value
    if draw(st.integers(0, 19)) == 7:
        del data[draw(st.integers(0, len(data) - 1)) :]
    return bytes(data)


def fuzz(folder, seeds, n_cases):
    path = folder / "fuzzed.tif"

    with Reader(folder / "errors") as reader:

        @settings(max_examples=n_cases, suppress_health_check=list(HealthCheck))
        @given(data=damaged(seeds), choice=st.sampled_from(CHOICES))
        def is_survived(data, choice):
            path.write_bytes(data)
            survived(reader.read(path, **choice))

        is_survived()
    assert (folder / "errors").read_text() == ""


def test_changed_bytes_are_survived(tmp_path, seeds):
    fuzz(tmp_path, seeds, 480)


@pytest.mark.slow
def test_many_more_changed_bytes_are_survived(tmp_path, seeds):
    fuzz(tmp_path, seeds, 6000)
