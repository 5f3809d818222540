"""The place on Earth, nodata and class names of a source, found in its output by other programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import tifffile
from cogs import gdalinfo, needs_gdal, problems, read
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.shutil import copy
from rasterio.transform import Affine

from bigquant import open_image, quantize
from bigquant.georeference import transform_of

KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)  # UTM zone 32N
PLACE = (
    (33550, 12, 3, (0.5, 0.25, 0.0)),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0)),
    (34735, 3, len(KEYS), KEYS),
)
needs_no_place = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def landscape(tmp_path, rng):
    """A GeoTIFF of 8 colours with overviews whose nodata is 7."""
    colors = np.array([[7, 7, 7], [255, 0, 0], [0, 99, 0], [0, 0, 255], [9, 9, 9], [200, 200, 0]])
    image = colors[rng.integers(1, 6, (1100, 900))].astype(np.uint8)
    image[:400, :300] = 7
    tags = [(*tag, True) for tag in PLACE] + [(42113, 2, 0, "7", True)]
    with tifffile.TiffWriter(tmp_path / "in.tif") as tif:
        options = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib"}
        tif.write(image, **options, metadata=None, extratags=tags)
        tif.write(image[::2, ::2], **options, metadata=None, subfiletype=1)
    return tmp_path / "in.tif", image


def test_a_georeferenced_source_gives_a_cog_of_the_same_place(landscape, tmp_path):
    path, image = landscape
    result = quantize(open_image(path), 5)
    result.to_tiff(tmp_path / "o.tif")
    assert not problems(tmp_path / "o.tif")
    before, after = read(path), read(tmp_path / "o.tif")
    profile, labels, colors, meaning = after
    for fact in ("crs", "transform", "width", "height", "blockxsize", "blockysize"):
        assert profile[fact] == before[0][fact]
    assert profile["crs"].to_epsg() == 32632
    assert (profile["nodata"], meaning) == (0, ["palette"])
    nodata = (image == 7).all(axis=2)
    np.testing.assert_array_equal(labels[0] == 0, nodata)
    np.testing.assert_array_equal(colors[labels[0], :3][~nodata], image[~nodata])
    assert set(colors[labels[0], 3][~nodata]) == {255}
    assert set(colors[labels[0], 3][nodata]) == {0}


@needs_gdal
def test_gdal_finds_mark_and_class_names_of_a_georeferenced_output(landscape, tmp_path):
    result = quantize(open_image(landscape[0]), 5)
    result.to_tiff(tmp_path / "o.tif")
    told = gdalinfo(tmp_path / "o.tif")
    assert "LAYOUT=COG" in told
    listed = told.partition("Categories:")[2].partition("Color Table")[0]
    named = dict(re.findall(r"^ +(\d+): (\S+)$", listed, re.MULTILINE))
    names = ["nodata", *result.palette.hex]
    assert [named[str(label)] for label in range(len(names))] == names
    described = json.loads(gdalinfo("-json", tmp_path / "o.tif"))
    before = json.loads(gdalinfo("-json", landscape[0]))
    assert described["geoTransform"] == before["geoTransform"]
    assert described["coordinateSystem"] == before["coordinateSystem"]
    assert described["cornerCoordinates"] == before["cornerCoordinates"]


@pytest.mark.parametrize("tool", ["gdal_translate", "rio"])
def test_exact_colours_and_place_survive_a_round_trip_through_other_programs(
    tool, landscape, tmp_path
):
    path, image = landscape
    quantize(open_image(path), 5).to_tiff(tmp_path / "o.tif")
    if tool == "rio":
        copy(tmp_path / "o.tif", tmp_path / "copy.tif", driver="COG", compress="LZW")
    elif shutil.which(tool):
        command = [tool, "-q", "-of", "GTiff", tmp_path / "o.tif", tmp_path / "copy.tif"]
        subprocess.run(command, check=True)
    else:
        pytest.skip(f"{tool} is not installed")
    profile, labels, colors, _ = read(tmp_path / "copy.tif")
    assert (profile["transform"], profile["crs"]) == tuple(
        read(path)[0][fact] for fact in ("transform", "crs")
    )
    nodata = (image == 7).all(axis=2)
    np.testing.assert_array_equal(labels[0] == 0, nodata)
    np.testing.assert_array_equal(colors[labels[0], :3][~nodata], image[~nodata])


def test_a_level_of_a_pyramid_lies_where_the_image_lies(landscape, tmp_path):
    quantize(open_image(landscape[0], level=1), 5).to_tiff(tmp_path / "o.tif")
    with rasterio.open(landscape[0]) as before, rasterio.open(tmp_path / "o.tif") as after:
        assert after.shape == (550, 450)
        assert after.bounds == before.bounds
        assert after.res == (1.0, 0.5)


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 5e5, 0, -10, 5e6), Affine(1e-4, 2e-5, 10, 3e-5, -1e-4, 50)]
)
@pytest.mark.parametrize("meant", ["Area", "Point"])
def test_a_level_lies_where_gdal_has_it(transform, meant, tmp_path, rng):
    form = {"width": 48, "height": 64, "count": 1, "dtype": "uint8", "driver": "GTiff"}
    with rasterio.open(tmp_path / "in.tif", "w", **form, crs=32633, transform=transform) as file:
        file.write(rng.integers(0, 256, (1, 64, 48), np.uint8))
        file.update_tags(AREA_OR_POINT=meant)
        file.build_overviews([2], Resampling.nearest)
    for level, options in enumerate([{}, {"overview_level": 0}]):
        image = open_image(tmp_path / "in.tif", level=level)
        quantize(image, 4).to_tiff(tmp_path / "o.tif", overwrite=True)
        with rasterio.open(tmp_path / "in.tif", **options) as file:
            assert place_of(tmp_path / "o.tif")[1].almost_equals(file.transform, 1e-12)
            found = transform_of(image.source.tags)
            assert found == pytest.approx(file.transform.to_gdal(), rel=1e-12)


def test_nodata_does_not_eat_edges_and_no_level_invents_a_label(landscape, tmp_path):
    quantize(open_image(landscape[0]), 5).to_tiff(tmp_path / "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        levels = [page.asarray() for page in tif.pages]
    for parent, child in pairwise(levels):
        for y, x in np.ndindex(child.shape):
            window = parent[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            assert child[y, x] in window
            if child[y, x] == 0:
                assert (window == 0).sum() * 2 > window.size


# ---------------------------------------------------------------- RPCs and world files

WORLD = "10.5\n0.25\n-0.5\n-9\n500005\n4999995.5\n"  # rotated


@pytest.fixture
def scan(tmp_path, rng):
    """A picture that says nothing of a place, as its file and options to write it again."""
    options = {"data": rng.integers(0, 256, (64, 48, 3), np.uint8), "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "in.tif", **options)
    return tmp_path / "in.tif", options


def place_of(path):
    with rasterio.open(path) as file:
        return file.crs, file.transform


@needs_no_place
@pytest.mark.parametrize("suffix", ["tfw", "TFW", "tifw", "wld", "txt"])
def test_a_world_file_counts_as_gdal_reads_it(suffix, scan, tmp_path):
    (tmp_path / f"in.{suffix}").write_text(WORLD)
    image = open_image(scan[0])
    assert image.source.georeferenced == (suffix != "txt")
    quantize(image, 4).to_tiff(tmp_path / "o.tif")
    assert place_of(tmp_path / "o.tif") == place_of(scan[0])
    assert place_of(scan[0])[1].is_identity == (suffix == "txt")


@pytest.mark.parametrize("tags", [PLACE, PLACE[2:]], ids=["its own place", "only a CRS"])
def test_a_world_file_counts_less_than_what_the_file_says(tags, scan, tmp_path):
    path, options = scan
    tifffile.imwrite(path, **options, extratags=[(*tag, True) for tag in tags])
    (tmp_path / "in.wld").write_text(WORLD)
    quantize(open_image(path), 4).to_tiff(tmp_path / "o.tif")
    crs, transform = place_of(tmp_path / "o.tif")
    assert (crs, transform) == place_of(path)
    assert crs.to_epsg() == 32632
    assert transform.is_rectilinear == (tags == PLACE)


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f", "1 0 0 0 5 5", "nan 0 0 1 5 5", "é"])
def test_what_is_no_world_file_is_left_alone(text, scan, tmp_path):
    (tmp_path / "in.tfw").write_text(text)
    assert not open_image(scan[0]).source.georeferenced


@needs_no_place
def test_rpcs_are_kept_and_fit_the_level(tmp_path, rng):
    terms = [1.0, *rng.random(79)]
    rpcs = RPC(
        err_bias=1.0, err_rand=2.0, line_off=30.0, samp_off=20.0, lat_off=5.0, long_off=6.0,
        height_off=7.0, line_scale=30.0, samp_scale=20.0, lat_scale=1.0, long_scale=2.0,
        height_scale=3.0, line_num_coeff=terms[:20], line_den_coeff=terms[20:40],
        samp_num_coeff=terms[40:60], samp_den_coeff=terms[60:],
    )  # fmt: skip
    form = {"width": 48, "height": 64, "count": 3, "dtype": "uint8", "driver": "GTiff"}
    with rasterio.open(tmp_path / "in.tif", "w", **form, rpcs=rpcs) as file:
        file.write(rng.integers(0, 256, (3, 64, 48), np.uint8))
        file.build_overviews([2], Resampling.nearest)
    for level, options in enumerate([{}, {"overview_level": 0}]):
        image = open_image(tmp_path / "in.tif", level=level)
        assert image.source.georeferenced
        quantize(image, 4).to_tiff(tmp_path / "o.tif", overwrite=True)
        with (
            rasterio.open(tmp_path / "in.tif", **options) as before,
            rasterio.open(tmp_path / "o.tif") as after,
        ):
            assert after.shape == before.shape
            assert after.rpcs == before.rpcs
            assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
