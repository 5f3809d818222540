"""Arrays and datasets of xarray become the images that their dimensions and variables say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray
from test_array_reader import draw_pixels, expect

import bigquant
from bigquant.errors import InputError


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "dims",
    [
        ("y", "x"),
        ("band", "y", "x"),
        ("lat", "lon", "channel"),
        ("X", "bands", "Y"),
        ("a", "b", "c"),
    ],
)
def test_data_arrays_are_read_by_their_dimensions(rng, dims, chunked):
    lengths = [3 if d in ("band", "channel", "bands", "c") else 20 + i for i, d in enumerate(dims)]
    pixels = draw_pixels(rng, lengths, "u1")
    array = xarray.DataArray(pixels, dims=dims)
    if dims == ("a", "b", "c"):  # nothing says what these are
        wanted = pixels
    else:
        place = {
            d: "yxc"[0 if d in ("y", "lat", "Y") else 1 if d in ("x", "lon", "X") else 2]
            for d in dims
        }
        wanted = pixels.transpose(
            sorted(range(len(dims)), key=lambda i: "yxc".index(place[dims[i]]))
        )
    expect(bigquant.open_image(array.chunk(8) if chunked else array), wanted)


def test_a_plane_of_a_data_array_is_selected(rng):
    pixels = draw_pixels(rng, (4, 20, 30), "u1")
    array = xarray.DataArray(pixels, dims=("time", "y", "x"))
    expect(bigquant.open_image(array, select={"TIME": 2}), pixels[2])
    with pytest.raises(InputError, match=r"\Athe array: has axes time=4.*--select time=0"):
        bigquant.open_image(array)


def test_what_lies_in_a_file_is_not_read_before_it_is_computed(tmp_path, rng):
    pixels = draw_pixels(rng, (3, 100, 90), "u1")
    xarray.Dataset({"rgb": (("band", "y", "x"), pixels)}).to_zarr(tmp_path / "a", zarr_format=2)
    array = xarray.open_zarr(tmp_path / "a", chunks=None)["rgb"]
    expect(bigquant.open_image(array), np.moveaxis(pixels, 0, 2))
    assert not array.variable._in_memory
    expect(bigquant.open_image(tmp_path / "a" / "rgb"), np.moveaxis(pixels, 0, 2))


@pytest.mark.parametrize("where", ["attrs", "encoding"])
@pytest.mark.parametrize("name", ["_FillValue", "nodata"])
def test_nodata_of_a_data_array_marks_pixels(where, name):
    pixels = np.full((5, 6, 3), 9, np.uint8)
    pixels[0, 0], pixels[1, 1, 0] = 255, 255
    array = xarray.DataArray(pixels, dims=("y", "x", "band"))
    getattr(array, where)[name] = np.array([255])
    alpha = bigquant.open_image(array)[..., 3].compute()
    assert np.argwhere(alpha == 0).tolist() == [[0, 0]]
    assert bigquant.open_image(array, mask=False).shape == (5, 6, 3)


def test_what_xarray_has_masked_is_nan():
    pixels = np.full((5, 6), 9, np.float32)
    pixels[2, 3] = np.nan
    array = xarray.DataArray(pixels, dims=("y", "x"))
    array.encoding["_FillValue"] = -9999
    alpha = bigquant.open_image(array)[..., 1].compute()
    assert np.argwhere(alpha == 0).tolist() == [[2, 3]]


def dataset(rng, names, chunked=False):
    bands = {name: (("y", "x"), draw_pixels(rng, (20, 30), "u1")) for name in names}
    found = xarray.Dataset(bands)
    return found.chunk(7) if chunked else found


@pytest.mark.parametrize("chunked", [False, True])
def test_variables_of_a_dataset_are_its_bands(rng, chunked):
    found = dataset(rng, "pqrs", chunked).assign(spatial_ref=0)
    bands = np.stack([found[name].values for name in "pqrs"], axis=2)
    expect(bigquant.open_image(found[["s", "p", "q"]]), bands[..., [3, 0, 1]])
    expect(bigquant.open_image(found[["p"]]), bands[..., 0])
    expect(bigquant.open_image(found, bands=[4, 3, 1]), bands[..., [3, 2, 0]])
    expect(bigquant.open_image(found), bands)


def test_red_green_and_blue_are_known_by_their_names(rng):
    found = dataset(rng, ["Blue", "nir", "red", "green"])
    wanted = np.stack([found[n].values for n in ("red", "green", "Blue")], axis=2)
    expect(bigquant.open_image(found), wanted)
    array = found.to_dataarray("band")
    expect(bigquant.open_image(array), wanted)


def test_variables_that_are_no_bands_of_one_image_are_refused(rng):
    found = dataset(rng, "pq")
    for other in (
        found["p"].astype("f4"),
        found["p"].rename(x="lon"),
        xarray.zeros_like(found["p"]),
    ):
        if other.dtype == "u1" and other.dims == ("y", "x"):
            other.attrs["_FillValue"] = 3
        elif other.dtype == "u1":
            other = other.isel(lon=slice(4))
        with pytest.raises(InputError, match=r"\Athe dataset: its variables [^\n]+\Z"):
            bigquant.open_image(found.assign(r=other))
    for nothing in (xarray.Dataset(), found.expand_dims(band=3).assign(r=found["p"])):
        with pytest.raises(InputError, match=r"\Athe dataset: its variables [^\n]+\Z"):
            bigquant.open_image(nothing)


def test_xarray_is_quantized(rng, flower):
    array = xarray.DataArray(np.moveaxis(flower, 2, 0), dims=("band", "y", "x"))
    ours, plain = bigquant.quantize(array, 5), bigquant.quantize(flower, 5)
    np.testing.assert_array_equal(ours.palette.centers, plain.palette.centers)
    np.testing.assert_array_equal(ours.labels, plain.labels)
