"""TIFFs of other projects' test suites: read as independent readers read them, or refused."""

from __future__ import annotations

import collections
import re
import warnings

import numpy as np
import pytest
import tifffile
from children import read_each
from conftest import SAMPLES
from PIL import Image as pillow

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LOSSY = {6, 7, 33003, 34712, 34892, 50001, 50002}


@pytest.fixture(scope="module", autouse=True)
def _samples():
    if not SAMPLES.is_dir():
        pytest.skip(f"no folder {SAMPLES} of public test images")


def tiffs(*folders):
    found = (path for name in folders for path in sorted((SAMPLES / name).rglob("*")))
    return [path for path in found if path.is_file() and head(path) in MAGIC]


def head(path):
    with path.open("rb") as file:
        return file.read(4)


def whole(raster):
    height, width, depth = raster.windows.shape
    return raster.windows[slice(0, height), slice(0, width), slice(0, depth)]


def open_with_a_choice(path):
    """Open a file, with the choice that it asks for: the first."""
    try:
        return open_tiff(str(path), Selection())
    except bigquant.InputError as error:
        said = str(error)
    assert re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", said)
    choices = {
        "--page 0": Selection(page=0),
        "--series 0": Selection(series=0),
        "--select I=0": Selection(planes={"I": 0}),
    }
    for words, selection in choices.items():
        if words in said:
            try:
                return open_tiff(str(path), selection)
            except bigquant.InputError as error:
                return str(error)
    return said


def decoded(path):
    """Page 0, or an OME image, by tifffile: (y, x, sample), and the page; None if it cannot."""
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            if tif.is_ome and tif.series[0].kind == "ome":
                return np.moveaxis(tif.series[0].asarray(), 0, 2), page
            samples = page.asarray()
            planar = page.axes[0] == "S"
            page.colormap  # noqa: B018
    except Exception:  # noqa: BLE001
        return None
    samples = np.moveaxis(samples, 0, 2) if planar else samples
    return samples.reshape(*samples.shape[:2], -1), page


def normalised(samples, page):
    """Samples as `Raster` has them, in the plainest words."""
    bits = page.bitspersample
    n_colors = {"PALETTE": 1, "SEPARATED": 4}.get(getattr(page.photometric, "name", ""))
    if n_colors == 1:
        colormap = page.colormap if page.colormap.max() < 256 else page.colormap // 256
        colors = np.dstack([colormap[i][samples[..., 0].astype(int)] for i in range(3)])
        parts = [colors.astype(np.uint8), samples[..., 1:]]
        if 42113 in page.tags:
            parts.append((samples != page.nodata).astype(np.uint8))
        return np.dstack(parts)
    if n_colors == 4:
        white = 2**bits - 1
        inks = samples.astype(float)
        light = white - inks[..., 3:4]
        colors = light - np.floor(inks[..., :3] * light / white + 0.5)
        return np.dstack([colors.astype(samples.dtype), samples[..., 4:]])
    if page.photometric == 6 and page.compression not in (6, 7):
        with pillow.open(page.parent.filehandle.path) as image:
            return np.asarray(image.convert("RGB"))
    if samples.dtype == bool or bits < 8:
        samples = (samples.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
    if 262 in page.tags and page.photometric == 0:
        white = 255 if samples.dtype == np.uint8 else 2**bits - 1
        samples = (white - samples.astype(int)).astype(samples.dtype)
    return samples


def by_pillow(path):
    try:
        with warnings.catch_warnings(), pillow.open(path) as image:
            warnings.simplefilter("ignore")
            image.load()
            return image.copy()
    except Exception:  # noqa: BLE001
        return None


PATHS = tiffs("tiff-conformance", "large") if SAMPLES.is_dir() else []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_file_is_read_as_others_read_it_or_refused(path, capfd):
    raster = open_with_a_choice(path)
    found = decoded(path)
    if isinstance(raster, str):
        assert found is None or found[0].dtype.kind == "c", raster
        return
    capfd.readouterr()  # of tifffile
    pixels = whole(raster)
    assert capfd.readouterr().err == ""
    if found is None:
        assert by_pillow(path) is not None
    else:
        expected = normalised(*found)
        assert (pixels.dtype, pixels.shape) == (expected.dtype, expected.shape)
        ycbcr = found[1].photometric == 6 and found[1].compression not in (6, 7)
        np.testing.assert_allclose(pixels, expected, rtol=0, atol=2 if ycbcr else 0)
    compare_with_pillow(raster, pixels, path, found and found[1].compression in LOSSY)


def compare_with_pillow(raster, pixels, path, lossy):
    """Hold the colours against Pillow, where it has 8-bit ones that are not multiplied."""
    image = by_pillow(path)
    if image is None or image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK"):
        return
    if pixels.dtype != np.uint8 or raster.colors is None or raster.premultiplied:
        return
    mode = "RGB" if len(raster.colors) == 3 else "L"
    expected = np.asarray(image.convert(mode)).reshape(*pixels.shape[:2], -1)
    difference = np.abs(pixels[..., list(raster.colors)].astype(int) - expected)
    assert difference.max() <= (4 if lossy else 2)
    assert difference.mean() < (1.5 if lossy else 0.6)


def test_nearly_all_that_others_decode_is_read():
    counts = collections.Counter()
    for path in PATHS:
        raster = open_with_a_choice(path)
        if decoded(path) is not None or by_pillow(path) is not None:
            counts["decoded by others"] += 1
            counts["read"] += not isinstance(raster, str)
    print(dict(counts))
    assert counts["decoded by others"] > 150
    assert counts["read"] >= 0.93 * counts["decoded by others"]


def test_landsat_has_a_border_that_is_no_part_of_it():
    (path,) = (p for p in PATHS if p.name == "RGB.byte.tif")
    image = bigquant.open_image(path).compute()
    stored = tifffile.imread(path)
    np.testing.assert_array_equal(image[..., :3], stored)
    np.testing.assert_array_equal(image[..., 3] == 0, (stored == 0).all(axis=2))
    assert 0.2 < (image[..., 3] == 0).mean() < 0.6
    assert {*np.unique(image[..., 3])} == {0, 255}


def test_six_bands_are_all_taken():
    (path,) = (p for p in PATHS if p.name == "L7_ETMs.tif")
    np.testing.assert_array_equal(bigquant.open_image(path).compute(), tifffile.imread(path))
    image = bigquant.open_image(path, bands=(3, 2, 1))
    np.testing.assert_array_equal(image.compute(), tifffile.imread(path)[..., [2, 1, 0]])


def test_of_a_slide_the_slide_is_read():
    (path,) = (p for p in PATHS if p.name == "small_HE.svs")
    image = bigquant.open_image(path)
    with tifffile.TiffFile(path) as tif:
        expected = tif.pages[0].asarray()
        label = tif.series[2].asarray()
    np.testing.assert_array_equal(image.compute(), expected)
    np.testing.assert_array_equal(bigquant.open_image(path, series=2).compute(), label)


def test_levels_are_those_of_tifffile():
    for name in ("L7_ETMs.tif", "cog_rgb.tif", "cog.tiff", "cog_uint8_rgba.tif"):
        (path,) = (p for p in PATHS if p.name == name)
        with tifffile.TiffFile(path) as tif:
            levels = [level.asarray() for level in tif.series[0].levels]
        for number, level in enumerate(levels):
            raster = open_tiff(str(path), Selection(level=number))
            np.testing.assert_array_equal(whole(raster), level)
            assert raster.source.details["levels"][number] == f"{level.shape[1]} x {level.shape[0]}"
        with pytest.raises(bigquant.InputError, match=rf"no level {len(levels)}: .* 0 \("):
            open_tiff(str(path), Selection(level=len(levels)))


def test_broken_files_cost_a_line_and_little_else():
    outcomes = read_each(tiffs("broken"), mask=False, bands=(1,))
    assert len(outcomes) > 80
    for path, said, status, seconds, memory in outcomes:
        assert status == 0, path
        assert said == "read" or re.fullmatch(rf"{re.escape(path)}: [^\n]+", said), (path, said)
        assert seconds < 10, path
        assert memory < 1 << 30, path
