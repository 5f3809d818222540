"""What a file says of itself is kept; what it says wrongly, or no more, is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct

import numpy as np
import pytest
import tifffile
import zarr
from conftest import SAMPLES
from outcomes import failure, refused
from PIL import Image as pillow
from PIL import ImageCms

import bigquant
from bigquant.flat_pixels import FlatPixels
from bigquant.npy_array import NpyArray
from bigquant.source import Source

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GEOTIFF = (  # as tifffile's extratags: code, type, count, value
    (33550, 12, 3, (0.5, 0.5, 0.0)),
    (33922, 12, 6, (0.0, 0.0, 0.0, 440720.0, 3751320.0, 0.0)),
    (34735, 3, 12, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 26711)),
    (34736, 12, 2, (6378206.4, 294.98)),
    (34737, 2, 0, "UTM zone 11|NAD27|"),
)


def write_tiff(path, **options):
    options = {"photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(path, PIXELS, **options)
    return path


# ---------------------------------------------------------------- kept


@pytest.mark.parametrize("unit", ["inch", "centimeter", "none"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_the_resolution_of_a_tiff_is_kept(tmp_path, unit, bigtiff):
    path = tmp_path / "a.tif"
    write_tiff(path, resolution=(400, 300.5), resolutionunit=unit, bigtiff=bigtiff)
    source = bigquant.open_image(path).source
    assert source.path == str(path)
    assert source.format == ("BigTIFF" if bigtiff else "TIFF")
    assert source.resolution == (400, 300.5)
    assert source.unit == (None if unit == "none" else unit)


def test_a_tiff_without_resolution_has_none(tmp_path):
    pillow.fromarray(PIXELS).save(tmp_path / "a.tif")
    source = bigquant.open_image(tmp_path / "a.tif").source
    assert (source.resolution, source.unit, source.pixel_size) == (None, None, None)


@pytest.mark.parametrize(("suffix", "format_"), [("png", "PNG"), ("jpg", "JPEG")])
def test_the_resolution_of_png_and_jpeg_is_kept(tmp_path, suffix, format_):
    pillow.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", dpi=(300, 150))
    source = bigquant.open_image(tmp_path / f"a.{suffix}").source
    assert source.format == format_
    assert source.resolution == pytest.approx((300, 150), rel=1e-3)  # PNG counts per metre
    assert source.unit == "inch"
    assert source.pixel_size == pytest.approx((25400 / 150, 25400 / 300), rel=1e-3)


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg", "webp"])
def test_the_colour_profile_is_kept(tmp_path, suffix):
    pillow.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", icc_profile=PROFILE)
    profile = bigquant.open_image(tmp_path / f"a.{suffix}").source.icc_profile
    assert profile == PROFILE
    assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def test_georeference_and_orientation_are_kept_so_that_they_can_be_written_again(tmp_path):
    tags = [(274, 3, 1, 6), *GEOTIFF]
    write_tiff(tmp_path / "a.tif", extratags=[(*tag, True) for tag in tags])
    source = bigquant.open_image(tmp_path / "a.tif").source
    assert {tag[0] for tag in source.tags} == {tag[0] for tag in tags}
    write_tiff(tmp_path / "b.tif", extratags=[(*tag, True) for tag in source.tags])
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert {code: tif.pages[0].tags[code].value for code, *_ in tags} == {
            code: value.rstrip("\0") if isinstance(value, str) else value
            for code, _, _, value in tags
        }
    assert bigquant.open_image(tmp_path / "b.tif").source.tags == source.tags


def test_details_tell_people_how_a_tiff_is_stored(tmp_path):
    path = write_tiff(tmp_path / "a.tif", tile=(32, 48), compression="lzw")
    details = bigquant.open_image(path).source.details
    expected = {"compression": "lzw", "photometric": "rgb", "tiles": "48 x 32", "bands": 3}
    assert expected.items() <= details.items()
    assert details["levels"] == ["70 x 60"]
    assert (details["bits"], details["series"]) == (8, 1)
    assert "masked_by" not in details


def test_arrays_and_files_without_facts_say_only_what_they_are(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS)
    for name, format_ in (("a.npy", "npy"), ("a.zarr", "Zarr")):
        source = bigquant.open_image(tmp_path / name).source
        expected = Source(path=str(tmp_path / name), format=format_, valid_range=(0, 255))
        assert dataclasses.replace(source, details={}) == expected
    assert bigquant.open_image(PIXELS).source == Source(valid_range=(0, 255))


# ---------------------------------------------------------------- Source itself


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((25400, 12700), "inch", (2, 1)),
        ((10000, 40000), "centimeter", (0.25, 1)),
        ((300, 300), None, None),
        ((0, 300), "inch", None),
        (None, "inch", None),
    ],
)
def test_the_size_of_a_pixel_is_height_and_width_in_micrometers(resolution, unit, size):
    assert Source(resolution=resolution, unit=unit).pixel_size == size


def test_attributes_are_json_and_hold_every_fact(tmp_path):
    options = {"resolution": (300, 200), "iccprofile": PROFILE, "extratags": [(*GEOTIFF[0], True)]}
    source = bigquant.open_image(write_tiff(tmp_path / "a.tif", **options)).source
    facts = json.loads(json.dumps(source.as_attributes()))
    assert facts["path"] == source.path
    assert facts["resolution"] == [300, 200]
    assert facts["tiff_tags"] == {"33550": [0.5, 0.5, 0.0]}
    assert Source().as_attributes() == {"format": "array"}


def test_a_source_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Source().path = "/elsewhere"


# ---------------------------------------------------------------- changed since


def touch(path):
    os.utime(path, ns=(1, 1))


def grow(path):
    with open(path, "ab") as file:
        file.write(b"!")


WRITERS = {
    "piece.tif": write_tiff,
    "tiles.tif": lambda path: write_tiff(path, tile=(32, 32), compression="lzw"),
    "a.png": lambda path: pillow.fromarray(PIXELS).save(path),
    "a.npy": lambda path: np.save(path, PIXELS),
}


@pytest.mark.parametrize("change", [touch, grow, os.remove])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_changed_after_it_was_opened_is_not_read(tmp_path, change, name):
    path = tmp_path / name
    WRITERS[name](path)
    image = bigquant.open_image(path)
    change(path)
    with refused(path, bigquant.BigquantError):
        image.compute()


@pytest.mark.parametrize("change", [touch, grow])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_changed_after_it_was_read_once_is_not_read_again(tmp_path, change, name):
    path = tmp_path / name
    WRITERS[name](path)
    image = bigquant.open_image(path)
    np.testing.assert_array_equal(image.compute(), PIXELS)
    change(path)
    with refused(path, bigquant.BigquantError):
        image.compute()


READERS = {
    "piece.tif": (os, "pread"),
    "tiles.tif": (os, "pread"),
    "a.png": (FlatPixels, "whole"),
    "a.npy": (NpyArray, "_fill"),
}


def damage(path):
    path.write_bytes(path.read_bytes()[:-99] + bytes(99))


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("change", [touch, grow, shrink, os.remove, damage])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_changes_while_it_is_read_is_neither_read_nor_damaged(
    name, when, change, tmp_path, monkeypatch
):
    path = tmp_path / name
    WRITERS[name](path)
    os.utime(path, ns=(1, 10**9))  # the clock of files is a coarse one
    image = bigquant.open_image(path)
    owner, function = READERS[name]
    read = getattr(owner, function)
    changes = iter([change])

    def act(*arguments, **options):
        for each in changes if when == "before" else ():
            each(path)
        found = read(*arguments, **options)
        for each in changes:
            each(path)
        return found

    monkeypatch.setattr(owner, function, act)
    with refused(path, bigquant.BigquantError) as caught:
        image.compute()
    assert "damaged" not in str(caught.value)
    assert not list(changes)


def test_a_damaged_chunk_of_a_zarr_array_is_one_line(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS)
    image = bigquant.open_image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "c" / "0" / "0" / "0").write_bytes(b"?" * 50)
    with refused(tmp_path / "a.zarr", bigquant.BigquantError):
        image.compute()


# ---------------------------------------------------------------- headers that lie


def patch_tag(path, code, type_=None, count=None, value=None):
    """Change the entry of a tag in the first directory of a little-endian classic TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    (at,) = (
        start + 2 + 12 * i
        for i in range(entries)
        if struct.unpack_from("<H", data, start + 2 + 12 * i) == (code,)
    )
    old = struct.unpack_from("<HII", data, at + 2)
    new = [o if n is None else n for o, n in zip(old, (type_, count, value), strict=True)]
    struct.pack_into("<HII", data, at + 2, *new)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"code": 282, "type_": 11},  # resolution: a float
        {"code": 282, "type_": 5, "count": 2},
        {"code": 282, "count": 0},
        {"code": 296, "type_": 2},  # its unit: a letter
        {"code": 296, "count": 3},
        {"code": 34675, "type_": 4, "count": 5},  # colour profile: integers
        {"code": 34675, "type_": 2},
        {"code": 262, "type_": 1},  # photometric: a byte
        {"code": 322, "count": 40},  # tile width: many
        {"code": 325, "type_": 7},  # byte counts: bytes
        {"code": 324, "count": 2},
        {"code": 277, "value": 60000},
        {"code": 258, "count": 1},
        {"code": 322, "value": 0},
        {"code": 257, "value": 2**31},
        {"code": 259, "value": 9999},
    ],
    ids=str,
)
def test_a_header_that_lies_is_read_or_refused_in_one_line(tmp_path, change):
    path = tmp_path / "lies.tif"
    options = {"resolution": (300, 300), "iccprofile": PROFILE}
    write_tiff(path, tile=(32, 48), compression="deflate", **options)
    patch_tag(path, **change)
    assert failure(path) is None


def test_a_count_of_bytes_that_is_no_number_is_refused(tmp_path):
    write_tiff(tmp_path / "lies.tif")
    patch_tag(tmp_path / "lies.tif", code=279, type_=1, value=0xD4)
    assert failure(tmp_path / "lies.tif") is None


def test_tiles_beyond_the_end_of_any_file_are_refused(tmp_path):
    path = tmp_path / "far.tif"
    write_tiff(path, tile=(32, 48), compression="deflate", bigtiff=True)
    with tifffile.TiffFile(path, mode="r+") as tif:
        offsets = [*tif.pages[0].dataoffsets[:-1], 2**64 - 5]
        tif.pages[0].tags["TileOffsets"].overwrite(offsets)
    with refused(path):
        bigquant.open_image(path)


@pytest.mark.parametrize("folder", ["broken", "tiff-conformance", "png-jpeg"])
def test_files_of_other_test_suites_are_read_or_refused_in_one_line(folder):
    if not SAMPLES.is_dir():
        pytest.skip(f"no folder {SAMPLES} of public test images")
    paths = [p for p in (SAMPLES / folder).rglob("*") if p.is_file() and p.stat().st_size < 1e6]
    assert not list(filter(None, map(failure, paths)))
