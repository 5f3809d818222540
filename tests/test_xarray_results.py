"""What comes as xarray goes as xarray: dimensions, coordinates, CRS and attributes."""

from __future__ import annotations

import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray
from rasterio.transform import from_origin

import bigquant

#: Of what rasterio does with affine.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
COORDS = {
    "band": [10, 20, 30, 40],
    "y": np.arange(20)[::-1] * 2.5,
    "x": np.arange(30) * 2.5,
    "wavelength": ("band", [0.6, 0.5, 0.4, 0.9]),
    "longitude": (("y", "x"), np.arange(600.0).reshape(20, 30)),
    "time": np.datetime64("2026-01-01", "ns"),
    "spatial_ref": 0,
}
FLAT = {"y", "x", "longitude", "time", "spatial_ref"}


@pytest.fixture
def scene(rng):
    """Four bands as rioxarray gives them, (band, y, x)."""
    pixels = rng.integers(0, 256, (4, 20, 30), np.uint8) // 32 * 32
    return xarray.DataArray(pixels, dims=("band", "y", "x"), coords=COORDS, name="scene")


def plain(array, **options):
    """The result of the same pixels as a NumPy array, (y, x, channel)."""
    pixels = array.transpose("y", "x", "band").values
    return bigquant.quantize(pixels, 4, **options)


def assert_coords(found, wanted, names):
    assert set(found.coords) == set(names)
    for name in names:
        np.testing.assert_array_equal(found[name], wanted[name])
        assert found[name].dims == wanted[name].dims
        assert found[name].attrs == wanted[name].attrs


def assert_pixels(result, expected):
    np.testing.assert_array_equal(result.image.transpose("y", "x", "band"), expected.image)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert result.labels.dims == ("y", "x")


# ---------------------------------------------------------------- dimensions and coordinates


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("dims", [("band", "y", "x"), ("y", "x", "band"), ("x", "band", "y")])
def test_results_have_the_dimensions_and_coordinates_that_came(dims, chunked, scene):
    array = scene[:3].transpose(*dims)
    result = bigquant.quantize(array.chunk(8) if chunked else array, 4)
    assert_pixels(result, plain(scene[:3]))
    assert result.image.dims == dims
    assert (result.image.name, result.labels.name) == ("scene", "labels")
    assert_coords(result.image, array, COORDS)
    assert_coords(result.labels, array, FLAT)


def test_an_alpha_band_is_gone(scene):
    result = bigquant.quantize(scene, 4)
    assert_pixels(result, plain(scene))
    assert_coords(result.image, scene[:3], COORDS)
    assert result.labels.attrs == ({"_FillValue": 0} if (scene[3] == 0).any() else {})


def test_bands_that_were_chosen_keep_their_coordinates(scene):
    scene.attrs |= {"long_name": ("a", "b", "c", "d"), "units": "1"}
    image = bigquant.quantize(bigquant.open_image(scene, bands=[4, 1, 3]), 4).image
    assert image.band.values.tolist() == [40, 10, 30]
    assert image.wavelength.values.tolist() == [0.9, 0.6, 0.4]
    assert image.attrs == {"long_name": ("d", "a", "c"), "units": "1"}
    np.testing.assert_array_equal(image, plain(scene[[3, 0, 2]]).image.transpose(2, 0, 1))


@pytest.mark.parametrize("one", [[1], 1], ids=["a dimension of one band", "no such dimension"])
def test_gray_keeps_its_dimensions(one, scene):
    array = scene.isel(band=one)
    result = bigquant.quantize(array, 4)
    assert result.image.dims == array.dims
    assert_coords(result.image, array, COORDS)
    assert_coords(result.labels, array, FLAT if one == [1] else COORDS)
    expected = bigquant.quantize(scene.values[1], 4)
    np.testing.assert_array_equal(np.squeeze(result.image), expected.image[..., 0])
    np.testing.assert_array_equal(result.labels, expected.labels)


@pytest.mark.parametrize("one", [[1], 1])
def test_gray_that_joins_rgb_has_bands_of_which_nothing_is_said(one, scene):
    gray = scene.isel(band=one).assign_attrs(long_name=("green",), AREA_OR_POINT="Area")
    results = bigquant.quantize([gray, scene[:3]], 4)
    assert results[0].image.dims == ("band", "y", "x")
    assert results[0].image.shape == (3, 20, 30)
    named = FLAT if one == [1] else FLAT | {"wavelength"}
    assert_coords(results[0].image, gray, named)
    assert results[0].image.attrs == {"AREA_OR_POINT": "Area"}
    assert_coords(results[1].image, scene[:3], COORDS)


def test_a_plane_that_was_selected_is_a_coordinate(scene):
    series = xarray.concat([scene[:3], scene[:3] // 2], "time").assign_coords(time=[5, 7])
    result = bigquant.quantize(bigquant.open_image(series, select={"time": 1}), 4)
    assert result.image.dims == ("band", "y", "x")
    assert result.image.time == result.labels.time == 7
    assert_pixels(result, plain(scene[:3] // 2))


def test_dimensions_without_coordinates_and_names(rng):
    array = xarray.DataArray(rng.integers(0, 9, (12, 10, 3), np.uint8))
    result = bigquant.quantize(array, 2)
    assert result.image.dims == array.dims == ("dim_0", "dim_1", "dim_2")
    assert result.labels.dims == ("dim_0", "dim_1")
    assert (result.image.name, set(result.image.coords)) == (None, set())


def test_variables_of_a_dataset_become_bands(scene):
    dataset = scene.assign_coords(band=list("rgbn")).drop_vars("wavelength").to_dataset("band")
    dataset.attrs = {"title": "a scene"}
    image = bigquant.quantize(dataset[["n", "r", "g"]], 4).image
    assert image.dims == ("band", "y", "x")
    assert_coords(image.drop_vars("band"), scene, FLAT)
    assert image.band.values.tolist() == ["n", "r", "g"]
    assert image.attrs == {"title": "a scene"}
    np.testing.assert_array_equal(image, plain(scene[[3, 0, 1]]).image.transpose(2, 0, 1))


# ---------------------------------------------------------------- attributes


def test_attributes_are_kept_where_they_still_hold(scene):
    of_pixels = {"_FillValue": 7, "valid_range": [0, 200], "STATISTICS_MEAN": "3.5"}
    of_bands = {"long_name": ("r", "g", "b"), "units": "1", "scale_factor": 0.5, "add_offset": 1.0}
    others = {"AREA_OR_POINT": "Area", "history": "scanned"}
    scene.attrs = of_pixels | of_bands | others
    scene.values[:, 0, 0] = 7
    result = bigquant.quantize(scene[:3], 4)
    assert result.image.attrs == of_bands | others
    assert result.labels.attrs == others | {"_FillValue": 0}
    assert result.labels.attrs["_FillValue"].dtype == result.labels.dtype
    assert np.argwhere(result.labels.values == 0).tolist() == [[0, 0]]
    assert scene.attrs == of_pixels | of_bands | others


def test_without_pixels_left_out_no_label_is_nodata(scene):
    assert bigquant.quantize(scene[:3], 4).labels.attrs == {}


# ---------------------------------------------------------------- to_xarray, and all is lazy


def test_to_xarray_holds_both(scene):
    result = bigquant.quantize(scene[:3], 4)
    dataset = result.to_xarray()
    assert set(dataset.data_vars) == {"image", "labels"}
    for name in ("image", "labels"):
        xarray.testing.assert_identical(dataset[name], getattr(result, name).rename(name))


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 3), (12, 10, 4)])
def test_to_xarray_of_what_was_no_xarray(shape, rng):
    result = bigquant.quantize(rng.integers(1, 9, shape, np.uint8), 2)
    dataset = result.to_xarray()
    assert isinstance(result.image, da.Array)
    assert isinstance(result.labels, da.Array)
    assert (dataset.image.dims, dataset.labels.dims) == (("y", "x", "band"), ("y", "x"))
    assert not dataset.coords
    np.testing.assert_array_equal(dataset.image, result.image)
    np.testing.assert_array_equal(dataset.labels, result.labels)
    assert dataset.labels.attrs == ({"_FillValue": 0} if shape[2:] == (4,) else {})


def test_nothing_is_computed_before_it_is_asked_for(scene):
    passes = []

    def count(block):
        passes.append(block.shape)
        return block

    lazy = da.from_array(scene.values[:3]).map_blocks(count, meta=np.empty((0, 0, 0), np.uint8))
    result = bigquant.quantize(scene[:3].copy(data=lazy), 4)
    once = len(passes)
    dataset = result.to_xarray()
    assert all(array.chunks for array in (result.image, result.labels, dataset.image))
    assert len(passes) == once
    dataset.compute(scheduler="sync")
    assert len(passes) == 2 * once


def test_outputs_are_those_of_the_same_pixels(scene, tmp_path):
    for name, result in (("a", bigquant.quantize(scene, 4)), ("b", plain(scene))):
        for kind in ("zarr", "tiff", "png", "npy"):
            getattr(result, f"to_{kind}")(tmp_path / f"{name}.{kind}")
    made = {
        name: {
            str(path.relative_to(tmp_path))[1:]: path.read_bytes()
            for path in sorted(tmp_path.rglob("*"))
            if path.is_file() and path.relative_to(tmp_path).parts[0][0] == name
        }
        for name in "ab"
    }
    assert made["a"] == made["b"]
    assert len(made["a"]) > 10
    np.testing.assert_array_equal(bigquant.quantize(scene, 4), plain(scene))


def test_those_who_have_no_xarray_need_none(tmp_path):
    program = (
        "import sys\n"
        "sys.modules['xarray'] = None\n"
        "import numpy, bigquant\n"
        "result = bigquant.quantize(numpy.zeros((4, 4, 3), 'u1'), 1)\n"
        "result.to_tiff('out.tif'), result.image.compute()\n"
        "try: result.to_xarray()\n"
        "except bigquant.InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == (
        "to_xarray: the package xarray is missing: pip install 'bigquant[xarray]'\n"
    ), done.stderr


# ---------------------------------------------------------------- rioxarray


@pytest.fixture
def geotiff(tmp_path, rng):
    """Three bands with a place on Earth, nodata and names; half a tile of nodata."""
    path = tmp_path / "in.tif"
    pixels = rng.integers(1, 256, (3, 200, 300), np.uint8)
    pixels[:, :100, :64] = 0
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 4.6e6, 0.5, 0.25), "nodata": 0}
    form = {"width": 300, "height": 200, "count": 3, "dtype": "uint8", "driver": "GTiff"}
    with rasterio.open(path, "w", **form, **place, tiled=True, blockxsize=64, blockysize=64) as out:
        out.write(pixels)
        out.descriptions = ("red", "green", "blue")
    return path


@pytest.mark.parametrize("mapping", ["spatial_ref", "utm"])
def test_place_and_nodata_survive_to_raster(mapping, geotiff, tmp_path):
    with rioxarray.open_rasterio(geotiff, chunks={"x": 128, "y": 128}) as array:
        if mapping != "spatial_ref":
            crs = array.rio.crs
            array = array.drop_vars("spatial_ref").rio.write_crs(crs, grid_mapping_name=mapping)
        result = bigquant.quantize(array, 6)
        for name in ("labels", "image"):
            getattr(result, name).rio.to_raster(tmp_path / f"{name}.tif")
        expected = bigquant.quantize(bigquant.open_image(geotiff), 6)
    with rasterio.open(geotiff) as before, rasterio.open(tmp_path / "labels.tif") as after:
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert (after.nodata, after.dtypes) == (0, ("uint8",))
        np.testing.assert_array_equal(after.read(1), expected.labels)
        assert after.read_masks(1).tolist() == before.dataset_mask().tolist()
    with rasterio.open(geotiff) as before, rasterio.open(tmp_path / "image.tif") as after:
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert (after.nodata, after.descriptions) == (None, before.descriptions)
        np.testing.assert_array_equal(after.read().transpose(1, 2, 0), expected.image)


def test_a_dataset_of_results_has_a_place(geotiff, tmp_path):
    with rioxarray.open_rasterio(geotiff, chunks={}) as array:
        dataset = bigquant.quantize(array, 6).to_xarray()
        assert dataset.rio.crs == array.rio.crs
        assert dataset.labels.rio.transform() == array.rio.transform()
        assert dataset.labels.rio.nodata == 0
        again = bigquant.open_image(dataset.labels)
    np.testing.assert_array_equal(again[..., 1] == 0, dataset.labels == 0)
