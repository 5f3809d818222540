"""Files of every kind and arrays of every shape against Pillow and NumPy; what is refused."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from outcomes import refused
from PIL import Image as pillow
from strategies import chunked

import bigquant
from bigquant import tiff_pages, tiling
from bigquant.errors import InputError


def expect(image, pixels):
    """Expect an image (y, x, channel) of these pixels, (y, x) or (y, x, channel)."""
    assert isinstance(image, bigquant.Image)
    assert image.dtype == np.uint8
    assert image.numblocks[2] == 1
    np.testing.assert_array_equal(image.compute(), pixels.reshape(*pixels.shape[:2], -1))


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


@pytest.fixture
def tiled(tmp_path, photo):
    path = tmp_path / "tiled.tif"
    options = {"tile": (32, 32), "compression": "deflate", "resolution": (300, 300)}
    tifffile.imwrite(path, photo, photometric="rgb", **options)
    return path


# ---------------------------------------------------------------- JPEG, PNG, WebP


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_is_what_pillow_makes_of_it(tmp_path, photo, mode):
    picture = pillow.fromarray(photo)
    picture = picture.quantize(100) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    expected = pillow.open(tmp_path / "a.png").convert({"1": "L", "P": "RGB"}.get(mode, mode))
    expect(bigquant.open_image(tmp_path / "a.png"), np.asarray(expected))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_transparent_colour_of_a_png_becomes_alpha(tmp_path, photo, mode):
    picture = pillow.fromarray(photo)
    picture = picture.quantize(100) if mode == "P" else picture.convert(mode)
    key = {"1": 1, "L": 90, "P": 7, "RGB": tuple(photo[3, 4].tolist())}[mode]
    picture.save(tmp_path / "a.png", transparency=key)
    shown = "RGBA" if mode in ("P", "RGB") else "LA"
    expected = np.asarray(pillow.open(tmp_path / "a.png").convert(shown))
    assert set(np.unique(expected[..., -1])) == {0, 255}
    expect(bigquant.open_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("options", [{}, {"quality": 40, "progressive": True}, {"lossless": True}])
@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpg"), ("RGB", "jpg"), ("RGB", "webp"), ("RGBA", "webp")]
)
def test_jpeg_and_webp_are_what_pillow_makes_of_them(tmp_path, photo, mode, suffix, options):
    path = tmp_path / f"a.{suffix}"
    picture = pillow.fromarray(photo).convert(mode)
    picture.putpixel((3, 3), 0 if mode == "L" else (0,) * len(mode))
    picture.save(path, **options)
    expect(bigquant.open_image(path), np.asarray(pillow.open(path)))


def test_an_image_beyond_the_limit_of_pillow_opens_without_warning(tmp_path, photo, monkeypatch):
    pillow.fromarray(photo).save(tmp_path / "large.png")
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(pillow.DecompressionBombError):
        pillow.open(tmp_path / "large.png")
    expect(bigquant.open_image(tmp_path / "large.png"), photo)


def test_the_first_bytes_tell_the_format_and_not_the_name(tmp_path, photo):
    pillow.fromarray(photo).save(tmp_path / "png.tif", format="png")
    tifffile.imwrite(tmp_path / "tif.npy", photo, photometric="rgb")
    expect(bigquant.open_image(tmp_path / "png.tif"), photo)
    expect(bigquant.open_image(str(tmp_path / "tif.npy")), photo)


# ---------------------------------------------------------------- .npy, Zarr, arrays

SHAPES = [(61, 83), (61, 83, 1), (61, 83, 2), (61, 83, 3), (61, 83, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_and_npy_files_are_read(tmp_path, rng, shape, order):
    pixels = np.asarray(rng.integers(0, 256, shape, np.uint8), order=order)
    np.save(tmp_path / "a.npy", pixels)
    expect(bigquant.open_image(pixels), pixels)
    expect(bigquant.open_image(tmp_path / "a.npy"), pixels)


def test_an_npy_file_is_neither_pickled_nor_read_whole(tmp_path):
    pixels = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (40000, 10000, 3))
    pixels[-1, -1] = 1, 2, 3
    pixels.flush()
    image = bigquant.open_image(tmp_path / "a.npy")
    assert len(pickle.dumps(image)) < 10_000
    assert image[-1, -1].compute().tolist() == [1, 2, 3]


@given(chunked())
def test_dask_arrays_of_any_chunks_are_read(drawn):
    pixels, array = drawn
    expect(bigquant.open_image(array), pixels)
    assert bigquant.open_image(array).chunks[:2] == array.chunks[:2]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_the_channel_axis_may_be_any(rng, axis):
    pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
    moved = np.moveaxis(pixels, 2, axis)
    expect(bigquant.open_image(moved, channel_axis=axis), pixels)
    expect(bigquant.open_image(da.from_array(moved, chunks=7), channel_axis=axis), pixels)


@pytest.mark.parametrize("kind", ["v2", "v3", "v3 named", "v3 sharded", "v3 sharded named"])
@pytest.mark.parametrize("axes", ["yx", "yxc", "cyx"])
def test_zarr_arrays_are_read_in_whole_shards(tmp_path, rng, monkeypatch, axes, kind):
    monkeypatch.setattr(tiling, "BLOCK_BYTES", 1 << 12)
    pixels = rng.integers(0, 256, (101, 150, 3) if "c" in axes else (101, 150), np.uint8)
    sizes = {"chunks": {"y": 16, "x": 32, "c": 1}}
    if "sharded" in kind:
        sizes["shards"] = {"y": 32, "x": 64, "c": 3}
    options = {name: [size[axis] for axis in axes] for name, size in sizes.items()}
    if "named" in kind:
        options["dimension_names"] = list(axes)
    stored = np.moveaxis(pixels, 2, 0) if axes == "cyx" else pixels
    array = zarr.create_array(tmp_path / "a", data=stored, zarr_format=int(kind[1]), **options)
    axis = axes.find("c") if axes == "cyx" and "named" not in kind else None
    image = bigquant.open_image(tmp_path / "a", channel_axis=axis)
    expect(image, pixels)
    expect(bigquant.open_image(array, channel_axis=axes.find("c")), pixels)
    unit = (32, 64) if "sharded" in kind else (16, 32)
    blocks = zip(unit, image.chunks, strict=False)
    assert all(size % n == 0 for n, sizes in blocks for size in sizes[:-1])
    assert image.npartitions > 4
    assert len(pickle.dumps(image)) < 10_000


# ---------------------------------------------------------------- laziness, travel


def test_nothing_is_decoded_before_it_is_computed(tiled, monkeypatch):
    monkeypatch.setattr(tiff_pages, "OpenPage", None)
    assert bigquant.open_image(tiled).shape == (107, 131, 3)


def test_an_image_keeps_its_source_and_what_is_made_of_it_has_none(tiled):
    image = bigquant.open_image(tiled)
    assert bigquant.open_image(image) is image
    copy = pickle.loads(pickle.dumps(image))  # noqa: S301
    assert len(pickle.dumps(image)) < 10_000
    assert isinstance(copy, bigquant.Image)
    assert copy.source == image.source
    assert all(type(a) is da.Array for a in (image[:9], image[..., 0], image + 1, image.persist()))


def test_an_image_is_read_in_other_processes(tiled, photo):
    image = bigquant.open_image(tiled)
    total = image.sum().compute(scheduler="processes", num_workers=1)
    code = (
        "import pickle, sys; image = pickle.load(sys.stdin.buffer);"
        "print(image.source.path, int(image.sum().compute()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=pickle.dumps(image), capture_output=True, check=True)
    assert done.stdout.decode().split() == [str(tiled), str(photo.sum())]
    assert total == photo.sum()


# ---------------------------------------------------------------- refused


def save(suffix, pixels, **options):
    """Plan to write pixels to a path with this suffix."""
    if suffix == ".npy":
        return suffix, lambda path: np.save(path, pixels)
    if suffix == ".zarr":
        return suffix, lambda path: zarr.create_array(path, data=pixels, **options)
    if suffix == ".tif":
        return suffix, lambda path: tifffile.imwrite(path, pixels, **options)
    return suffix, lambda path: pillow.fromarray(pixels, options.get("mode")).save(path)


def content(suffix, data):
    return suffix, lambda path: path.write_bytes(data)


GRAY = np.arange(400, dtype=np.uint8).reshape(20, 20)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1"
NPY = b"\x93NUMPY\x01\0\x37\0{'descr': '|u1', 'fortran_order': False, 'shape': (3, 3 \n" + bytes(9)
TIFF = b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0"
BAD = [
    ("no such file", (".tif", lambda path: None)),
    ("a folder without Zarr metadata", (".zarr", lambda path: path.mkdir())),
    ("not an image that bigquant reads", content(".tif", b"just text, and enough of it")),
    ("not an image that bigquant reads", content(".png", b"")),
    ("complex64 are no colours", save(".tif", GRAY.astype(np.complex64))),
    ("colours are CIELAB", save(".tif", np.dstack([GRAY] * 3), photometric="cielab")),
    ("planes", save(".tif", np.stack([GRAY] * 16), volumetric=True, tile=(16, 16, 16))),
    ("no image", content(".tif", TIFF)),
    ("complex128 are not real", save(".npy", GRAY * 1j)),
    ("not a readable .npy file .*object", save(".npy", np.array([{}, []], object))),
    ("not a readable .npy file", content(".npy", NPY)),
    ("not a readable .npy file", content(".npy", NPY[:7])),
    ("not a readable image", content(".png", PNG)),
    ("not a readable image", content(".jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0")),
    ("not a readable image", content(".webp", b"RIFF\xff\0\0\0WEBPVP8 ")),
    ("not an image that bigquant reads .*GIF", save(".tga", GRAY)),
    ("not a readable image", content(".gif", b"GIF89a" + bytes(9))),
    ("not a readable image", content(".bmp", b"BM, or so they say")),
    ("not a readable image", content(".jp2", b"\xff\x4f\xff\x51" + bytes(9))),
    ("channels first, or 20 bands", save(".zarr", np.stack([GRAY] * 3))),
    (r"shape \(20, 20, 1, 1\)", save(".npy", GRAY[:, :, None, None])),
    (r"shape \(0, 20\)", save(".npy", GRAY[:0])),
    (r"shape \(20, 0, 3\)", save(".zarr", np.zeros((20, 0, 3), np.uint8))),
]


@pytest.mark.parametrize(("words", "case"), BAD)
def test_what_is_no_image_is_refused_in_one_line_that_names_it(tmp_path, words, case):
    suffix, make = case
    path = tmp_path / f"input{suffix}"
    make(path)
    with refused(path) as caught:
        bigquant.open_image(path)
    assert isinstance(caught.value, ValueError)
    assert re.search(words, str(caught.value), re.I)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_zarr_group_is_refused_with_the_arrays_in_it(tmp_path, foreign):
    path = tmp_path / "group.zarr"
    group = zarr.open_group(path, mode="w")
    for name in ("level-0", "level-1"):
        group.create_array(name, data=GRAY)
    if foreign:
        (path / "notes").mkdir()
    with refused(path) as caught:
        bigquant.open_image(path)
    assert "level-0, level-1" in str(caught.value)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (GRAY * 1j, {}),
        (np.zeros((4, 4, 5), np.uint8), {}),
        (np.zeros((4, 0), np.uint8), {}),
        (np.zeros(4, np.uint8), {}),
        (np.zeros((4, 4, 3), np.uint8), {"channel_axis": 3}),
        (da.from_array(GRAY)[da.from_array(GRAY[:, 0]) > 9], {}),
        ([["a", "b"]], {}),
        (None, {}),
    ],
)
def test_an_array_that_is_no_image_is_refused_in_one_line(array, options):
    with pytest.raises(bigquant.InputError, match=r"\A[^\n]+\Z"):
        bigquant.open_image(array, **options)


def test_a_masked_array_says_how_to_give_its_mask():
    with pytest.raises(InputError, match="its mask as mask="):
        bigquant.open_image(np.ma.zeros((9, 9, 3), np.uint8))


def test_many_channels_may_be_anywhere_if_it_is_said():
    array = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    assert bigquant.open_image(array, channel_axis=0).shape == (20, 30, 3)
    assert bigquant.open_image(array, channel_axis=2).channels == 30
    with pytest.raises(InputError, match="channel_axis=0 or channel_axis=2"):
        bigquant.open_image(array)
