"""Outputs of images of every type and number of bands, as programs that are not ours read them."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
import reference
import tensorstore
import tifffile
import zarr
from cogs import gdalinfo
from PIL import Image as pillow
from test_omezarr_viewers import label_facts, read_nodes, validate

from bigquant import Palette, open_image
from bigquant.display import Display
from bigquant.omezarr import LABELS, VERSIONS
from bigquant.source import Source
from bigquant.tiff_output import write_tiff
from bigquant.write import write_npy, write_png, write_zarr

needs_gdal = pytest.mark.skipif(not shutil.which("gdal_translate"), reason="GDAL is not installed")

#: Type and bands of an image, its number of colours, and whether label 0 is reserved.
CASES = {
    "gray of 16 bits": ("uint16", 1, 8, False),
    "gray of 16 bits with a sign": ("int16", 1, 8, True),
    "RGB of 16 bits": ("uint16", 3, 300, True),
    "RGB and infrared": ("uint8", 4, 8, False),
    "two bands of float": ("float32", 2, 8, True),
    "four bands of float": ("float32", 4, 300, True),
    "gray of double precision": ("float64", 1, 8, True),
    "gray of half precision": ("float16", 1, 8, True),
    "13 bands of 32 bits": ("uint32", 13, 8, False),
    "3 bands of 64 bits with a sign": ("int64", 3, 8, True),
}
SHAPE = 530, 620
GEOTIFF = (
    (33550, 12, 3, (10.0, 10.0, 0.0)),
    (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 9e6, 0.0)),
    (34735, 3, 12, (1, 1, 0, 2, 3072, 0, 1, 32633, 3076, 0, 1, 9001)),
)


@dataclass(frozen=True)
class Case:
    """Labels and a palette for them, and the levels that they must give: (labels, colours)."""

    labels: np.ndarray
    palette: Palette
    levels: list

    @property
    def lazy(self):
        """The labels in chunks."""
        return da.from_array(self.labels, chunks=(256, 256))


def make(name):
    """Random labels and colours, which are shown in some order of bands and some window."""
    dtype, channels, k, nodata = CASES[name]
    rng = np.random.default_rng(channels + k)
    kind = np.dtype(dtype)
    most = 1e4 if kind.kind == "f" else np.iinfo(kind).max / 2.0
    centers = rng.normal(0, 1, (k, channels)) * most / 4
    if kind.kind == "u":
        centers = np.abs(centers)
    ranges = np.column_stack([centers.min(axis=0) - 1, centers.max(axis=0) + 1])
    if kind.kind == "u":
        ranges[:, 0] = 0
    display = None if channels < 4 else Display((2, 0, 1), ranges * 0.75)
    masses = np.arange(k, 0, -1)
    palette = Palette.from_centers(centers, masses, dtype, ranges, int(nodata), display=display)
    labels = rng.integers(0, palette.k + nodata, (SHAPE[0] // 4 + 1, SHAPE[1] // 4 + 1))
    labels = np.kron(labels, np.ones((4, 4), int))[: SHAPE[0], : SHAPE[1]]
    noise = rng.random(SHAPE) < 0.3
    labels[noise] = rng.integers(0, palette.k + nodata, noise.sum())
    labels = labels.astype(palette.label_dtype)
    colors, valid = palette.table[labels], labels > 0 if nodata else np.ones(SHAPE, bool)
    half = means(colors, valid)
    return Case(labels, palette, [(labels, colors), (reference.halve_labels(labels, nodata), half)])


def means(colors, valid):
    """Half an image in the same type, by numbers of any size."""
    counts = reference.windows(valid.astype(int), 0).sum(axis=2)
    planes = []
    for plane in np.moveaxis(colors, 2, 0):
        if colors.dtype.kind == "f":
            sums = reference.windows(np.where(valid, plane, 0).astype(float), 0.0).sum(axis=2)
            planes.append(np.where(counts, sums / np.maximum(counts, 1), np.nan))
            continue
        sums = reference.windows(np.where(valid, plane, 0).astype(object), 0).sum(axis=2)
        twice = 2 * np.maximum(counts, 1)
        planes.append(np.where(counts, (2 * sums + counts) // twice, 0))
    return np.stack(planes, axis=2).astype(colors.dtype)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return make(request.param)


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def stored(case, version, tmp_path_factory):
    """An OME-Zarr of a case."""
    path = tmp_path_factory.mktemp("typed") / "out.zarr"
    write_zarr(path, case.lazy, case.palette, Source(), ome_zarr=version)
    return path


def assert_levels(case, images, labels):
    """Images (c, y, x) and labels (y, x) of all levels are those that must be there."""
    assert len(images) == len(labels) == len(case.levels)
    for image, label, (wanted, colors) in zip(images, labels, case.levels, strict=True):
        assert image.dtype == case.palette.dtype
        tolerance = 4 * np.finfo(image.dtype).eps if image.dtype.kind == "f" else 0
        np.testing.assert_allclose(np.moveaxis(image, 0, 2), colors, rtol=tolerance)
        np.testing.assert_array_equal(label, wanted)


def omero(path):
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    return attributes.get("ome", attributes)["omero"]["channels"]


# ---------------------------------------------------------------- OME-Zarr


def test_a_zarr_is_valid_and_holds_the_image_in_its_own_type(case, version, stored):
    validate(stored, version)
    group = zarr.open_group(stored, mode="r")
    images, labels = ([group[f"{p}{n}"][:] for n in range(2)] for p in ("", f"{LABELS}/"))
    assert_levels(case, images, labels)
    np.testing.assert_array_equal(np.moveaxis(images[0], 0, 2), case.levels[0][1])
    fill = group["0"].fill_value
    assert np.isnan(fill) if case.palette.dtype.kind == "f" else fill == 0


def test_tensorstore_reads_it(case, version, stored):
    driver = "zarr3" if version == "0.5" else "zarr"

    def read(name):
        store = {"driver": "file", "path": str(stored / name)}
        return tensorstore.open({"driver": driver, "kvstore": store}).result().read().result()

    assert_levels(case, *([read(f"{p}{n}") for n in range(2)] for p in ("", f"{LABELS}/")))


def test_the_reader_of_ome_zarr_finds_bands_windows_and_label_colors(case, stored):
    image, label = read_nodes(stored)
    assert_levels(case, *([level.compute() for level in node.data] for node in (image, label)))
    palette = case.palette
    windows = palette.display.windows.tolist()
    np.testing.assert_allclose(image.metadata["contrast_limits"], windows)
    active = [band in palette.display.bands for band in range(palette.channels)]
    assert list(map(bool, image.metadata["visible"])) == active
    shown = label.metadata["color"]
    table = [[round(255 * part) for part in shown[value]] for value in sorted(shown)]
    assert table == [list(row) for row in palette.rows]


def test_napari_shows_it(case, stored):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from napari_ome_zarr import napari_get_reader

        layers = napari_get_reader(str(stored))(str(stored))
    pictures = [data for data, _, kind in layers if kind == "image"]
    ((labels, _),) = [(data, facts) for data, facts, kind in layers if kind == "labels"]
    images = [
        np.stack(channels).reshape(-1, *channels[0].shape[-2:])
        for channels in zip(*pictures, strict=True)
    ]
    assert_levels(case, images, [np.asarray(level) for level in labels])


def test_every_window_lies_in_what_values_can_be(case, stored):
    palette = case.palette
    for band, channel in enumerate(omero(stored)):
        window = channel["window"]
        start, end = palette.display.windows[band].tolist()
        assert (window["start"], window["end"]) == (start, end)
        assert window["min"] <= start < end <= window["max"]
        if palette.dtype.kind != "f" and palette.dtype.itemsize <= 2:
            limits = np.iinfo(palette.dtype)
            assert (window["min"], window["max"]) == (limits.min, limits.max)
        else:
            assert window["min"] <= palette.ranges[band, 0]
            assert window["max"] >= palette.ranges[band, 1]


def test_viewers_mix_the_bands_to_what_the_palette_says(case, stored):
    """Add up the bands as viewers do, each in its colour and through its window."""
    palette, channels = case.palette, omero(stored)
    mixed = np.zeros((palette.k, 3))
    for band, channel in enumerate(channels):
        window = channel["window"]
        width = window["end"] - window["start"]
        bright = (palette.colors[:, band].astype(float) - window["start"]) / width
        tint = [int(channel["color"][i : i + 2], 16) for i in (0, 2, 4)]
        mixed += channel["active"] * bright.clip(0, 1)[:, None] * np.array(tint)
    assert np.abs(mixed - palette.rgb).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("bands", [1, 2, 3, 6])
def test_bands_are_named_so_that_none_is_taken_for_all_the_colour(bands, tmp_path):
    ranges = np.array([[0.0, 9.0]] * bands)
    palette = Palette.from_centers(np.ones((1, bands)), np.array([1]), "uint16", ranges)
    labels = da.zeros((20, 30), dtype=np.uint8)
    write_zarr(tmp_path / "o.zarr", labels, palette, Source())
    names = {1: ["gray"], 3: ["R", "G", "B"]}.get(bands, [*"123456"[:bands]])
    channels = omero(tmp_path / "o.zarr")
    assert [channel["label"] for channel in channels] == names
    colors = {1: ["FFFFFF"], 2: ["FF00FF", "00FF00"]}.get(bands, ["FF0000", "00FF00", "0000FF"])
    assert [channel["color"] for channel in channels if channel["active"]] == colors


def test_it_is_read_again(case, stored):
    """By itself where it is gray or RGB, else by the bands that are asked for."""
    palette = case.palette
    bands = None if palette.channels in (1, 3) else (palette.channels, 1, 2)
    chosen = [band - 1 for band in bands or range(1, palette.channels + 1)]
    for level, (_, colors) in enumerate(case.levels):
        image = open_image(stored, level=level, bands=bands)
        assert image.dtype == palette.dtype
        tolerance = 4 * np.finfo(image.dtype).eps if image.dtype.kind == "f" else 0
        np.testing.assert_allclose(image.compute(), colors[..., chosen], rtol=tolerance)
    loaded = Palette.load(f"{stored}.palette.json")
    np.testing.assert_array_equal(loaded.table, palette.table)
    assert loaded.as_json() == palette.as_json()


@needs_gdal
@pytest.mark.parametrize("name", ["RGB and infrared", "two bands of float", "RGB of 16 bits"])
def test_gdal_reads_the_older_version(name, tmp_path):
    case = make(name)
    write_zarr(tmp_path / "o.zarr", case.lazy, case.palette, Source(), ome_zarr="0.4")

    def read(name):
        names = f'ZARR:"{tmp_path / "o.zarr"}":/{name}', tmp_path / "band.tif"
        subprocess.run(["gdal_translate", "-q", *names], check=True)
        return tifffile.imread(names[1])

    bands = range(case.palette.channels)
    images = [np.stack([read(f"{level}:{band}") for band in bands]) for level in range(2)]
    assert_levels(case, images, [read(f"{LABELS}/{level}") for level in range(2)])


# ---------------------------------------------------------------- TIFF, PNG and what lies beside


def test_a_tiff_is_what_is_shown(case, tmp_path):
    palette = case.palette
    write_tiff(tmp_path / "o.tif", case.lazy, palette, Source())
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        page = tif.pages.first
        pixels, colormap, photometric = page.asarray(), page.colormap, page.photometric.name
        model = json.loads(page.description)["bigquant"]
    assert model == json.loads(palette.encode())
    shown = palette.shown_table[case.labels]
    if palette.label_dtype == np.uint8:
        assert photometric == "PALETTE"
        np.testing.assert_array_equal(pixels, case.labels)
        painted = (colormap.T // 257)[pixels]
        np.testing.assert_array_equal(*np.broadcast_arrays(painted, shown))
        return
    assert (photometric, pixels.dtype) == ("RGB", np.uint8)
    np.testing.assert_array_equal(pixels[..., :3], shown)
    np.testing.assert_array_equal(pixels[..., 3], 255 * (case.labels > 0))


@needs_gdal
@pytest.mark.parametrize(
    "name", ["gray of double precision", "two bands of float", "RGB and infrared"]
)
def test_gdal_shows_a_geotiff_in_the_colours_of_the_palette(name, tmp_path):
    case = make(name)
    palette = case.palette
    write_tiff(tmp_path / "o.tif", case.lazy, palette, Source(tags=GEOTIFF))
    band = json.loads(gdalinfo("-json", tmp_path / "o.tif"))["bands"][0]
    names = ElementTree.parse(tmp_path / "o.tif.aux.xml").findall(".//CategoryNames/Category")
    assert [name.text for name in names] == ["nodata"] * palette.first_label + palette.hex
    assert band.get("noDataValue") == (0 if palette.first_label else None)
    entries = band["colorTable"]["entries"][: len(palette.table)]
    assert [tuple(entry[:3]) for entry in entries] == [row[:3] for row in palette.rows]
    expanded = tmp_path / "rgb.tif"
    command = ["gdal_translate", "-q", "-expand", "rgb", "-co", "INTERLEAVE=PIXEL"]
    subprocess.run([*command, tmp_path / "o.tif", expanded], check=True)
    valid = case.labels >= palette.first_label
    shown = np.broadcast_to(palette.shown_table[case.labels], (*SHAPE, 3))
    np.testing.assert_array_equal(tifffile.imread(expanded)[valid], shown[valid])


@pytest.mark.parametrize("name", [name for name, (*_, k, _) in CASES.items() if k < 256])
def test_a_png_is_what_is_shown(name, tmp_path):
    case = make(name)
    write_png(tmp_path / "o.png", case.lazy, case.palette, Source())
    with pillow.open(tmp_path / "o.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), case.labels)
        rgba = np.asarray(picture.convert("RGBA"))
    np.testing.assert_array_equal(rgba, np.array(case.palette.rows, np.uint8)[case.labels])


def test_labels_and_palette_of_a_npy(case, tmp_path):
    write_npy(tmp_path / "o.npy", case.lazy, case.palette, Source())
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), case.labels)
    loaded = Palette.load(tmp_path / "o.npy.palette.json")
    np.testing.assert_array_equal(loaded.table, case.palette.table)


@pytest.mark.parametrize("suffix", [".gpl", ".hex", ".css", ".txt", ".qml"])
def test_palette_files_have_the_colours_that_are_shown(suffix, case, tmp_path):
    case.palette.save(tmp_path / f"p{suffix}")
    read = Palette.load(Path(tmp_path, f"p{suffix}"))
    assert read.dtype == np.uint8
    assert read.hex == case.palette.hex


def test_every_label_has_the_colour_that_is_shown(case, stored):
    colors, properties = label_facts(stored)
    assert [tuple(colors[label]) for label in sorted(colors)] == case.palette.rows
    first = case.palette.first_label
    assert [properties[first + i]["hex"] for i in range(case.palette.k)] == case.palette.hex
