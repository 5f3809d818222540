"""Every layout, codec and colour model of TIFF against tifffile, Pillow and NumPy."""

from __future__ import annotations

import itertools
import os
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import refused
from PIL import Image as pillow

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

HEIGHT, WIDTH = 107, 131  # multiples of no tile
TILE = (32, 48)

CODECS = {
    "none": {},
    "deflate": {"compression": "deflate"},
    "deflate-predictor": {"compression": "deflate", "predictor": True},
    "lzw": {"compression": "lzw"},
    "lzw-predictor": {"compression": "lzw", "predictor": True},
    "zstd": {"compression": "zstd"},
    "zstd-predictor": {"compression": "zstd", "predictor": True},
    "packbits": {"compression": "packbits"},
    "webp": {"compression": "webp", "compressionargs": {"lossless": True}},
    "jpeg": {"compression": "jpeg", "compressionargs": {"level": 90}},
}
STORAGES = {"tiles": {"tile": TILE}, "strips": {"rowsperstrip": 16}, "piece": {}}
CONTAINERS = {
    "little": {},
    "big": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "planar": {"planarconfig": "separate"},
}
LAYOUTS = {
    " ".join(names): {**CODECS[names[0]], **STORAGES[names[1]], **CONTAINERS[names[2]]}
    for names in itertools.product(CODECS, STORAGES, CONTAINERS)
    if names[0] not in ("webp", "jpeg") or names[2] != "planar"  # tifffile writes none
}


def write(path, samples, **options):
    """Write with tifffile: the samples (y, x, sample), in the order that planes need."""
    if options.get("planarconfig") == "separate":
        samples = np.moveaxis(samples, 2, 0)
    options.setdefault("photometric", "rgb")
    tifffile.imwrite(path, samples, metadata=None, **options)
    return str(path)


def read(path):
    return bigquant.open_image(path).compute()


def open_windows(path):
    return open_tiff(str(path), Selection()).windows


def stored(path):
    """Page 0 as tifffile decodes it, (y, x, sample)."""
    with tifffile.TiffFile(path) as tif:
        samples = tif.pages[0].asarray()
        planar = tif.pages[0].axes == "SYX"
    samples = np.moveaxis(samples, 0, 2) if planar else samples
    return samples.reshape(*samples.shape[:2], -1)


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150 : 150 + HEIGHT, 200 : 200 + WIDTH])


@pytest.fixture(scope="module")
def layouts(photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    return {name: write(folder / f"{name}.tif", photo, **kw) for name, kw in LAYOUTS.items()}


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_as_it_was_written(layouts, photo, name):
    expected = stored(layouts[name]) if "jpeg" in name else photo
    np.testing.assert_array_equal(read(layouts[name]), expected)


@pytest.mark.parametrize("container", ["little", "bigtiff"])
def test_jpeg_looks_as_pillow_decodes_it(layouts, photo, container):
    path = layouts[f"jpeg tiles {container}"]
    difference = read(path).astype(int) - np.asarray(pillow.open(path))
    assert abs(difference).max() <= 4
    assert np.abs(read(path).astype(int) - photo).mean() < 8


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=8)
@given(st.tuples(st.integers(0, HEIGHT), st.integers(0, HEIGHT)).map(sorted), st.data())
def test_a_window_is_the_same_part_of_the_full_image(layouts, name, rows, data):
    columns = sorted(data.draw(st.tuples(st.integers(0, WIDTH), st.integers(0, WIDTH))))
    channels = data.draw(st.sampled_from([slice(0, 3), slice(1, 2), slice(2, 3)]))
    windows = open_windows(layouts[name])
    key = (slice(*rows), slice(*columns), channels)
    np.testing.assert_array_equal(windows[key], stored(layouts[name])[key])


def test_of_an_uncompressed_piece_only_the_wanted_rows_are_read(tmp_path, monkeypatch, photo):
    sizes = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: sizes.append(args[1]) or pread(*args))
    windows = open_windows(write(tmp_path / "piece.tif", photo))
    key = (slice(40, 50), slice(7, 90), slice(0, 3))
    np.testing.assert_array_equal(windows[key], photo[key])
    assert sizes == [10 * WIDTH * 3]


# ---------------------------------------------------------------- colour models


def test_black_is_zero_where_white_was(tmp_path, photo):
    path = write(tmp_path / "white.tif", photo[..., 0], photometric="miniswhite", tile=TILE)
    np.testing.assert_array_equal(read(path)[..., 0], np.asarray(pillow.open(path)))
    assert (read(path)[..., 0] == 255 - photo[..., 0]).all()


@pytest.mark.parametrize("options", [{}, {"tile": TILE, "compression": "deflate"}])
@pytest.mark.parametrize("colors", [1, 3])
def test_unassociated_alpha_is_kept_as_it_is(tmp_path, photo, rng, colors, options):
    alpha = rng.integers(0, 256, (HEIGHT, WIDTH, 1), np.uint8)
    samples = np.concatenate([photo[..., :colors], alpha], axis=2)
    kind = "rgb" if colors == 3 else "minisblack"
    options = {**options, "photometric": kind, "extrasamples": ["unassalpha"]}
    path = write(tmp_path / "alpha.tif", samples, planarconfig="contig", **options)
    np.testing.assert_array_equal(read(path), samples)


@pytest.mark.parametrize("colors", [1, 3])
def test_associated_alpha_is_divided_out(tmp_path, colors):
    color, alpha = np.mgrid[:256, :256].astype(np.uint8)
    color = np.minimum(color, alpha)  # what is multiplied by alpha is never above it
    samples = np.dstack([color] * colors + [alpha])
    kind = "rgb" if colors == 3 else "minisblack"
    path = tmp_path / "alpha.tif"
    write(path, samples, photometric=kind, extrasamples=["assocalpha"], planarconfig="contig")
    with np.errstate(invalid="ignore"):
        exact = np.floor(color * 255.0 / alpha + 0.5)
    image = read(path)
    seen = alpha > 0
    assert (image[..., -1] == alpha).all()
    assert all((image[..., i] == exact)[seen].all() for i in range(colors))
    if colors == 3:  # Pillow rounds down
        assert np.abs(image[seen] - np.asarray(pillow.open(path))[seen].astype(int)).max() <= 1


def test_samples_without_a_meaning_are_dropped_and_alpha_behind_them_is_found(tmp_path, rng):
    samples = rng.integers(0, 256, (40, 50, 5), np.uint8)
    rgbx = write(tmp_path / "x.tif", samples[..., :4], extrasamples=["unspecified"])
    both = write(tmp_path / "xa.tif", samples, extrasamples=["unspecified", "unassalpha"])
    np.testing.assert_array_equal(read(rgbx), samples[..., :3])
    np.testing.assert_array_equal(read(both), samples[..., [0, 1, 2, 4]])


@pytest.mark.parametrize("bits", [4, 8])
def test_palette_colours_are_those_of_pillow(tmp_path, rng, bits):
    indices = rng.integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    colormap = rng.integers(0, 256, (3, 2**bits)).astype(np.uint16) * 256
    tags = [(320, 3, colormap.size, colormap.ravel().tolist(), True)]
    options = {"photometric": "minisblack", "bitspersample": bits, "rowsperstrip": 20}
    path = write(tmp_path / "palette.tif", indices, extratags=tags, **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["PhotometricInterpretation"].overwrite(3)
    np.testing.assert_array_equal(read(path), np.asarray(pillow.open(path).convert("RGB")))
    np.testing.assert_array_equal(read(path), (colormap >> 8).T[indices])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_files_of_pillow_are_read_as_pillow_reads_them(tmp_path, photo, mode, compression):
    picture = pillow.fromarray(photo)
    picture = picture.quantize(200) if mode == "P" else picture.convert(mode)
    path = tmp_path / "pillow.tif"
    picture.save(path, compression=compression)
    expected = np.asarray(picture.convert("RGB") if mode == "P" else picture)
    np.testing.assert_array_equal(read(path), expected.reshape(HEIGHT, WIDTH, -1))


# ---------------------------------------------------------------- sparse files, several pages


@pytest.mark.parametrize("planar", [False, True])
def test_tiles_that_were_never_written_are_zero(tmp_path, rng, planar):
    tiles = rng.integers(1, 256, (12, 32, 32, 1 if planar else 3), np.uint8)
    parts = (b"" if i % 3 else zlib.compress(tile.tobytes()) for i, tile in enumerate(tiles))
    shape, plan = ((3, 50, 60), "separate") if planar else ((90, 100, 3), "contig")
    options = {"dtype": "uint8", "tile": (32, 32), "compression": "deflate"}
    path = tmp_path / "sparse.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(parts, shape=shape, photometric="rgb", planarconfig=plan, **options)
    image = read(path)
    np.testing.assert_array_equal(image, stored(path))  # which fills with 0, too
    assert 0.4 < (image == 0).mean() < 0.8


def test_a_strip_that_was_never_written_is_zero(tmp_path, photo):
    path = write(tmp_path / "sparse.tif", photo)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["StripOffsets"].overwrite(0)
        tif.pages[0].tags["StripByteCounts"].overwrite(0)
    assert not read(path).any()


def write_pages(path, photo, kind):
    """Write pages around the photo; `kind` tells which."""
    small = {"photometric": "rgb", "subfiletype": 1}
    with tifffile.TiffWriter(path, ome=kind == "OME") as tif:
        if kind == "thumbnail first":
            tif.write(photo[::4, ::4].copy(), **small)
        levels = 2 if kind in ("overviews", "OME") else 0
        tif.write(photo, photometric="rgb", tile=TILE, compression="deflate", subifds=levels)
        for step in (2, 4)[:levels]:
            tif.write(photo[::step, ::step].copy(), **small)
        if kind == "a smaller page":
            tif.write(photo[:-1].copy(), photometric="rgb")
        if kind == "overviews as pages":
            tif.write(photo[::2, ::2].copy(), **small)


@pytest.mark.parametrize(
    "kind", ["thumbnail first", "overviews", "OME", "a smaller page", "overviews as pages"]
)
def test_the_first_image_of_full_resolution_is_read(tmp_path, photo, kind):
    write_pages(tmp_path / "pages.tif", photo, kind)
    np.testing.assert_array_equal(read(tmp_path / "pages.tif"), photo)


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("layout", ["none piece little", "deflate tiles bigtiff", "lzw strips big"])
@pytest.mark.parametrize("cut", [0, 2, 7, 9, 50, 200, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(layouts, tmp_path, layout, cut):
    with open(layouts[layout], "rb") as file:
        data = file.read()
    path = tmp_path / "cut.tif"
    path.write_bytes(data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    with refused(path):
        bigquant.open_image(path)


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_damaged_tile_is_named_when_it_is_read(layouts, tmp_path, codec):
    with tifffile.TiffFile(layouts[f"{codec} tiles little"]) as tif:
        start = tif.pages[0].dataoffsets[5]
    with open(layouts[f"{codec} tiles little"], "rb") as file:
        data = bytearray(file.read())
    data[start : start + 100] = b"\xff" * 100
    path = tmp_path / "damaged.tif"
    path.write_bytes(data)
    image = bigquant.open_image(path)
    with refused(path, bigquant.BigquantError) as caught:
        image.compute()
    assert "tile or strip 5 is damaged" in str(caught.value)
