"""Of several images in a TIFF the right one is read, or a choice is asked for."""

from __future__ import annotations

import io
import re
import struct

import numpy as np
import pytest
import tifffile
from outcomes import refused
from PIL import Image as pillow

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

RNG = np.random.default_rng(3)
STACK = RNG.integers(0, 256, (2, 3, 4, 40, 50), np.uint8)  # T, Z, C, y, x
PHOTO = RNG.integers(0, 256, (96, 128, 3), np.uint8)
FORMATS = {"ome": {"ome": True}, "imagej": {"imagej": True}, "shaped": {}}


def whole(path, **choice):
    raster = open_tiff(str(path), Selection(**choice))
    height, width, depth = raster.windows.shape
    return raster.windows[slice(0, height), slice(0, width), slice(0, depth)]


def write_stack(path, stack, axes, format_, **options):
    kind = FORMATS[format_]
    options = {"photometric": "minisblack", "metadata": {"axes": axes}, **options}
    tifffile.imwrite(path, stack, **kind, **options)
    return path


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"tile": (16, 16)}])
def test_planes_are_chosen_and_channels_are_samples(tmp_path, format_, options):
    if format_ == "imagej" and options:
        pytest.skip("ImageJ knows no compression")
    path = write_stack(tmp_path / "a.tif", STACK, "TZCYX", format_, **options)
    for t, z in np.ndindex(2, 3):
        expected = np.moveaxis(STACK[t, z], 0, 2)
        np.testing.assert_array_equal(whole(path, planes={"T": t, "Z": z}), expected)
    one = whole(path, planes={"t": 1, "Z": 2, "C": 3})
    np.testing.assert_array_equal(one[..., 0], STACK[1, 2, 3])
    raster = open_tiff(str(path), Selection(planes={"T": 1, "Z": 2}))
    assert raster.colors is None
    np.testing.assert_array_equal(
        raster.windows[3:9, 4:40, 1:3], np.moveaxis(STACK[1, 2], 0, 2)[3:9, 4:40, 1:3]
    )
    image = bigquant.open_image(path, select={"T": 0, "Z": 1}, bands=(4, 2, 1))
    np.testing.assert_array_equal(image.compute(), np.moveaxis(STACK[0, 1, [3, 1, 0]], 0, 2))


@pytest.mark.parametrize("format_", FORMATS)
def test_a_choice_is_asked_for_with_an_example(tmp_path, format_):
    path = write_stack(tmp_path / "a.tif", STACK, "TZCYX", format_)
    with refused(
        path, words=r"T \(2\), Z \(3\): choose, e.g. --select T=0,Z=0 \(select={'T': 0, 'Z': 0}"
    ):
        open_tiff(str(path), Selection())
    with refused(path, words=r"Z \(3\): choose, e.g. --select Z=0"):
        open_tiff(str(path), Selection(planes={"T": 0}))
    for planes in ({"T": 2, "Z": 0}, {"T": -1, "Z": 0}, {"Q": 0}):
        with refused(path, words="T 0 to 1, Z 0 to 2, C 0 to 3"):
            open_tiff(str(path), Selection(planes=planes))


def test_a_file_without_axes_has_no_planes_to_choose(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PHOTO, photometric="rgb")
    with refused(tmp_path / "a.tif", words="has no Z=0: its axes with a choice are: none"):
        open_tiff(str(tmp_path / "a.tif"), Selection(planes={"Z": 0}))


@pytest.mark.parametrize(
    ("names", "colors"),
    [
        (["Red", "Green", "Blue"], (0, 1, 2)),
        (["R", "G", "B"], (0, 1, 2)),
        (["Blue", "Green", "Red"], None),
        (["DAPI", "GFP", "Cy5"], None),
        (None, None),
    ],
)
@pytest.mark.parametrize("format_", ["ome", "imagej"])
def test_three_channels_are_rgb_where_the_file_says_so(tmp_path, names, colors, format_):
    channels = STACK[0, 0, :3]
    metadata = {"axes": "CYX"}
    if names:
        metadata |= {"Channel": {"Name": names}} if format_ == "ome" else {"Labels": names}
    path = tmp_path / "a.tif"
    write_stack(path, channels, "CYX", format_, metadata=metadata)
    assert open_tiff(str(path), Selection()).colors == colors
    np.testing.assert_array_equal(whole(path), np.moveaxis(channels, 0, 2))
    assert bigquant.open_image(path).declared == (colors is not None)


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"tile": (16, 16)}])
def test_pages_of_one_size_are_chosen_by_number(tmp_path, options):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for page in STACK[0, 0]:
            tif.write(page, photometric="minisblack", metadata=None, **options)
    with refused(
        path, words=r"has 4 pages of one size: choose one of 0, 1, 2, 3, e.g. --page 0 \(page=0"
    ):
        open_tiff(str(path), Selection())
    for number, page in enumerate(STACK[0, 0]):
        np.testing.assert_array_equal(whole(path, page=number)[..., 0], page)
        np.testing.assert_array_equal(whole(path, planes={"I": number})[..., 0], page)
    for number in (-1, 4):
        with refused(path, words=f"has no page {number}: choose one of 0 to 3"):
            open_tiff(str(path), Selection(page=number))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "lzw"}])
def test_a_slice_of_a_volume_is_chosen(tmp_path, options):
    volume = RNG.integers(0, 256, (20, 40, 50), np.uint8)
    if "tile" in options:
        options = {"tile": (16, 16, 16)}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, volume, photometric="minisblack", volumetric=True, metadata=None, **options
    )
    with refused(path, words=r"Z \(20\)"):
        open_tiff(str(path), Selection())
    for z in (0, 7, 16, 19):
        np.testing.assert_array_equal(whole(path, planes={"Z": z})[..., 0], volume[z])
        np.testing.assert_array_equal(whole(path, page=0, planes={"Z": z})[..., 0], volume[z])


def test_the_largest_series_is_read_and_others_by_number(tmp_path):
    path = tmp_path / "a.tif"
    parts = [PHOTO[:20, :30], PHOTO, PHOTO[:50]]
    with tifffile.TiffWriter(path) as tif:
        for part in parts:
            tif.write(part, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(whole(path), PHOTO)
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(whole(path, series=number), part)
    with refused(path, words=r"has no series 3: choose one of 0 \(YXS 20x30x3\), 1 "):
        open_tiff(str(path), Selection(series=3))
    with refused(path, words="choose by one"):
        open_tiff(str(path), Selection(series=0, page=0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("label image", "Slide"), 1), (("Macrophages", "bitmap"), 0), (("macro", "thumbnail"), 0)],
)
def test_labels_of_slides_are_told_by_their_names(tmp_path, names, expected):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, part in zip(names, (PHOTO, PHOTO[:50]), strict=True):
            tif.write(part, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    np.testing.assert_array_equal(whole(path), (PHOTO, PHOTO[:50])[expected])


def test_series_of_one_size_ask_for_a_choice(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(PHOTO, photometric="rgb", metadata=None)
        tif.write(PHOTO.astype(np.uint16), photometric="rgb", metadata=None)
    with refused(path, words=r"holds 2 images of one size: choose one, e.g. --series 0 of 0 \(YXS"):
        open_tiff(str(path), Selection())


# ---------------------------------------------------------------- levels and masks

GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (4.0, 8.0, 0.0, 500.0, 900.0, 0.0), True),
    (34735, 3, 4, (1, 1, 0, 0), True),
]


def write_pyramid(path, subifds, masks=False):
    levels = [np.ascontiguousarray(PHOTO[::n, ::n]) for n in (1, 2, 4)]
    common = {"photometric": "rgb", "tile": (32, 32), "compression": "deflate", "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        for number, level in enumerate(levels):
            first = {} if number else {"extratags": GEO, "resolution": (300, 300)}
            nested = {"subifds": 2} if subifds and not number else {}
            tif.write(level, subfiletype=min(number, 1), **common, **first, **nested)
            if masks:
                kind = {"photometric": "mask", "subfiletype": 4 | min(number, 1)}
                tif.write(level[..., 0] > 99, **kind, rowsperstrip=16, metadata=None)
    return levels


@pytest.mark.parametrize("subifds", [False, True])
def test_levels_are_read_with_pixels_of_their_size(tmp_path, subifds):
    path = tmp_path / "a.tif"
    levels = write_pyramid(path, subifds)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(whole(path, level=number), level)
        source = open_tiff(str(path), Selection(level=number)).source
        n = 2**number
        assert source.resolution == (300 / n, 300 / n)
        tags = {code: value for code, _, _, value in source.tags}
        assert tags[33550] == (10 * n, 10 * n, 0)
        assert tags[33922] == (4 / n, 8 / n, 0, 500, 900, 0)
        assert tags[34735] == (1, 1, 0, 0)
    for number in (-1, 3):
        with refused(
            path, words=rf"has no level {number}: choose one of 0 \(128 x 96\), 1 \(64 x 48\)"
        ):
            open_tiff(str(path), Selection(level=number))


def test_masks_in_the_file_mark_pixels_at_each_level(tmp_path):
    path = tmp_path / "a.tif"
    for number, level in enumerate(write_pyramid(path, subifds=False, masks=True)):
        raster = open_tiff(str(path), Selection(level=number))
        height, width, _ = raster.mask.shape
        mask = raster.mask[0:height, 0:width, 0:1]
        np.testing.assert_array_equal(mask[..., 0], np.where(level[..., 0] > 99, 255, 0))
        image = bigquant.open_image(path, level=number).compute()
        np.testing.assert_array_equal(image[..., :3], level)
        np.testing.assert_array_equal(image[..., 3] > 0, level[..., 0] > 99)
    np.testing.assert_array_equal(bigquant.open_image(path, mask=False).compute(), PHOTO)


def test_the_mask_of_a_page_is_the_one_after_it(tmp_path):
    path = tmp_path / "a.tif"
    masks = PHOTO[..., 0] > 99, PHOTO[..., 1] > 50
    with tifffile.TiffWriter(path) as tif:
        for mask in masks:
            tif.write(PHOTO, photometric="rgb", metadata=None)
            tif.write(mask, photometric="mask", subfiletype=4, metadata=None)
    for number, mask in enumerate(masks):
        raster = open_tiff(str(path), Selection(page=2 * number))
        np.testing.assert_array_equal(raster.mask[0:96, 0:128, 0:1][..., 0] > 0, mask)


# ---------------------------------------------------------------- Hamamatsu's slides


def jpeg(pixels, **options):
    file = io.BytesIO()
    pillow.fromarray(pixels).save(file, "jpeg", quality=90, subsampling=0, **options)
    return file.getvalue()


def write_ndpi(path, slide, *, starts):
    """Write a slide as NDPI: a level of a quarter, and what the scanner saw of the glass.

    Each page is one JPEG in one strip; `starts` gives those of its parts of 512 x 8 pixels.
    """
    pages = [(slide, 20.0), (np.ascontiguousarray(slide[::4, ::4]), 5.0), (slide[:40, :100], -1.0)]
    data, pointer = bytearray(b"II*\0" + bytes(8)), 4
    for pixels, lens in pages:
        encoded = jpeg(pixels, **({"restart_marker_blocks": 64} if lens == 20 else {}))
        height, width = pixels.shape[:2]
        tags = {254: "I", 256: "I", 257: "I", 258: "H", 259: "H", 262: "H", 271: "s", 273: "I"}
        tags |= {277: "H", 278: "I", 279: "I", 284: "H", 65420: "I", 65421: "f"}
        values = [0, width, height, (8, 8, 8), 7, 6, b"Hamamatsu\0", len(data)]
        values += [3, height, len(encoded), 1, 1, lens]
        entries = list(zip(tags.items(), values, strict=True))
        if starts and lens == 20:
            scan = encoded.rindex(b"\xff\xda")
            first = scan + 2 + int.from_bytes(encoded[scan + 2 : scan + 4], "big")
            marks = [m.end() for m in re.finditer(rb"\xff[\xd0-\xd7]", encoded[first:])]
            entries.append(((65426, "I"), (first, *(first + mark for mark in marks))))
        data += encoded + bytes(-len(encoded) % 8)
        table = b""
        for (code, kind), value in entries:
            parts = value if isinstance(value, tuple) else (value,)
            stored = value if kind == "s" else struct.pack(f"<{len(parts)}{kind}", *parts)
            type_, count = {"s": 2, "H": 3, "I": 4, "f": 11}[kind], len(parts)
            if kind == "s":
                count = len(value)
            if len(stored) > 4:
                offset = len(data)
                data += stored + bytes(-len(stored) % 8)
                stored = struct.pack("<I", offset)
            table += struct.pack("<HHI", code, type_, count) + stored.ljust(4, b"\0")
        struct.pack_into("<Q", data, pointer, len(data))
        data += struct.pack("<H", len(entries)) + table
        pointer = len(data)
        data += bytes(8 + 4 * len(entries))  # the next directory; upper halves of the offsets
        data += bytes(-len(data) % 8)
    path.write_bytes(data)


@pytest.mark.parametrize("starts", [True, False])
def test_a_slide_in_ndpi_is_read_and_not_its_label(tmp_path, starts):
    y, x = np.mgrid[:96, :2048]
    slide = np.stack([x // 8 % 256, y * 2 % 256, (x + y) % 256], 2).astype(np.uint8)
    path = tmp_path / "a.ndpi"
    write_ndpi(path, slide, starts=starts)
    seen = [slide, np.ascontiguousarray(slide[::4, ::4]), slide[:40, :100]]
    expected = [np.asarray(pillow.open(io.BytesIO(jpeg(pixels)))) for pixels in seen]
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ndpi
        assert tif.pages[0].is_tiled == starts
    np.testing.assert_array_equal(whole(path), expected[0])
    np.testing.assert_array_equal(whole(path, level=1), expected[1])
    np.testing.assert_array_equal(whole(path, page=2), expected[2])
    raster = open_tiff(str(path), Selection())
    window = raster.windows[8:40, 500:700, 0:3]
    np.testing.assert_array_equal(window, expected[0][8:40, 500:700])


# ---------------------------------------------------------------- sets of files


def write_set(folder):
    """Write an OME-TIFF set of two planes, Z, in two files."""
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in range(2)]
    data = "".join(
        f'<TiffData FirstZ="{i}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="z{i}.ome.tif">{ids[i]}</UUID></TiffData>'
        for i in range(2)
    )
    for i in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint8" SizeX="50" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            folder / f"z{i}.ome.tif", STACK[0, i, 0], description=xml, metadata=None, ome=False
        )
    return [folder / f"z{i}.ome.tif" for i in range(2)]


def test_planes_in_other_files_of_a_set_are_found(tmp_path):
    first, second = write_set(tmp_path)
    for path in (first, second):
        for z in range(2):
            np.testing.assert_array_equal(whole(path, planes={"Z": z})[..., 0], STACK[0, z, 0])
    second.unlink()
    np.testing.assert_array_equal(whole(first, planes={"Z": 0})[..., 0], STACK[0, 0, 0])
    with refused(first, words="plane Z=1 lies in another file, which is missing"):
        open_tiff(str(first), Selection(planes={"Z": 1}))
