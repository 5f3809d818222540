"""Palettes, CMYK and YCbCr become RGB as Pillow, little CMS and libtiff make it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as pillow
from PIL import ImageCms
from tiffs import RNG, SHAPE, cmyk_profile, opened, random, write, write_ycbcr

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

# ---------------------------------------------------------------- palettes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("step", [1, 256, 257])
def test_a_palette_of_any_depth(tmp_path, dtype, step):
    n = 1 << 8 * np.dtype(dtype).itemsize
    colors = RNG.integers(0, 256, (3, n)).astype(np.uint16)
    index = random(1, dtype)
    path = write(tmp_path / "a.tif", index, photometric="palette", colormap=colors * step)
    raster, pixels = opened(path)
    np.testing.assert_array_equal(pixels, np.moveaxis(colors[:, index[..., 0]], 0, 2))
    assert (raster.colors, raster.source.valid_range) == ((0, 1, 2), (0, 255))
    assert pixels.dtype == np.uint8


def test_a_colour_beyond_the_palette_is_one_line(tmp_path):
    index = random(1, high=9)
    index[30, 40] = 11
    tags = [(320, 3, 30, tuple(range(0, 3000, 100)), True)]
    path = write(tmp_path / "a.tif", index, photometric="minisblack", extratags=tags)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[262].overwrite(3)
    raster = open_tiff(str(path), Selection())
    assert raster.windows[0:20, 0:50, 0:3].shape == (20, 50, 3)
    with pytest.raises(bigquant.BigquantError, match=r"a.tif: a pixel has colour 11 of a palette"):
        raster.windows[20:37, 0:53, 0:3]


def test_nodata_of_a_palette_is_an_index(tmp_path):
    colors = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 256
    index = random(1, high=20)
    tags = [(42113, 2, 0, "5", True)]
    options = {"photometric": "palette", "colormap": colors, "extratags": tags}
    image = bigquant.open_image(write(tmp_path / "a.tif", index, **options))
    pixels = image.compute()
    np.testing.assert_array_equal(pixels[..., 3] == 0, index[..., 0] == 5)
    np.testing.assert_array_equal(pixels[..., :3], np.moveaxis(colors[:, index[..., 0]] >> 8, 0, 2))
    path = tmp_path / "a.tif"
    np.testing.assert_array_equal(bigquant.open_image(path, mask=False), pixels[..., :3])


# ---------------------------------------------------------------- CMYK


def test_cmyk_without_a_profile_is_as_pillow_has_it(tmp_path):
    inks = random(4)
    raster, pixels = opened(write(tmp_path / "a.tif", inks, photometric="separated"))
    expected = pillow.fromarray(inks, "CMYK").convert("RGB")
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    np.testing.assert_array_equal(raster.windows[3:9, 5:8, 0:3], pixels[3:9, 5:8])


def test_cmyk_of_16_bits_stays_so(tmp_path):
    inks = random(4, np.uint16)
    raster, pixels = opened(write(tmp_path / "a.tif", inks, photometric="separated"))
    c, k = inks[..., :3].astype(float), inks[..., 3:].astype(float)
    expected = (65535 - k) * (65535 - c) / 65535
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels.dtype, raster.source.valid_range) == (np.uint16, (0, 65535))


def test_cmyk_looks_as_its_profile_says(tmp_path):
    inks, profile = random(4), cmyk_profile()
    options = {"photometric": "separated", "iccprofile": profile}
    raster, pixels = opened(write(tmp_path / "a.tif", inks, **options))
    found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(
        pillow.fromarray(inks, "CMYK"), found, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    naive = np.asarray(pillow.fromarray(inks, "CMYK").convert("RGB")).astype(int)
    assert np.abs(pixels - naive).mean() > 5
    for y, x in ((3, 5), (20, 0)):
        key = (slice(y, y + 7), slice(x, x + 11), slice(0, 3))
        np.testing.assert_array_equal(raster.windows[key], pixels[key])
    assert raster.source.icc_profile is None  # the pixels are sRGB now


def test_a_profile_of_another_space_is_of_no_use_for_cmyk(tmp_path):
    inks = random(4)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (profile, b"no profile at all"):
        options = {"photometric": "separated", "iccprofile": data}
        _, pixels = opened(write(tmp_path / "a.tif", inks, **options))
        expected = pillow.fromarray(inks, "CMYK").convert("RGB")
        np.testing.assert_array_equal(pixels, np.asarray(expected))


def test_inks_that_are_not_cmyk_are_bands(tmp_path):
    inks = random(4)
    tags = [(332, 3, 1, 2, True)]
    raster, pixels = opened(
        write(tmp_path / "a.tif", inks, photometric="separated", extratags=tags)
    )
    np.testing.assert_array_equal(pixels, inks)
    assert raster.colors is None


# ---------------------------------------------------------------- YCbCr


@pytest.mark.parametrize("factors", [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)])
@pytest.mark.parametrize("compression", ["lzw", "deflate"])
@pytest.mark.parametrize("tile", [False, True])
def test_ycbcr_is_read_as_libtiff_reads_it(tmp_path, factors, compression, tile):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    samples = np.dstack([random(1)[..., 0], 60 + rows * 3, 200 - columns * 2]).astype(np.uint8)
    path = tmp_path / "a.tif"
    write_ycbcr(path, samples, factors, compression, tile)
    raster, pixels = opened(path)
    with pillow.open(path) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(pixels - expected).max() <= 2
    assert np.abs(pixels - expected).mean() < 0.6
    key = (slice(5, 30), slice(17, 50), slice(0, 3))
    np.testing.assert_array_equal(raster.windows[key], pixels[key])
    assert (raster.colors, raster.source.valid_range) == ((0, 1, 2), (0, 255))
