"""Bands, masks and orientation of arrays and files, against NumPy and Pillow."""

from __future__ import annotations

import itertools
import math

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageOps

import bigquant
from bigquant.channels import choose_channels, compose
from bigquant.errors import InputError
from bigquant.raster import Raster
from bigquant.source import Source

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 57, 6), np.uint8)
PIXELS[5:9, 7:30] = 17


class Held:
    """Samples in memory, as windows."""

    def __init__(self, samples):
        self.samples, self.shape, self.dtype = samples, samples.shape, samples.dtype

    def __getitem__(self, key):
        return self.samples[key]


def raster(samples, **facts):
    known = {"windows": Held(samples), "block": (16, 16), "source": Source(), "colors": None}
    return Raster(**{**known, **facts})


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_photo_is_turned_as_pillow_turns_it(suffix, orientation, tmp_path, photo):
    exif = pillow.Exif()
    exif[274] = orientation
    path = tmp_path / f"phone.{suffix}"
    pillow.fromarray(photo).save(path, exif=exif, dpi=(300, 200))
    image = bigquant.open_image(path)
    with pillow.open(path) as opened:
        np.testing.assert_array_equal(image.compute(), ImageOps.exif_transpose(opened))
    assert not image.source.tags
    if suffix == "jpg":
        assert image.source.resolution == ((200, 300) if orientation > 4 else (300, 200))


@given(
    st.integers(1, 8),
    st.tuples(st.integers(0, 39), st.integers(0, 39)).map(sorted),
    st.tuples(st.integers(0, 39), st.integers(0, 39)).map(sorted),
)
def test_a_window_of_a_turned_image_is_that_of_the_whole(orientation, rows, columns):
    found = raster(PIXELS[..., :3], colors=(0, 1, 2), orientation=orientation)
    rule = choose_channels("a", 3, np.dtype(np.uint8), colors=(0, 1, 2))
    windows = compose(found, rule).windows
    whole = windows[:, :, :]
    key = (slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1), slice(0, 3))
    np.testing.assert_array_equal(windows[key], whole[key])
    assert windows.shape == whole.shape


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize("bands", [(3, 2, 1), (6, 6, 1), (4,), [1, 2, 3], (6, 2), (2, 1, 3, 6, 5)])
@pytest.mark.parametrize("lazy", [False, True])
def test_bands_are_counted_from_1(bands, lazy):
    array = da.from_array(PIXELS, chunks=(13, 20, 2)) if lazy else PIXELS
    image = bigquant.open_image(array, bands=bands)
    np.testing.assert_array_equal(image.compute(), PIXELS[..., [band - 1 for band in bands]])
    assert (image.channels, image.has_alpha, image.declared) == (len(bands), False, False)


@pytest.mark.parametrize("bands", [(), (0, 1, 2), (5, 6, 7), (-1,)])
def test_other_bands_are_refused(bands):
    with pytest.raises(InputError, match=r"must be some of 1 to 6\Z"):
        bigquant.open_image(PIXELS, bands=bands)


def test_bands_overrule_what_is_called_alpha():
    image = bigquant.open_image(PIXELS[..., :4], bands=(4, 3, 2))
    np.testing.assert_array_equal(image.compute(), PIXELS[..., [3, 2, 1]])
    image = bigquant.open_image(PIXELS[..., :4], bands=(1, 2, 3))
    np.testing.assert_array_equal(image.compute(), PIXELS[..., :3])


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_all_bands_are_taken_where_nobody_says_what_they_are(depth, tmp_path):
    path = tmp_path / "a.tif"
    extras = ["unspecified"] * (depth - 1)
    tifffile.imwrite(path, PIXELS[..., :depth], photometric="minisblack", extrasamples=extras)
    image = bigquant.open_image(path)
    np.testing.assert_array_equal(image.compute(), PIXELS[..., :depth])
    assert (image.channels, image.has_alpha, image.declared) == (depth, False, False)


def test_four_channels_of_an_array_are_rgb_and_alpha_unless_they_are_called_bands():
    image = bigquant.open_image(PIXELS[..., :4])
    assert (image.channels, image.has_alpha, image.declared) == (3, True, True)
    image = bigquant.open_image(PIXELS[..., :4], bands=(1, 2, 3, 4))
    assert (image.channels, image.has_alpha, image.declared) == (4, False, False)


def test_only_the_bands_that_are_wanted_are_read():
    found = raster(PIXELS)
    asked = []
    read = found.windows.__getitem__
    rule = choose_channels("a", 6, np.dtype(np.uint8), colors=None, bands=(4, 3, 4))

    class Counted(Held):
        def __getitem__(self, key):
            asked.append(key[2])
            return read(key)

    composed = compose(raster(PIXELS, windows=Counted(PIXELS)), rule)
    np.testing.assert_array_equal(composed.windows[:, :, :], PIXELS[..., [3, 2, 3]])
    assert asked == [slice(2, 4)]


# ---------------------------------------------------------------- masks

MARKS = {"alpha": (PIXELS[..., 3] % 3).astype(np.uint8), "nodata": 17, "mask": PIXELS[..., 4] > 99}
SOME = [marks for n in range(4) for marks in itertools.combinations(MARKS, n)]


@pytest.mark.parametrize("marks", SOME)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_pixel_is_out_when_anything_marks_it(marks, lazy):
    samples, out = PIXELS[..., :3], np.zeros(PIXELS.shape[:2], bool)
    options = {}
    if "alpha" in marks:
        samples = np.dstack([samples, MARKS["alpha"]])
        out |= MARKS["alpha"] == 0
    if "nodata" in marks:
        options["nodata"] = 17
        out |= (PIXELS[..., :3] == 17).all(axis=2)
    if "mask" in marks:
        options["mask"] = MARKS["mask"]
        out |= ~MARKS["mask"]
    array = da.from_array(samples, chunks=(13, 20, 2)) if lazy else samples
    image = bigquant.open_image(array, **options)
    assert image.shape[2] == (4 if marks else 3)
    np.testing.assert_array_equal(image.compute()[..., :3], PIXELS[..., :3])
    if marks:
        np.testing.assert_array_equal(image.compute()[..., 3] == 0, out)
    ignored = bigquant.open_image(array, mask=False)
    np.testing.assert_array_equal(ignored.compute(), PIXELS[..., :3])


@pytest.mark.parametrize("lazy", [False, True])
def test_nodata_is_looked_for_in_all_bands_whichever_are_chosen(lazy, tmp_path):
    samples = PIXELS.copy()
    samples[20:30, 20:30, :3] = 17  # not in the others
    array = da.from_array(samples, chunks=(13, 20, 2)) if lazy else samples
    np.save(tmp_path / "a.npy", samples)
    for image in (array, tmp_path / "a.npy"):
        opened = bigquant.open_image(image, bands=(3, 2, 1), nodata=17).compute()
        np.testing.assert_array_equal(opened[..., 3] == 0, (samples == 17).all(axis=2))
        np.testing.assert_array_equal(opened[..., :3], samples[..., 2::-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_nodata_of_any_type(dtype):
    value = -9999 if dtype == np.int16 else math.nan if dtype == np.float32 else 9
    samples = np.array([[1, 2, value], [value, 3, 4]]).astype(dtype)
    image = bigquant.open_image(samples, nodata=value).compute()
    np.testing.assert_array_equal(image[..., 1] == 0, [[0, 0, 1], [1, 0, 0]])
    assert image.dtype == dtype


@pytest.mark.parametrize("value", [-1, 256, 3.5, math.nan])
def test_a_value_that_no_pixel_can_have_marks_none(value):
    assert bigquant.open_image(PIXELS[..., :3], nodata=value).shape[2] == 3


def test_a_file_is_masked_by_a_file(tmp_path, photo):
    mask = (photo[..., 0] > 99).astype(np.uint8) * 255
    tifffile.imwrite(tmp_path / "a.tif", photo, photometric="rgb", tile=(32, 32))
    pillow.fromarray(mask).save(tmp_path / "mask.png")
    image = bigquant.open_image(tmp_path / "a.tif", mask=tmp_path / "mask.png")
    np.testing.assert_array_equal(image.compute(), np.dstack([photo, mask]))
    pillow.fromarray(mask[1:]).save(tmp_path / "small.png")
    with pytest.raises(InputError, match=r"small.png: is 131 x 106 pixels, the image 131 x 107"):
        bigquant.open_image(tmp_path / "a.tif", mask=tmp_path / "small.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_a_mask_of_several_bands_is_0_where_all_are(mode, tmp_path, photo):
    colors = np.where(photo > 120, photo, 0).astype(np.uint8)
    colors[:20] = 0, 200, 200  # no red
    picture = pillow.fromarray(colors).convert(mode)
    seen = np.asarray(picture.convert("L" if mode == "1" else mode))
    out = ~seen.reshape(*seen.shape[:2], -1)[..., :3].any(axis=2)
    picture.save(tmp_path / "mask.png")
    tifffile.imwrite(tmp_path / "a.tif", photo, photometric="rgb", tile=(32, 32))
    for image in (tmp_path / "a.tif", photo):
        opened = bigquant.open_image(image, mask=tmp_path / "mask.png").compute()
        np.testing.assert_array_equal(opened[..., 3] == 0, out)


@pytest.mark.parametrize(
    ("dtype", "top"),
    [(np.uint8, 255), (np.uint16, 4095), (np.uint32, 2**32 - 1), (np.uint64, 2**63)],
)
def test_premultiplied_colors_reach_what_the_file_says_is_white(dtype, top):
    samples = np.array([[[0, top // 3, top // 2, top], [top // 4, 0, top // 2, top // 2]]], dtype)
    facts = {"colors": (0, 1, 2), "alpha": 3, "premultiplied": True}
    rule = choose_channels("a", 4, np.dtype(dtype), **facts)
    source = Source(valid_range=(0, top))
    made = compose(raster(samples, source=source, **facts), rule).windows[:, :, :]
    expected = [[0, top // 3, top // 2, top], [top * (top // 4) / (top // 2), 0, top, top // 2]]
    np.testing.assert_allclose(made[0].astype(float), expected, rtol=1e-9, atol=0.5)
    assert made.dtype == dtype


def test_premultiplied_colors_are_divided_by_alpha():
    straight = PIXELS[..., :3].astype(float)
    alpha = PIXELS[..., 3:4]
    samples = np.dstack([np.rint(straight * alpha / 255).astype(np.uint8), alpha])
    rule = choose_channels(
        "a", 4, np.dtype(np.uint8), colors=(0, 1, 2), alpha=3, premultiplied=True
    )
    made = rule.apply(samples).astype(float)
    seen = alpha[..., 0] > 0
    bound = (0.5 * 255 / np.maximum(alpha, 1) + 0.5)[seen]
    assert (abs(made[..., :3] - straight)[seen] <= bound).all()
