"""A TIFF made of an xarray object lies where rioxarray says that this lies, for rasterio."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray
from cogs import problems
from rasterio.crs import CRS
from rasterio.transform import Affine

import bigquant

#: Of what rasterio does with affine.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
OWN = "+proj=laea +lat_0=10 +lon_0=20 +ellps=GRS80"
NORTH_UP = Affine(0.1, 0, 5e5, 0, -0.3, 4.6e6)


def open_scene(path, crs="EPSG:32632", transform=NORTH_UP):
    """What rioxarray makes of a GeoTIFF of 20 x 30 pixels."""
    form = {"width": 30, "height": 20, "count": 3, "dtype": "uint8", "driver": "GTiff"}
    with rasterio.open(path, "w", **form, crs=crs, transform=transform) as out:
        out.write(np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8))
    return rioxarray.open_rasterio(path)


def write(array, path, k=4):
    bigquant.quantize(array, k).to_tiff(path, overwrite=True)
    with rasterio.open(path) as file:
        return file.crs, file.transform


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        *((crs, NORTH_UP) for crs in ("EPSG:4326", "EPSG:2263", "EPSG:5555", "ESRI:54009", OWN)),
        (None, NORTH_UP),
        ("EPSG:32632", Affine(2, 0, 7, 0, 3, 9)),
        ("EPSG:32632", Affine(1e-4, 2e-5, 10, 3e-5, -1e-4, 50)),
    ],
)
def test_crs_and_transform_are_those_of_the_file_that_it_was_opened_from(crs, transform, tmp_path):
    with open_scene(tmp_path / "in.tif", crs, transform) as scene:
        expected = CRS.from_user_input(crs) if crs else None
        assert write(scene, tmp_path / "o.tif") == (expected, transform)
    assert not problems(tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize(
    "part",
    [
        {"x": slice(5, 21), "y": slice(3, None)},
        {"x": slice(None, None, 3), "y": slice(1, None, 2)},
        {"y": slice(None, None, -1)},
        {"x": [4], "y": [2]},
    ],
)
def test_a_slice_lies_where_its_coordinates_lie(part, tmp_path):
    with open_scene(tmp_path / "in.tif") as scene:
        cut = scene.isel(part)
        crs, found = write(
            cut.transpose("x", "band", "y"), tmp_path / "o.tif", k=min(4, cut.size // 3)
        )
        assert crs == scene.rio.crs
        assert found.almost_equals(cut.rio.transform(recalc=cut.size > 3), 1e-9)


def test_coordinates_alone_will_do_where_the_crs_is_named(tmp_path):
    coords = {"lat": 50 - 0.25 * np.arange(20), "lon": np.arange(30, dtype="f4") / 10}
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    array = xarray.DataArray(pixels, coords=coords)
    tagged = array.rio.write_crs("EPSG:4326", grid_mapping_name="crs")
    crs, found = write(tagged, tmp_path / "o.tif")
    assert crs == "EPSG:4326"
    assert found.almost_equals(Affine(0.1, 0, -0.05, 0, -0.25, 50.125), 1e-6)
    uneven = tagged.assign_coords(lat=coords["lat"] ** 2)
    assert write(uneven, tmp_path / "o.tif") == (crs, Affine.identity())
    assert write(array, tmp_path / "o.tif") == (None, Affine.identity())  # of what?


def test_bands_of_a_dataset_lie_where_it_lies(tmp_path):
    with open_scene(tmp_path / "in.tif") as scene:
        bands = scene.assign_coords(band=list("rgb")).to_dataset("band")
        assert write(bands, tmp_path / "o.tif") == (scene.rio.crs, NORTH_UP)


def test_a_crs_of_ones_own_stands_beside_colours_too(tmp_path):
    with open_scene(tmp_path / "in.tif", OWN) as scene:
        assert write(scene, tmp_path / "o.tif", k=300) == (CRS.from_string(OWN), NORTH_UP)
        assert "CategoryNames" not in (tmp_path / "o.tif.aux.xml").read_text()


def test_without_pyproj_the_crs_stands_beside_the_file(tmp_path, monkeypatch):
    with open_scene(tmp_path / "in.tif") as scene:
        monkeypatch.setitem(sys.modules, "pyproj", None)
        assert write(scene, tmp_path / "o.tif") == ("EPSG:32632", NORTH_UP)
    assert "<SRS>" in (tmp_path / "o.tif.aux.xml").read_text()


@pytest.mark.parametrize(
    "attributes",
    [
        {"crs_wkt": 7, "GeoTransform": "1 2 3"},
        {"crs_wkt": "nonsense", "GeoTransform": [1, "b", 3, 4, 5, 6]},
        {"grid_mapping_name": "nonsense", "GeoTransform": 5},
    ],
)
def test_a_grid_mapping_that_is_damaged_costs_nothing_but_the_place(attributes, tmp_path):
    with open_scene(tmp_path / "in.tif") as scene:
        scene.spatial_ref.attrs.clear()
        scene.spatial_ref.attrs.update(attributes)
        assert write(scene, tmp_path / "o.tif")[0] is None
