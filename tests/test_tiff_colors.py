"""What samples mean: palettes, CMYK, YCbCr, alpha, ranges, nodata, against Pillow and formulas."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as pillow
from PIL import ImageCms

import bigquant
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


def cmyk_profile():
    """A small CMYK profile: a table of 2 x 2 x 2 x 2 corners to Lab, made by hand."""
    import struct

    corners = []
    for c, m, y, k in np.ndindex(2, 2, 2, 2):
        light = (1 - 0.6 * k - 0.15 * (c + m)) * 65280
        corners += [light, 32768 + 9000 * (m - c), 32768 + 9000 * (y - (c + m) / 2)]
    table = np.clip(corners, 0, 65280).astype(">u2").tobytes()
    ramp = np.array([0, 65535], ">u2").tobytes()
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0])
    lut += np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 65536], ">u4").tobytes()
    lut += struct.pack(">HH", 2, 2) + ramp * 4 + table + ramp * 3
    lut += bytes(-len(lut) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    tags = [(b"A2B0", lut), (b"wtpt", white)]
    start = 128 + 4 + 12 * len(tags)
    entries, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        entries += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + entries + body


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


def write_ycbcr(path, samples, factors, compression, tile):
    """Write YCbCr in data units (TIFF 6.0, section 21), as tags and bytes, by tifffile."""
    across, down = factors
    height, width = samples.shape[:2]
    rows, columns = (16, 32) if tile else (8, width)
    segments = []
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            part = samples[y : y + rows, x : x + columns]
            pad_y = (rows if tile else part.shape[0] + -part.shape[0] % down) - part.shape[0]
            pad_x = (columns if tile else part.shape[1] + -part.shape[1] % across) - part.shape[1]
            part = np.pad(part, ((0, pad_y), (0, pad_x), (0, 0)), mode="edge")
            cut = part.reshape(part.shape[0] // down, down, -1, across, 3).swapaxes(1, 2)
            light = cut[..., 0].reshape(*cut.shape[:2], -1)
            chroma = cut[:, :, 0, 0, 1:]
            units = np.concatenate([light, chroma], axis=2).tobytes()
            segments.append(encode(units, compression))
    options = {"tile": (16, 32)} if tile else {"rowsperstrip": rows}
    tags = [(530, 3, 2, factors, True), (529, 5, 3, (299, 1000, 587, 1000, 114, 1000), True)]
    tags.append((532, 5, 6, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1), True))
    tifffile.imwrite(
        path,
        iter(segments),
        shape=samples.shape,
        dtype=np.uint8,
        photometric="rgb",
        compression=compression,
        metadata=None,
        extratags=tags,
        **options,
    )
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[262].overwrite(6)


def encode(data, compression):
    import imagecodecs

    codecs = {"lzw": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode}
    return codecs[compression](data)


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
    np.testing.assert_array_equal(pixels, 4095 - samples)
    assert raster.nodata == 4095


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


def test_complex_numbers_are_refused_with_a_remedy(tmp_path):
    samples = np.zeros((*SHAPE, 1), np.complex64)
    path = write(tmp_path / "a.tif", samples, photometric="minisblack")
    with pytest.raises(bigquant.InputError, match=r"complex64 are no colours: .*magnitude\Z"):
        open_tiff(str(path), Selection())
