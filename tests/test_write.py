"""The TIFF output, judged by tifffile, Pillow, GDAL and libvips."""

from __future__ import annotations

import json
import shutil
import subprocess
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from PIL import ImageCms

from bigquant import Palette, open_image, quantize
from bigquant.source import Source
from bigquant.tiff_output import write_rgb_tiff, write_tiff

SHAPES = {
    "gray": (45, 60),
    "gray and alpha": (45, 60, 2),
    "RGB": (45, 60, 3),
    "RGBA": (45, 60, 4),
    "5 x 7 pixels": (5, 7, 3),
    "1 x 3000 pixels": (1, 3000, 3),
    "1100 x 700 pixels": (1100, 700, 3),
}
CHUNKINGS = {
    "100 x 100": (100, 100),
    "600 x 600": (600, 600),
    "bands of 55 rows": (55, 1700),
    "irregular": ((1, 700, 16, 583), (333, 1000, 367)),
    "irregular and large": ((1299, 1), (1030, 670)),
}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GEO_KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)  # UTM zone 32N
GEO_TAGS = [
    (33550, 12, 3, (0.5, 0.25, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0), True),
    (34735, 3, len(GEO_KEYS), GEO_KEYS, True),
]


def needs(tool):
    return pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")


def make_image(kind, rng):
    """Random pixels; where there is alpha, some of them are transparent."""
    image = rng.integers(0, 256, SHAPES[kind], dtype=np.uint8)
    if image.shape[2:] in ((2,), (4,)):
        image[..., -1] = rng.choice([0, 1, 128, 255], image.shape[:2])
    return image


def read_page(path):
    """What tifffile finds: pixels, colour map, photometric, tags by code."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        return SimpleNamespace(
            pixels=page.asarray(),
            colormap=page.colormap,
            photometric=page.photometric.name,
            layout=(tif.is_bigtiff, page.is_tiled, page.compression.name),
            tags={tag.code: tag.value for tag in page.tags},
        )


def as_rgb(result):
    pixels = result.image.compute()
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def read_with_pillow(path, folder):
    with pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def read_with_gdal(path, folder):
    expand = ["-expand", "rgb"] if read_page(path).photometric == "PALETTE" else []
    command = [
        "gdal_translate",
        "-q",
        *expand,
        "-co",
        "INTERLEAVE=PIXEL",
        path,
        folder / "gdal.tif",
    ]
    subprocess.run(command, check=True, capture_output=True)
    shown = tifffile.imread(folder / "gdal.tif")
    return shown[..., :3] if shown.ndim == 3 and shown.shape[2] == 4 else shown


def read_with_vips(path, folder):
    subprocess.run(["vips", "copy", path, folder / "vips.png"], check=True, capture_output=True)
    with pillow.open(folder / "vips.png") as picture:
        return np.asarray(picture.convert("RGB"))


READERS = [
    pytest.param(read_with_pillow, id="Pillow"),
    pytest.param(read_with_gdal, id="GDAL", marks=needs("gdal_translate")),
    pytest.param(read_with_vips, id="libvips", marks=needs("vips")),
]


def gdalinfo(path):
    done = subprocess.run(["gdalinfo", "-json", path], check=True, capture_output=True)
    return json.loads(done.stdout)


# ---------------------------------------------------------------- the pixels


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("kind", "k"),
    [(kind, 8) for kind in SHAPES] + [("RGB", 1), ("RGB", 256), ("RGB", 300), ("RGBA", 256)],
)
def test_readers_show_exactly_the_result(kind, k, read, tmp_path, rng):
    result = quantize(make_image(kind, rng), k, n_init=1)
    result.to_tiff(tmp_path / "out.tif")
    np.testing.assert_array_equal(read(tmp_path / "out.tif", tmp_path), as_rgb(result))


@pytest.mark.parametrize("kind", ["gray", "RGB", "RGBA", "1 x 3000 pixels"])
@pytest.mark.parametrize("content", ["both", "image", "labels"])
def test_up_to_256_labels_are_a_tiled_palette_bigtiff(content, kind, tmp_path, rng):
    result = quantize(make_image(kind, rng), 8, n_init=1)
    result.to_tiff(tmp_path / "out.tif", content=content)
    page = read_page(tmp_path / "out.tif")
    assert page.layout == (True, True, "ADOBE_DEFLATE")
    assert page.photometric == "PALETTE"
    assert page.pixels.dtype == np.uint8
    np.testing.assert_array_equal(page.pixels, result.labels.compute())
    assert page.colormap.shape == (3, 256)
    assert page.colormap.dtype == np.uint16
    first = result.palette.first_label
    entries = page.colormap.T[first:]
    np.testing.assert_array_equal(entries[:8], result.palette.rgb.astype(int) * 257)
    assert not page.colormap[:, :first].any()
    assert not entries[8:].any()


def test_more_than_256_colors_make_an_rgb_image(tmp_path, rng):
    result = quantize(make_image("RGB", rng), 300, n_init=1)
    result.to_tiff(tmp_path / "out.tif")
    page = read_page(tmp_path / "out.tif")
    assert page.photometric == "RGB"
    np.testing.assert_array_equal(page.pixels, result.image.compute())


@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
def test_more_than_256_labels_are_16_bit_gray(kind, tmp_path, rng):
    result = quantize(make_image(kind, rng), 300, n_init=1)
    result.to_tiff(tmp_path / "out.tif", content="labels")
    page = read_page(tmp_path / "out.tif")
    assert (page.photometric, page.pixels.dtype) == ("MINISBLACK", np.uint16)
    np.testing.assert_array_equal(page.pixels, result.labels.compute())


def test_all_256_grays_with_transparent_pixels_are_shown_right(tmp_path):
    image = np.full((32, 32, 2), 255, np.uint8)
    image[..., 0] = np.arange(1024).reshape(32, 32) // 4
    image[0, 0] = 0
    result = quantize(image, 256)  # 257 labels: no palette image holds them
    result.to_tiff(tmp_path / "out.tif")
    shown = tifffile.imread(tmp_path / "out.tif")
    gray = shown if shown.ndim == 2 else shown[..., 0]
    np.testing.assert_array_equal(gray, result.image.compute()[..., 0])


# ---------------------------------------------------------------- any chunks


def write_labels(path, chunks, shape, **options):
    expected = np.random.default_rng(1).integers(0, 8, shape, dtype=np.uint8)
    palette = Palette.from_colors([[36 * i, 255 - 30 * i, 7 * i] for i in range(8)])
    write_tiff(path, da.from_array(expected, chunks=chunks), palette, Source(), **options)
    return expected


@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
def test_every_pixel_is_in_its_place_for_any_chunks(chunks, tmp_path):
    labels = write_labels(tmp_path / "out.tif", chunks, (1300, 1700))
    with pillow.open(tmp_path / "out.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)


SIDES = st.lists(st.integers(1, 1300), min_size=1, max_size=3).map(tuple)


@settings(max_examples=15)
@given(SIDES, SIDES)
def test_every_pixel_is_in_its_place_for_chunks_of_any_kind(tmp_path, rows, columns):
    shape = (sum(rows), sum(columns))
    labels = write_labels(tmp_path / "o.tif", (rows, columns), shape, overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "o.tif"), labels)


def test_bytes_are_the_same_for_any_chunks_scheduler_and_run(tmp_path, china):
    photo = np.tile(china, (3, 3, 1))
    outputs = set()
    chunkings = [(128, 1024, 3), (256, 512, 3), (512, 256, 1), (1024, 1024, 3), (256, 512, 3)]
    for i, chunks in enumerate(chunkings):
        scheduler = "synchronous" if i == 1 else "threads"
        with dask.config.set(scheduler=scheduler):
            quantize(da.from_array(photo, chunks=chunks), 8).to_tiff(tmp_path / f"{i}.tif")
        outputs.add((tmp_path / f"{i}.tif").read_bytes())
    assert len(outputs) == 1


def test_rgb_writer_writes_the_image(tmp_path, china):
    write_rgb_tiff(tmp_path / "out.tif", da.from_array(china, chunks=(100, 333, 3)))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), china)


# ---------------------------------------------------------------- what goes along


def test_palette_is_readable_from_the_image_description(tmp_path, rng):
    result = quantize(make_image("RGBA", rng), 8)
    result.to_tiff(tmp_path / "out.tif")
    with pillow.open(tmp_path / "out.tif") as picture:
        described = json.loads(picture.tag_v2[270])["bigquant"]
    beside = tmp_path / "out.tif.palette.json"
    assert described == json.loads(beside.read_text()) == result.palette.as_json()
    np.testing.assert_array_equal(Palette.from_json(described).colors, result.palette.colors)


def test_zarr_and_tiff_of_one_name_have_a_palette_each(tmp_path, rng):
    result = quantize(make_image("RGB", rng), 8)
    result.to_zarr(tmp_path / "out.k8.zarr")
    result.to_tiff(tmp_path / "out.k8.tif")
    assert len(list(tmp_path.glob("*.palette.json"))) == 2


@needs("gdalinfo")
@pytest.mark.parametrize(
    ("kind", "k", "content", "nodata"),
    [
        ("RGB", 8, "both", None),
        ("RGBA", 8, "both", 0),
        ("gray and alpha", 8, "both", 0),
        ("RGBA", 300, "labels", 0),
        ("RGB", 300, "labels", None),
    ],
)
def test_a_reserved_label_is_nodata(kind, k, content, nodata, tmp_path, rng):
    result = quantize(make_image(kind, rng), k, n_init=1)
    result.to_tiff(tmp_path / "out.tif", content=content)
    (band,) = gdalinfo(tmp_path / "out.tif")["bands"]
    assert band.get("noDataValue") == nodata


@needs("gdal_translate")
def test_opaque_pixels_of_an_rgb_output_are_not_nodata(tmp_path, rng):
    image = make_image("RGBA", rng)
    image[:10] = 0, 0, 0, 255  # black, and part of the image
    quantize(image, 300, n_init=1).to_tiff(tmp_path / "out.tif")
    command = ["gdal_translate", "-q", "-b", "mask", tmp_path / "out.tif", tmp_path / "mask.tif"]
    subprocess.run(command, check=True, capture_output=True)
    assert tifffile.imread(tmp_path / "mask.tif")[image[..., 3] > 0].all()


@pytest.fixture
def georeferenced(tmp_path, rng):
    """A TIFF with a place on Earth, a resolution, a colour profile and an orientation."""
    path = tmp_path / "in.tif"
    tifffile.imwrite(
        path, make_image("RGB", rng), photometric="rgb", tile=(16, 32), compression="zlib",
        resolution=(300, 127.5), resolutionunit=3, iccprofile=PROFILE,
        extratags=[*GEO_TAGS, (274, 3, 1, 6, True)],
    )  # fmt: skip
    return path


@pytest.mark.parametrize("k", [8, 300])
def test_profile_resolution_and_georeference_are_kept(k, georeferenced, tmp_path):
    quantize(open_image(georeferenced), k, n_init=1).to_tiff(tmp_path / "out.tif")
    tags = read_page(tmp_path / "out.tif").tags
    assert bytes(tags[34675]) == PROFILE
    assert [n / d for n, d in (tags[282], tags[283])] == [300, 127.5]
    assert tags[296] == 3
    assert {code: tags[code] for code, *_ in GEO_TAGS} == {t[0]: t[3] for t in GEO_TAGS}
    assert tags[274] == 6


@pytest.mark.parametrize(
    ("channels", "k", "content", "space"),
    [
        (1, 8, "both", b"RGB "),  # a palette's colours are RGB, of gray images too
        (1, 256, "both", b"GRAY"),
        (3, 300, "both", b"RGB "),
        (3, 300, "labels", None),
    ],
)
def test_a_colour_profile_is_kept_if_it_fits_the_output(channels, k, content, space, tmp_path):
    colors = np.arange(k)[:, None] % [256, 37, 29][:channels]
    palette = Palette.from_colors(colors, first_label=int(k >= 256))
    labels = da.zeros((9, 8), dtype=palette.label_dtype)
    for other in (b"RGB ", b"GRAY", b"CMYK"):
        embedded = PROFILE[:16] + other + PROFILE[20:]
        options = {"content": content, "overwrite": True}
        write_tiff(tmp_path / "o.tif", labels, palette, Source(icc_profile=embedded), **options)
        found = read_page(tmp_path / "o.tif").tags.get(34675)
        assert found == (embedded if other == space else None)


@needs("gdalinfo")
def test_gdal_sees_the_same_place_on_earth(georeferenced, tmp_path):
    quantize(open_image(georeferenced), 8).to_tiff(tmp_path / "out.tif")
    before, after = gdalinfo(georeferenced), gdalinfo(tmp_path / "out.tif")
    assert after["geoTransform"] == before["geoTransform"] == [500000, 0.5, 0, 4.6e6, 0, -0.25]
    assert after["coordinateSystem"] == before["coordinateSystem"]
    assert "UTM zone 32N" in after["coordinateSystem"]["wkt"]
