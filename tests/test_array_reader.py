"""Zarr and .npy in every order of axes and of every type, against plain indexing."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from outcomes import refused

import bigquant
from bigquant import npy_array
from bigquant.array_reader import ArrayWindows
from bigquant.axes import Axes, find_axes
from bigquant.fingerprint import Fingerprint
from bigquant.npy_array import NpyArray
from bigquant.read import Image

TYPES = ["?", "u1", "<u2", ">u2", "<u4", ">u8", "i1", ">i2", "<i8", "<f2", ">f4", "<f8"]


def draw_pixels(rng, shape, dtype):
    dtype = np.dtype(dtype)
    return (rng.integers(0, 2 if dtype.kind == "b" else 100, shape)).astype(dtype)


def as_image(pixels):
    """What an image of these pixels is, by obvious code."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.dtype == bool:
        return np.where(pixels, np.uint8(255), np.uint8(0))
    return pixels.astype(pixels.dtype.newbyteorder("="))


def expect(image, pixels):
    assert isinstance(image, Image)
    wanted = as_image(pixels)
    assert image.dtype == wanted.dtype
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.compute(), wanted)


# ---------------------------------------------------------------- types and orders


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TYPES)
def test_npy_files_of_every_type_are_read(tmp_path, rng, dtype, order):
    for shape in ((31, 42), (31, 42, 3)):
        pixels = np.asarray(draw_pixels(rng, shape, dtype), order=order)
        np.save(tmp_path / "a.npy", pixels)
        image = bigquant.open_image(tmp_path / "a.npy")
        expect(image, pixels)
        expect(bigquant.open_image(pixels), pixels)
        unsigned = image.dtype.kind == "u"
        limits = (0, np.iinfo(image.dtype).max) if unsigned else None
        assert image.source.valid_range == limits


def test_an_npy_file_by_columns_is_read_by_columns(tmp_path):
    for order, shape in (("C", (64, 20_000)), ("F", (20_000, 64))):
        path = tmp_path / f"{order}.npy"
        options = {"shape": (20_000, 20_000), "fortran_order": order == "F"}
        np.lib.format.open_memmap(path, "w+", np.uint8, **options)
        sizes = bigquant.open_image(path).chunks
        assert (sizes[0][0] == 20_000, sizes[1][0] == 20_000) == tuple(n == 20_000 for n in shape)


@pytest.mark.parametrize("at_once", [1, 5, 40, 1 << 16])
@given(st.data())
def test_any_window_of_an_npy_file_is_that_of_the_array(tmp_path_factory, at_once, data):
    shape = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    order, dtype = data.draw(st.sampled_from("CF")), data.draw(st.sampled_from(["u1", ">u2"]))
    pixels = np.asarray(np.arange(math.prod(shape)).reshape(shape), dtype, order=order)
    path = tmp_path_factory.getbasetemp() / "window.npy"
    np.save(path, pixels)
    fortran, offset = pixels.flags.fnc, path.stat().st_size - pixels.nbytes
    facts = Fingerprint.take(str(path)), pixels.shape, pixels.dtype, offset, fortran
    stored = NpyArray(str(path), *facts)
    key = tuple(
        data.draw(st.slices(length).filter(lambda part: part.step in (1, None)))
        if data.draw(st.booleans())
        else data.draw(st.integers(0, length - 1))
        for length in shape
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(npy_array, "_AT_ONCE", at_once)
        np.testing.assert_array_equal(stored[key], pixels[key])


@pytest.mark.parametrize("bands", [slice(None), slice(1), slice(1, 3)])
@pytest.mark.parametrize("axis", [0, 2])
def test_an_npy_file_is_read_in_few_pieces(tmp_path, rng, axis, bands, monkeypatch):
    """Neither value by value, where bands are left out, nor much more than is wanted."""
    pixels = np.moveaxis(rng.integers(0, 256, (20, 30_000, 3), np.uint8), 2, axis).copy()
    np.save(tmp_path / "a.npy", pixels)
    facts = Fingerprint.take(str(tmp_path / "a.npy")), pixels.shape, pixels.dtype, 128, False
    sizes, fill = [], NpyArray._fill

    def note(*arguments):
        sizes.append(arguments[-1].nbytes)
        fill(*arguments)

    monkeypatch.setattr(NpyArray, "_fill", note)
    key = [slice(10, 20), slice(100, 300)]
    key.insert(axis, bands)
    found = NpyArray(str(tmp_path / "a.npy"), *facts)[tuple(key)]
    np.testing.assert_array_equal(found, pixels[tuple(key)])
    assert len(sizes) <= 30
    assert sum(sizes) <= 3 * 10 * 30_000


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", TYPES)
def test_zarr_arrays_of_every_type_are_read(tmp_path, rng, dtype, version):
    pixels = draw_pixels(rng, (31, 42, 3), dtype)
    options = {"data": pixels, "zarr_format": version, "chunks": (8, 16, 2)}
    array = zarr.create_array(tmp_path / "a", **options)
    expect(bigquant.open_image(tmp_path / "a"), pixels)
    expect(bigquant.open_image(array), pixels)


@pytest.mark.parametrize("what", ["U5", "c16", "M8[ns]"])
def test_what_is_no_number_is_refused(tmp_path, what):
    zarr.create_array(tmp_path / "a", shape=(9, 9), dtype=what, zarr_format=2)
    with refused(tmp_path / "a"):
        bigquant.open_image(tmp_path / "a")


@pytest.mark.parametrize("choice", [{"series": 0}, {"page": 1}, {"level": 2}])
def test_a_choice_that_an_array_does_not_offer_is_refused(tmp_path, choice):
    np.save(tmp_path / "a.npy", np.zeros((9, 9), np.uint8))
    zarr.create_array(tmp_path / "a", shape=(9, 9), dtype=np.uint8)
    for name in ("a.npy", "a"):
        with refused(tmp_path / name):
            bigquant.open_image(tmp_path / name, **choice)


# ---------------------------------------------------------------- named axes

LENGTHS = {"y": 13, "x": 17, "c": 3, "t": 4, "z": 2, "q": 1}


def stored_axes():
    """Orders of y and x with some of the others."""
    others = st.lists(st.sampled_from("ctzq"), unique=True)
    return others.flatmap(lambda more: st.permutations(["y", "x", *more]))


@given(stored_axes(), st.data())
def test_a_window_of_any_order_of_axes_equals_that_of_the_whole(order, data):
    stored = np.arange(math.prod(LENGTHS[a] for a in order)).reshape([LENGTHS[a] for a in order])
    planes = {
        axis.upper(): data.draw(st.integers(0, LENGTHS[axis] - 1)) for axis in order if axis in "tz"
    }
    axes = find_axes("it", stored.shape, stored.dtype, order, planes=planes)
    windows = ArrayWindows(stored, axes)
    fixed = {order.index(axis.lower()): index for axis, index in planes.items()}
    whole = stored[tuple(fixed.get(i, slice(None)) for i in range(stored.ndim))]
    left = [axis for i, axis in enumerate(order) if i not in fixed]
    whole = np.squeeze(whole, left.index("q")) if "q" in left else whole
    left = [axis for axis in left if axis != "q"]
    whole = whole.transpose([left.index(axis) for axis in "yxc" if axis in left])
    whole = whole if "c" in left else whole[..., None]
    assert windows.shape == whole.shape
    part = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))))
        for n in whole.shape
    )
    np.testing.assert_array_equal(windows[part], whole[part])


@pytest.mark.parametrize("kind", ["v3 names", "v2 xarray"])
@pytest.mark.parametrize(
    "order", ["yxc", "cyx", "xyc", "xcy", "ycx", "tcyx", "yxcz", "zqcyx", "xy"]
)
def test_zarr_arrays_are_read_by_the_names_of_their_axes(tmp_path, rng, order, kind):
    pixels = draw_pixels(rng, [LENGTHS[a] for a in order], "u1")
    options = {"dimension_names": list(order)} if kind == "v3 names" else {"zarr_format": 2}
    chunks = [min(LENGTHS[a], 5) for a in order]
    array = zarr.create_array(tmp_path / "a", data=pixels, chunks=chunks, **options)
    if kind == "v2 xarray":
        array.attrs["_ARRAY_DIMENSIONS"] = list(order)
    select = {axis.upper(): 1 for axis in order if axis in "tz"}
    plane = pixels[tuple(1 if a in "tz" else 0 if a == "q" else slice(None) for a in order)]
    left = [axis for axis in order if axis not in "tzq"]
    image = bigquant.open_image(tmp_path / "a", select=select or None)
    expect(image, plane.transpose([left.index(axis) for axis in "yxc" if axis in left]))
    assert len(pickle.dumps(image)) < 10_000


@pytest.mark.parametrize(
    ("names", "select", "words"),
    [
        ("tyx", None, "has axes t=4, y=13, x=17: choose a plane of t, e.g. --select t=0"),
        ("tyx", {"t": 4}, "t=4 must be from 0 to 3"),
        ("tyx", {"t": -1}, "must be from 0 to 3"),
        ("tyx", {"k": 0, "t": 0}, "no k to select from"),
        ("tyx", {"y": 0, "t": 0}, "y and x cannot be chosen from"),
        ("ztyx", {"z": 0}, "choose a plane of t"),
        (
            "ztyx",
            None,
            "choose a plane of z and t, e.g. --select z=0,t=0 (select={'z': 0, 't': 0})",
        ),
        ("zty", None, "which are y and x is not clear"),
        ("yyx", None, "which are y and x is not clear"),
        (None, {"t": 0}, "its axes have no names"),
    ],
)
def test_what_must_be_chosen_is_said(tmp_path, names, select, words):
    shape = [LENGTHS[axis] for axis in names or "tyx"]
    options = {"dimension_names": list(names)} if names else {}
    zarr.create_array(tmp_path / "a", shape=shape, dtype=np.uint8, **options)
    with refused(tmp_path / "a") as caught:
        bigquant.open_image(tmp_path / "a", select=select)
    assert words in str(caught.value)


def test_axes_without_names_of_their_own_are_selected_by_number(tmp_path, rng):
    pixels = draw_pixels(rng, (2, 3, 4, 13, 17), "u1")
    names = ["t", "t", None, "y", "x"]
    zarr.create_array(tmp_path / "a", data=pixels, dimension_names=names)
    with pytest.raises(bigquant.InputError, match="--select axis0=0,axis1=0 "):
        bigquant.open_image(tmp_path / "a")
    image = bigquant.open_image(tmp_path / "a", select={"axis0": 1, "axis1": 2})
    expect(image, np.moveaxis(pixels[1, 2], 0, 2))


def test_a_channel_that_is_selected_is_gray(tmp_path, rng):
    pixels = draw_pixels(rng, (7, 13, 17), "u1")
    zarr.create_array(tmp_path / "a", data=pixels, dimension_names=["channel", "lat", "lon"])
    expect(bigquant.open_image(tmp_path / "a", select={"Channel": 5}), pixels[5])
    expect(
        bigquant.open_image(tmp_path / "a", bands=[3, 1, 7]),
        np.moveaxis(pixels, 0, 2)[..., [2, 0, 6]],
    )


def test_axes_of_a_plain_array_are_its_own():
    assert find_axes("it", (5, 6), np.dtype("u1")) == Axes(0, 1)
    assert find_axes("it", (5, 6, 3), np.dtype("u1"), ["", "", ""]) == Axes(0, 1, 2)
    assert find_axes("it", (3, 5, 6), np.dtype("u1"), channel_axis=0) == Axes(1, 2, 0)


# ---------------------------------------------------------------- sizes that lie


def test_an_array_without_chunks_is_its_fill_value(tmp_path):
    options = {"shape": (10**6, 10**6, 3), "chunks": (1024, 1024, 3), "dtype": np.uint8}
    zarr.create_array(tmp_path / "a", fill_value=7, **options)
    image = bigquant.open_image(tmp_path / "a")
    assert image[-1, -1].compute().tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((10**9, 10**9), (100, 100)), ((10**6, 10**6), (10**6, 10**6)), ((9, 9, 3), (9, 9, 10**9))],
)
def test_a_size_that_is_none_is_refused(tmp_path, shape, chunks):
    zarr.create_array(tmp_path / "a", shape=shape, chunks=chunks, dtype=np.uint8)
    with refused(tmp_path / "a"):
        bigquant.open_image(tmp_path / "a")


def test_large_shards_are_read_in_parts(tmp_path):
    options = {"shape": (40_960, 40_960), "chunks": (512, 512), "shards": (40_960, 40_960)}
    zarr.create_array(tmp_path / "a", dtype=np.uint8, **options)
    assert bigquant.open_image(tmp_path / "a").npartitions > 4


def test_a_zip_file_of_a_zarr_array_is_read(tmp_path, rng):
    pixels = draw_pixels(rng, (31, 42, 3), "u1")
    with zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="w") as store:
        zarr.create_array(store, data=pixels, chunks=(8, 8, 3))
    image = bigquant.open_image(tmp_path / "a.zarr.zip")
    expect(pickle.loads(pickle.dumps(image)), pixels)  # noqa: S301
    (tmp_path / "a.zarr.zip").write_bytes(b"PK\3\4")
    with refused(tmp_path / "a.zarr.zip", bigquant.BigquantError):
        image.compute()
    with refused(tmp_path / "a.zarr.zip"):
        bigquant.open_image(tmp_path / "a.zarr.zip")


def test_an_array_that_is_written_anew_is_an_error(tmp_path, rng):
    pixels = draw_pixels(rng, (31, 42, 3), "u1")
    zarr.create_array(tmp_path / "a", data=pixels)
    image = bigquant.open_image(tmp_path / "a")
    zarr.create_array(tmp_path / "a", data=pixels, overwrite=True)
    with refused(tmp_path / "a", bigquant.BigquantError):
        image.compute()
