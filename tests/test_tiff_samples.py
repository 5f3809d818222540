"""What the samples of a TIFF mean: range, nodata, alpha, bands."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from tiffs import SHAPE, opened, random, write

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

# ---------------------------------------------------------------- ranges, inversion, nodata


@pytest.mark.parametrize(
    ("dtype", "tags", "expected"),
    [
        (np.uint16, {281: (3, 4095)}, (0, 4095)),
        (np.uint16, {281: (3, 3000)}, (0, 65535)),  # a statistic
        (np.uint16, {281: (3, 255)}, (0, 65535)),
        (np.uint16, {}, (0, 65535)),
        (np.uint8, {281: (3, 127)}, (0, 255)),
        (np.int16, {}, None),
        (np.int16, {340: (8, -2000), 341: (8, 3000)}, (-2000, 3000)),
        (np.float32, {340: (11, 0.0), 341: (11, 1.0)}, (0, 1)),
        (np.float32, {340: (11, 1.0), 341: (11, 1.0)}, None),
        (np.float64, {}, None),
    ],
)
def test_what_samples_can_be_is_known_where_the_file_tells(tmp_path, dtype, tags, expected):
    extra = [(code, type_, 1, value, True) for code, (type_, value) in tags.items()]
    samples = np.zeros((*SHAPE, 1), dtype)
    path = write(tmp_path / "a.tif", samples, photometric="minisblack", extratags=extra)
    assert open_tiff(str(path), Selection()).source.valid_range == expected


def test_white_is_zero_of_the_range_that_the_file_gives(tmp_path):
    samples = random(1, np.uint16, 4095)
    tags = [(281, 3, 1, 4095, True), (42113, 2, 0, "0", True)]
    path = write(tmp_path / "a.tif", samples, photometric="miniswhite", extratags=tags)
    raster, pixels = opened(path)
    np.testing.assert_array_equal(pixels[..., :1], 4095 - samples)
    np.testing.assert_array_equal(pixels[..., 1:] == 0, samples == 0)
    assert (raster.nodata, raster.marks, raster.n_bands) == (0, 1, 1)


@pytest.mark.parametrize("kind", ["plain", "miniswhite", "palette", "1 bit", "cmyk"])
@pytest.mark.parametrize("own", [False, True])
def test_nodata_is_what_is_stored_and_replaces_what_the_file_says(tmp_path, kind, own):
    samples = random(4 if kind == "cmyk" else 1, high=2 if kind == "1 bit" else 9)
    samples[5:9] = 1
    options = {"photometric": {"plain": "minisblack", "cmyk": "separated"}.get(kind, kind)}
    if kind == "palette":
        options["colormap"] = np.zeros((3, 256), np.uint16)  # all indices look alike
    if kind == "1 bit":
        options = {"photometric": "minisblack", "tile": (16, 16)}
        samples = samples.astype(bool)
    own_tag = [(42113, 2, 0, "0" if kind == "1 bit" else "3", True)] if own else []
    path = write(tmp_path / "a.tif", samples, **options, extratags=own_tag)
    image = bigquant.open_image(path, nodata=1)
    np.testing.assert_array_equal(image[..., -1] == 0, (samples == 1).all(axis=2))
    facts = image.source.details
    assert (facts["nodata"], facts["masked_by"]) == (1, ["nodata"])
    assert facts["bands"] == (3 if kind in ("palette", "cmyk") else 1)
    image = bigquant.open_image(path, nodata=1, bands=(1,))
    np.testing.assert_array_equal(image[..., -1] == 0, (samples == 1).all(axis=2))
    never = bigquant.open_image(path, nodata=300)  # no sample can be, though one is made 255
    assert never.shape[2] == (3 if kind in ("palette", "cmyk") else 1)


@pytest.mark.parametrize(
    ("dtype", "text", "expected"),
    [
        (np.uint8, "255", 255),
        (np.uint8, " 7\0", 7),
        (np.uint8, "-9999", None),
        (np.uint8, "1.5", None),
        (np.uint8, "nan", None),
        (np.uint8, "none", None),
        (np.uint16, "0,0", 0),
        (np.uint64, "18446744073709551615", 2**64 - 1),
        (np.int16, "-32768", -32768),
        (np.float32, "-3.40282346638528859e+38", -3.4028234663852886e38),
        (np.float32, "-1.7976931348623157e+308", None),
        (np.float32, "0.1", float(np.float32(0.1))),
        (np.float64, "-1.7976931348623157e+308", -1.7976931348623157e308),
    ],
)
def test_nodata_is_a_value_that_samples_can_have(tmp_path, dtype, text, expected):
    samples = np.zeros((*SHAPE, 1), dtype)
    if expected is not None:
        samples[4, 5] = expected
    tags = [(42113, 2, 0, text, True)]
    path = write(tmp_path / "a.tif", samples, photometric="minisblack", extratags=tags)
    assert open_tiff(str(path), Selection()).nodata == expected
    if expected:
        image = bigquant.open_image(path).compute()
        assert image[4, 5, 1] == 0
        assert (image[..., 1] == 0).sum() == 1


def test_nan_can_be_nodata(tmp_path):
    samples = np.ones((*SHAPE, 1), np.float32)
    samples[3, 4] = np.nan
    tags = [(42113, 2, 0, "nan", True)]
    path = write(tmp_path / "a.tif", samples, photometric="minisblack", extratags=tags)
    np.testing.assert_array_equal(np.argwhere(bigquant.open_image(path)[..., 1] == 0), [[3, 4]])


@pytest.mark.parametrize("nodata", [None, "9"])
def test_empty_tiles_have_the_value_of_nodata(tmp_path, nodata):
    tiles = [b"" if i % 2 else bytes([i + 20]) * 768 for i in range(12)]
    tags = [(42113, 2, 0, nodata, True)] if nodata else []
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter(tiles),
        shape=(37, 53, 3),
        dtype=np.uint8,
        tile=(16, 16),
        photometric="rgb",
        extratags=tags,
        metadata=None,
    )
    raster, pixels = opened(tmp_path / "a.tif")
    assert {*np.unique(pixels)} == {int(nodata or 0), *range(20, 32, 2)}
    assert raster.nodata == (9 if nodata else None)


# ---------------------------------------------------------------- alpha and bands


@pytest.mark.parametrize(
    ("photometric", "extras", "colors", "alpha"),
    [
        ("rgb", [], (0, 1, 2), None),
        ("rgb", [0], (0, 1, 2), None),
        ("rgb", [2], (0, 1, 2), 3),
        ("rgb", [0, 2], (0, 1, 2), 4),
        ("minisblack", [], (0,), None),
        ("minisblack", [2], (0,), 1),
        ("minisblack", [0], None, None),
        ("minisblack", [0, 0], None, None),
        ("minisblack", [0, 0, 2], None, 3),
    ],
)
def test_extra_samples_are_told_apart(tmp_path, photometric, extras, colors, alpha):
    samples = random((3 if photometric == "rgb" else 1) + len(extras))
    options = {"photometric": photometric, "extrasamples": extras or None}
    raster, pixels = opened(write(tmp_path / "a.tif", samples, **options))
    np.testing.assert_array_equal(pixels, samples)  # all stay within reach of bands=
    assert (raster.colors, raster.alpha) == (colors, alpha)


def test_bands_overrule_an_alpha_that_is_infrared(tmp_path):
    samples = random(4)
    path = write(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=["unassalpha"])
    image = bigquant.open_image(path, bands=(4, 1, 2))
    np.testing.assert_array_equal(image, samples[..., [3, 0, 1]])


@pytest.mark.parametrize("photometric", [None, 777])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_colour_model_that_is_missing_or_unknown(tmp_path, photometric, depth):
    samples = random(depth)
    path = write(tmp_path / "a.tif", samples, photometric="rgb" if depth > 1 else "minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags[262].offset
    if photometric:
        data[at + 8 : at + 10] = photometric.to_bytes(2, "little")
    else:
        data[at : at + 2] = (60000).to_bytes(2, "little")
    path.write_bytes(data)
    raster, pixels = opened(path)
    np.testing.assert_array_equal(pixels, samples)
    unknown = photometric is not None and depth > 1
    assert raster.colors == (None if unknown else tuple(range(depth)))


@pytest.mark.parametrize("name", ["cielab", "icclab"])
def test_lab_is_refused_with_a_remedy(tmp_path, name):
    path = write(tmp_path / "a.tif", random(3), photometric=name)
    with pytest.raises(bigquant.InputError, match=r"a.tif: its colours are (CIE|ICC)LAB.* srgb\Z"):
        open_tiff(str(path), Selection())


def test_the_mosaic_of_a_camera_is_refused_with_a_remedy(tmp_path):
    path = write(tmp_path / "a.dng", random(1, np.uint16), photometric="cfa")
    with pytest.raises(bigquant.InputError, match=r"sensor \(CFA\).*dcraw -T\Z"):
        open_tiff(str(path), Selection())


def test_complex_numbers_are_refused_with_a_remedy(tmp_path):
    samples = np.zeros((*SHAPE, 1), np.complex64)
    path = write(tmp_path / "a.tif", samples, photometric="minisblack")
    with pytest.raises(bigquant.InputError, match=r"complex64 are no colours: .*magnitude\Z"):
        open_tiff(str(path), Selection())
