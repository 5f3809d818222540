"""Tiles whose own headers claim other sizes than the TIFF gives them."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from children import read_each
from outcomes import refused
from PIL import Image as pillow

import bigquant

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
FLAT = np.zeros((5000, 5000, 3), np.uint8)


def write_tile(path, data, compression, shape=(256, 256, 3), **options):
    options = {"tile": (256, 256), "photometric": "rgb", **options}
    tifffile.imwrite(
        path,
        iter([data]),
        shape=shape,
        dtype="u1",
        compression=compression,
        metadata=None,
        **options,
    )
    return path


def lying_jpeg():
    data = bytearray(imagecodecs.jpeg8_encode(PIXELS))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 60000, 60000)
    return bytes(data)


BOMBS = {
    "jpeg": (7, lying_jpeg),
    "jpeg2000": (34712, lambda: imagecodecs.jpeg2k_encode(FLAT, level=1)),
    "jpegxl": (50002, lambda: imagecodecs.jpegxl_encode(FLAT, effort=1)),
    "jpegxr": (22610, lambda: imagecodecs.jpegxr_encode(FLAT)),
    "png": (34933, lambda: imagecodecs.png_encode(FLAT)),
    "webp": (50001, lambda: imagecodecs.webp_encode(FLAT, lossless=True)),
    "lerc": (34887, lambda: imagecodecs.lerc_encode(FLAT)),
    "lerc, deflated": (34887, lambda: zlib.compress(bytes(1 << 28))),
    "deflate": (8, lambda: zlib.compress(FLAT)),
    "zstd": (50000, lambda: imagecodecs.zstd_encode(FLAT)),
}


def test_tiles_that_claim_a_huge_size_are_refused_in_little_memory(tmp_path):
    paths = [
        write_tile(tmp_path / f"{name}.tif", make(), compression)
        for name, (compression, make) in BOMBS.items()
    ]
    for outcome in read_each(paths):
        assert outcome.said.startswith(f"{outcome.path}: tile or strip 0 is damaged ("), outcome
        assert "\n" not in outcome.said
        assert (outcome.status, outcome.seconds < 5, outcome.memory < 200e6) == (0, True, True)


def tiles(encode, edge):
    """Encode an image of 300 x 280 pixels in tiles, those at its edges cut off or padded."""
    pixels = np.random.default_rng(1).integers(0, 256, (300, 280, 3), np.uint8)
    for y in (0, 256):
        for x in (0, 256):
            part = pixels[y : y + 256, x : x + 256]
            if edge == "padded":
                part = np.pad(part, ((0, 256 - part.shape[0]), (0, 256 - part.shape[1]), (0, 0)))
            yield pixels, encode(np.ascontiguousarray(part))


LOSSLESS = {
    "png": (34933, imagecodecs.png_encode),
    "webp": (50001, lambda part: imagecodecs.webp_encode(part, lossless=True)),
    "jpeg2000": (34712, lambda part: imagecodecs.jpeg2k_encode(part, level=0)),
    "lerc, deflated": (34887, lambda part: zlib.compress(imagecodecs.lerc_encode(part))),
}


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("edge", ["cut", "padded"])
def test_tiles_at_the_edge_may_be_of_the_size_that_is_left(tmp_path, name, edge):
    compression, encode = LOSSLESS[name]
    made = list(tiles(encode, edge))
    tifffile.imwrite(
        tmp_path / "a.tif",
        (data for _, data in made),
        shape=(300, 280, 3),
        dtype="u1",
        tile=(256, 256),
        compression=compression,
        photometric="rgb",
        metadata=None,
    )
    np.testing.assert_array_equal(bigquant.open_image(tmp_path / "a.tif").compute(), made[0][0])


@pytest.mark.parametrize("rows", [40, 48, 64])
def test_the_jpeg_of_a_last_strip_may_be_higher_than_what_is_left(tmp_path, rows):
    strips = [np.resize(PIXELS, (n, 64, 3)) for n in (64, rows)]
    encoded = [imagecodecs.jpeg8_encode(strip, level=95) for strip in strips]
    path = tmp_path / "a.tif"
    options = {"rowsperstrip": 64, "photometric": "rgb", "compression": 7, "metadata": None}
    tifffile.imwrite(path, iter(encoded), shape=(104, 64, 3), dtype="u1", **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[262].overwrite(6)  # YCbCr, as it is encoded
    decoded = np.concatenate([imagecodecs.jpeg8_decode(data) for data in encoded])[:104]
    np.testing.assert_array_equal(bigquant.open_image(path).compute(), decoded)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_planes_in_jpeg_are_gray_each(tmp_path, photometric):
    """As GDAL writes them: COMPRESS=JPEG, INTERLEAVE=BAND."""
    planes = [np.resize(PIXELS[..., i], (256, 256)) for i in range(3)]
    encoded = []
    for plane in planes:
        file = io.BytesIO()
        pillow.fromarray(plane).save(file, "jpeg", quality=95)
        encoded.append(file.getvalue())
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        iter(encoded),
        shape=(3, 256, 256),
        dtype="u1",
        tile=(256, 256),
        planarconfig="separate",
        photometric="rgb",
        compression=7,
        metadata=None,
    )
    expected = np.dstack([imagecodecs.jpeg8_decode(data) for data in encoded])
    np.testing.assert_array_equal(bigquant.open_image(path).compute(), expected)


def test_a_jpeg_2000_strip_has_a_limit_of_its_own(tmp_path):
    data = imagecodecs.jpeg2k_encode(PIXELS)
    path = tmp_path / "a.tif"
    options = {"rowsperstrip": 14000, "tile": None}
    write_tile(path, data, 34712, shape=(14000, 14000, 3), **options)
    with refused(path, words=r"decodes to 560 MiB \(limit 512\)"):
        bigquant.open_image(path)


def test_a_strip_that_is_decoded_at_once_says_whose_it_is(tmp_path):
    """Of so many samples that it is unpacked first, and its codec makes three."""
    path = tmp_path / "photo.tif"
    pixels = np.zeros((40, 50, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression="webp", rowsperstrip=40)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["SamplesPerPixel"].valueoffset
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(struct.pack("<H", 33795))
    with pytest.raises(bigquant.BigquantError) as caught:
        bigquant.open_image(path, bands=(1,)).compute()
    assert str(caught.value).startswith(f"{path}: tile or strip 0 is damaged (its data are of ")
