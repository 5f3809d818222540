"""PNG and ``.npy`` outputs, judged by Pillow, GDAL, libvips and numpy."""

from __future__ import annotations

import json
import subprocess

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageCms
from test_write import SIDES, make_image, needs

from bigquant import Palette, open_image, quantize
from bigquant.cluster import running_on
from bigquant.source import Source
from bigquant.write import write_npy, write_png

WRITERS = {"out.png": write_png, "out.npy": write_npy}


def palette_of(n):
    return Palette.from_colors([[i % 256, 255 - i % 256, 7 * i % 256] for i in range(n)])


def write(path, labels, n=16, source=None, **options):
    WRITERS[path.name](path, labels, palette_of(n), source or Source(), **options)


def read(path):
    if path.suffix == ".npy":
        return np.load(path)
    with pillow.open(path) as picture:
        return np.asarray(picture)


def expected_rgba(result):
    """What a viewer must show: the palette's colours, and nothing where label 0 is reserved."""
    image = result.image.compute()
    opaque = result.labels.compute() >= result.palette.first_label
    return np.dstack([np.broadcast_to(image, (*image.shape[:2], 3)), opaque * np.uint8(255)])


# ---------------------------------------------------------------- PNG, as others read it


def show_with_pillow(path, folder):
    with pillow.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


def show_with_gdal(path, folder):
    command = ["gdal_translate", "-q", "-expand", "rgba", "-co", "INTERLEAVE=PIXEL"]
    subprocess.run([*command, path, folder / "gdal.tif"], check=True, capture_output=True)
    return tifffile.imread(folder / "gdal.tif")


def show_with_vips(path, folder):
    subprocess.run(["vips", "copy", path, folder / "vips.tif"], check=True, capture_output=True)
    shown = tifffile.imread(folder / "vips.tif")
    opaque = np.full((*shown.shape[:2], 1), 255, np.uint8)
    return shown if shown.shape[2] == 4 else np.dstack([shown, opaque])


READERS = [
    pytest.param(show_with_pillow, id="Pillow"),
    pytest.param(show_with_gdal, id="GDAL", marks=needs("gdal_translate")),
    pytest.param(show_with_vips, id="libvips", marks=needs("vips")),
]


@pytest.mark.parametrize("show", READERS)
@pytest.mark.parametrize(
    ("kind", "k"),
    [
        *((kind, 8) for kind in ("gray", "RGB", "gray and alpha", "RGBA", "5 x 7 pixels")),
        *(("RGB", k) for k in (1, 2, 3, 16, 17, 256)),
        *(("RGBA", k) for k in (1, 3, 255)),
        ("1 x 3000 pixels", 4),
        ("1100 x 700 pixels", 2),
    ],
)
def test_readers_show_exactly_the_result(kind, k, show, tmp_path, rng):
    result = quantize(make_image(kind, rng), k, n_init=1)
    result.to_png(tmp_path / "out.png")
    np.testing.assert_array_equal(show(tmp_path / "out.png", tmp_path), expected_rgba(result))


@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 15, 16, 17, 200])
def test_pixels_are_labels_in_as_few_bits_as_they_need(kind, k, tmp_path, rng):
    result = quantize(make_image(kind, rng), k, n_init=1)
    result.to_png(tmp_path / "out.png")
    np.testing.assert_array_equal(read(tmp_path / "out.png"), result.labels.compute())
    n_labels = k + (kind == "RGBA")
    bits, color_type = (tmp_path / "out.png").read_bytes()[24:26]
    assert (bits, color_type) == (next(b for b in (1, 2, 4, 8) if n_labels <= 2**b), 3)


def test_bigquant_reads_what_it_wrote(tmp_path, rng):
    result = quantize(make_image("RGBA", rng), 5)
    result.to_png(tmp_path / "out.png")
    np.testing.assert_array_equal(open_image(tmp_path / "out.png"), expected_rgba(result))
    result.to_npy(tmp_path / "out.npy")
    np.testing.assert_array_equal(open_image(tmp_path / "out.npy")[..., 0], result.labels)


# ---------------------------------------------------------------- what goes along


def profile(space):
    """A colour profile that says it is one of such a space."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[16:20] = space
    return bytes(data)


@pytest.mark.parametrize("space", [b"RGB ", b"GRAY", b"CMYK"])
def test_a_colour_profile_is_kept_if_it_is_one_of_rgb(space, tmp_path):
    embedded = profile(space)  # with the time it was made at
    source = Source(icc_profile=embedded)
    write(tmp_path / "out.png", da.zeros((9, 8), dtype=np.uint8), source=source)
    with pillow.open(tmp_path / "out.png") as picture:
        assert picture.info.get("icc_profile") == (embedded if space == b"RGB " else None)


@pytest.mark.parametrize(
    ("resolution", "unit", "per_meter"),
    [
        ((300, 150), "inch", (11811, 5906)),
        ((40000, 20000), "centimeter", (4000000, 2000000)),  # a slide of 0.25 micrometers
        ((300, 300), None, None),
        ((1e-9, 1), "centimeter", None),
        ((1e12, 1e12), "inch", None),
    ],
)
def test_the_size_of_a_pixel_is_kept(resolution, unit, per_meter, tmp_path):
    source = Source(resolution=resolution, unit=unit)
    write(tmp_path / "out.png", da.zeros((9, 8), dtype=np.uint8), source=source)
    with pillow.open(tmp_path / "out.png") as picture:
        dpi = picture.info.get("dpi")
    assert (dpi and tuple(round(value / 0.0254) for value in dpi)) == per_meter


@pytest.mark.parametrize("name", WRITERS)
def test_the_palette_stands_beside_the_output(name, tmp_path):
    write(tmp_path / name, da.zeros((9, 8), dtype=np.uint8))
    beside = Palette.load(tmp_path / f"{name}.palette.json")
    np.testing.assert_array_equal(beside.colors, palette_of(16).colors)
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.palette.json"}


def test_the_palette_stands_in_the_png(tmp_path, rng):
    result = quantize(make_image("RGB", rng), 8)
    result.to_png(tmp_path / "out.png")
    with pillow.open(tmp_path / "out.png") as picture:
        picture.load()
        assert json.loads(picture.info["bigquant"]) == result.palette.as_json()


# ---------------------------------------------------------------- .npy


@pytest.mark.parametrize(("n", "dtype"), [(16, "|u1"), (300, "<u2")])
def test_npy_holds_the_labels(n, dtype, tmp_path, rng):
    labels = rng.integers(0, n, (1300, 700)).astype(palette_of(n).label_dtype)
    write(tmp_path / "out.npy", da.from_array(labels, chunks=(300, 400)), n)
    mapped = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert (mapped.dtype.str, mapped.flags.c_contiguous) == (dtype, True)
    np.testing.assert_array_equal(mapped, labels)
    assert (tmp_path / "out.npy").read_bytes()[:8] == b"\x93NUMPY\1\0"


@needs("gdal_translate")
@pytest.mark.parametrize(("n", "kind", "size"), [(16, "Byte", 1), (300, "UInt16", 2)])
def test_gdal_finds_the_labels_behind_the_header_of_a_npy(n, kind, size, tmp_path, rng):
    labels = rng.integers(0, n, (50, 70)).astype(palette_of(n).label_dtype)
    write(tmp_path / "out.npy", da.from_array(labels), n)
    offset = (tmp_path / "out.npy").stat().st_size - 50 * 70 * size
    (tmp_path / "raw.vrt").write_text(
        f'<VRTDataset rasterXSize="70" rasterYSize="50"><VRTRasterBand dataType="{kind}" band="1" '
        'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="1">out.npy</SourceFilename>'
        f"<ImageOffset>{offset}</ImageOffset><ByteOrder>LSB</ByteOrder>"
        "</VRTRasterBand></VRTDataset>"
    )
    command = ["gdal_translate", "-q", tmp_path / "raw.vrt", tmp_path / "raw.tif"]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "raw.tif"), labels)


# ---------------------------------------------------------------- any chunks


@settings(max_examples=15)
@given(SIDES, SIDES, st.sampled_from([*WRITERS]))
def test_every_pixel_is_in_its_place_for_chunks_of_any_kind(tmp_path, rows, columns, name):
    shape = (sum(rows), sum(columns))
    labels = np.random.default_rng(1).integers(0, 16, shape, dtype=np.uint8)
    write(tmp_path / name, da.from_array(labels, chunks=(rows, columns)), overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / name), labels)


def test_bytes_are_the_same_for_any_chunks_and_scheduler(tmp_path, china):
    photo, outputs = np.tile(china, (3, 3, 1)), set()
    lazy = [da.from_array(photo, chunks=(side, 512, 3)) for side in (128, 512, 1024)]
    with running_on(workers=2):
        result = quantize(lazy[0], 8)
        for name in WRITERS:
            getattr(result, f"to_{name[4:]}")(tmp_path / name)
    outputs.add(tuple((tmp_path / name).read_bytes() for name in WRITERS))
    for each, scheduler in zip(lazy, ("threads", "synchronous", "threads"), strict=True):
        with dask.config.set(scheduler=scheduler):
            quantize(each, 8).to_png(tmp_path / "out.png", overwrite=True)
            quantize(each, 8).to_npy(tmp_path / "out.npy", overwrite=True)
        outputs.add(tuple((tmp_path / name).read_bytes() for name in WRITERS))
    assert len(outputs) == 1
