"""Images of any type and number of bands: exact labels, the same palettes for any chunks."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import reference
import zarr
from counting import CountingArray
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import chunkings

import bigquant
from bigquant.errors import InputError, PaletteWarning

KINDS = [
    *((dtype, bands) for dtype in ("u1", "u2", "f4") for bands in (1, 2, 3, 4, 6)),
    *(("u4", 3), ("u8", 1), ("i1", 1), ("i1", 3), ("i2", 1), ("i2", 4), ("i4", 6), ("i8", 2)),
    *(("f2", 1), ("f2", 3), ("f2", 6), ("f8", 1), ("f8", 4), ("f8", 6)),
]


def scene(rng, dtype, bands, shape=(60, 50)):
    """Draw an image of a few soft regions; of floats one has pixels that are no numbers."""
    dtype = np.dtype(dtype)
    middles = rng.random((6, bands))
    regions = rng.integers(0, 6, (shape[0] // 10 + 1, shape[1] // 10 + 1))
    regions = regions.repeat(10, axis=0).repeat(10, axis=1)[: shape[0], : shape[1]]
    values = middles[regions] + rng.normal(0, 0.03, (*shape, bands))
    if dtype.kind == "f":
        image = (values * 40 - 7).astype(dtype)
        image[rng.random(shape) < 0.1, rng.integers(0, bands)] = rng.choice([np.nan, np.inf])
        return image
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return (low + values.clip(0, 1) * (float(high) - float(low)) * 0.99).astype(dtype)


def all_bands(image):
    return tuple(range(1, image.shape[2] + 1))


def quantized(image, k, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaletteWarning)
        return bigquant.quantize(image, k, bands=all_bands(image), **options)


def expected_labels(image, palette):
    """Label by brute force: every pixel against every colour."""
    rows = image.reshape(-1, image.shape[2])
    masked = ~np.isfinite(rows.astype(np.float64)).all(axis=1)
    rows = np.where(masked[:, None], 0, rows).astype(np.float64)
    labels, squares = reference.nearest(
        rows * palette.factors, palette.colors.astype(np.float64) * palette.factors
    )
    labels = np.where(masked, 0, labels + palette.first_label)
    return labels.reshape(image.shape[:2]), squares[~masked].sum()


def with_chunks(image, *chunks):
    return da.from_array(image, chunks=(*chunks, image.shape[2]))


@pytest.mark.parametrize(("dtype", "bands"), KINDS)
@pytest.mark.parametrize("scale", ["none", "std"])
def test_labels_are_the_nearest_colours_of_the_pixels_themselves(rng, dtype, bands, scale):
    image = scene(rng, dtype, bands)
    result = quantized(with_chunks(image, 23, 31), 5, scale=scale)
    palette = result.palette
    assert (palette.dtype, palette.channels, palette.scale) == (image.dtype, bands, scale)
    assert palette.first_label == (image.dtype.kind == "f")
    labels, error = expected_labels(image, palette)
    np.testing.assert_array_equal(result.labels.compute(), labels)
    measured = result.measure()
    counts = np.bincount(labels.ravel(), minlength=palette.first_label + palette.k)
    np.testing.assert_array_equal(measured.counts, counts[palette.first_label :])
    assert measured.inertia == pytest.approx(error, rel=1e-6, abs=1e-9)
    painted = result.image.compute()
    assert painted.dtype == image.dtype
    is_part = labels >= palette.first_label
    np.testing.assert_array_equal(
        painted[is_part], palette.colors[labels[is_part] - palette.first_label]
    )
    assert (np.isnan(painted) if image.dtype.kind == "f" else painted == 0)[~is_part].all()


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4"])
@settings(max_examples=8)
@given(data=st.data())
def test_palettes_are_the_same_for_any_chunks(dtype, bands, data):
    image = scene(np.random.default_rng(data.draw(st.integers(0, 99))), dtype, bands, (40, 30))
    whole = quantized(image, 4)
    lazy = da.from_array(image, chunks=data.draw(chunkings(image.shape)))
    with dask.config.set(scheduler="sync"):
        found = quantized(lazy, 4)
        if bands == 6 and dtype == "f4":  # sums of floats depend on their order
            np.testing.assert_allclose(found.palette.centers, whole.palette.centers, rtol=1e-6)
            return
        np.testing.assert_array_equal(found.palette.centers, whole.palette.centers)
        assert found.palette.as_json() == whole.palette.as_json()
        assert found.measure().as_json() == whole.measure().as_json()


def test_workers_find_the_same(rng, client):
    for dtype, bands in (("u2", 3), ("f4", 4), ("u2", 6)):
        image = scene(rng, dtype, bands)
        here = quantized(image, 5)
        there = quantized(with_chunks(image, 17, 20), 5)
        np.testing.assert_array_equal(there.palette.centers, here.palette.centers)
        np.testing.assert_array_equal(there.labels.compute(), here.labels.compute())


@pytest.mark.parametrize(
    ("dtype", "bands", "scale", "reads"),
    [
        ("u1", 3, "none", 1),
        ("u2", 1, "none", 1),
        ("u1", 4, "none", 1),
        ("u2", 3, "none", 1),
        ("u2", 3, "range", 2),
        ("i4", 2, "none", 2),
        ("f4", 3, "none", 2),
    ],
)
def test_pixels_are_read_as_often_as_info_tells(rng, dtype, bands, scale, reads):
    image = np.nan_to_num(scene(rng, dtype, bands), posinf=0)
    counting = CountingArray(image)
    lazy = da.from_array(counting, chunks=(20, 25, bands), meta=np.empty((0, 0, 0), dtype))
    result = quantized(lazy, 4, scale=scale)
    assert (counting.reads == reads).all()
    if scale == "none":
        assert bigquant.inspect(image, bands=all_bands(image))["passes"] == reads + 1
    result.labels.compute()
    assert (counting.reads == reads + 1).all()


def test_many_bands_take_a_handful_of_passes(rng):
    image = scene(rng, "u2", 7, (200, 150))
    counting = CountingArray(image)
    lazy = da.from_array(counting, chunks=(50, 75, 7), meta=np.empty((0, 0, 0), image.dtype))
    bigquant.quantize(lazy, 6)
    assert counting.reads.min() == counting.reads.max() <= 12


@pytest.mark.parametrize(
    ("dtype", "bands"), [("u2", 3), ("u1", 4), ("f4", 4), ("f8", 2), ("u2", 9)]
)
@pytest.mark.parametrize("k", [4, 24])
def test_errors_are_no_higher_than_scikit_learns(rng, dtype, bands, k):
    from sklearn.cluster import KMeans

    image = scene(rng, dtype, bands, (160, 150))
    rows = image.reshape(-1, bands).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    best = KMeans(k, n_init=3, random_state=0).fit(rows).inertia_
    palette = quantized(with_chunks(image, 50, 50), k).palette
    assert reference.nearest(rows, palette.centers)[1].sum() <= 1.01 * best


@pytest.mark.parametrize(("dtype", "bands"), [("u2", 3), ("u1", 4), ("f4", 3)])
def test_what_binning_costs_is_bounded(rng, dtype, bands):
    image = scene(rng, dtype, bands)
    result = quantized(image, 5)
    told, true = result.palette, result.measure()
    assert told.mse - told.fit["binning_bound"] <= true.mse * (1 + 1e-6)
    assert true.mse <= told.mse * (1 + 1e-6)


def test_bands_of_different_units_are_scaled(rng):
    """Without it the band of large values would decide alone."""
    kinds = rng.integers(0, 2, (2, 40, 50))
    image = np.stack([kinds[0] * 1.0, kinds[1] * 1e6], axis=2) + rng.normal(0, 0.01, (40, 50, 2))
    image[..., 1] += rng.normal(0, 3e5, (40, 50)) * 0.1
    for scale in ("range", "std"):
        result = quantized(image, 4, scale=scale)
        labels = result.labels.compute()
        cells = {tuple(kinds[:, labels == label].mean(axis=1)) for label in np.unique(labels)}
        assert cells == {(0, 0), (0, 1), (1, 0), (1, 1)}
        palette = bigquant.Palette.from_json(result.palette.as_json())
        again = palette.apply(image, bands=(1, 2))
        np.testing.assert_array_equal(again.labels.compute(), labels)
    spread = {"range": np.ptp(image, axis=(0, 1)), "std": image.std(axis=(0, 1))}
    for scale, width in spread.items():
        found = quantized(image, 4, scale=scale).palette.factors
        np.testing.assert_allclose(found, 1 / width, rtol=1e-4)


def test_nodata_alpha_and_mask_are_left_out_of_other_types(rng):
    image = scene(rng, "u2", 3)
    image[:20] = 7
    result = bigquant.quantize(image, 4, nodata=7)
    labels = result.labels.compute()
    assert (labels[:20] == 0).all()
    assert (labels[20:] > 0).all()
    alone = bigquant.quantize(image[20:], 4)
    np.testing.assert_array_equal(alone.palette.centers, result.palette.centers)
    mask = np.ones(image.shape[:2], np.uint8)
    mask[:20] = 0
    masked = bigquant.quantize(image, 4, mask=mask)
    np.testing.assert_array_equal(masked.labels.compute(), labels)


def test_what_is_no_number_is_not_fitted():
    image = np.full((5, 5, 3), np.nan, np.float32)
    with pytest.raises(InputError, match="transparent, or no finite number"):
        bigquant.quantize(image, 2)
    image[2, 2] = 1.5
    result = bigquant.quantize(image, 1)
    assert result.palette.colors.tolist() == [[1.5, 1.5, 1.5]]
    assert result.labels.compute().sum() == 1


@pytest.mark.parametrize("bands", [3, 6])
def test_values_whose_squares_are_beyond_floats_are_refused(rng, bands):
    image = rng.random((20, 30, bands))
    image[3, 4] = 1e200
    with pytest.raises(InputError, match="beyond 1e\\+150 distances are beyond floating point"):
        bigquant.quantize(image, 2)


def test_several_images_of_one_type_get_one_palette(rng):
    image = scene(rng, "u2", 4, (60, 50))
    bands = {"bands": (1, 2, 3, 4)}
    results = bigquant.quantize([image[:25], image[25:]], 5, **bands)
    whole = bigquant.quantize(image, 5, **bands)
    for result in results:
        np.testing.assert_array_equal(result.palette.centers, whole.palette.centers)
    labels = np.concatenate([result.labels.compute() for result in results])
    np.testing.assert_array_equal(labels, whole.labels.compute())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm": "histogram"}, "'lloyd', or choose bands"),
        ({"k": "auto"}, "give one k"),
        ({"quality": 30}, "give one k"),
        ({"keep": ["#ffffff"]}, "8-bit gray or RGB"),
        ({"scale": "log"}, "must be one of"),
        ({"algorithm": "dask-ml", "scale": "std"}, "does not scale"),
    ],
)
def test_what_many_bands_cannot_have_is_refused(rng, options, words):
    counting = CountingArray(scene(rng, "u2", 6))
    lazy = da.from_array(counting, chunks=(20, 25, 6), meta=np.empty((0, 0, 0), "u2"))
    with pytest.raises(InputError, match=words):
        bigquant.quantize(lazy, **{"k": 4, **options})
    assert not counting.reads.any()


def test_a_palette_is_applied_to_its_own_kind_of_images(rng):
    image = scene(rng, "u2", 4)
    palette = bigquant.quantize(image, 4, bands=(1, 2, 3, 4)).palette
    with pytest.raises(InputError, match=r"is uint8 of 3 bands, the palette uint16 of 4"):
        palette.apply(image[..., :3].astype(np.uint8))


def test_a_sweep_of_16_bits_falls(rng):
    image = scene(rng, "u2", 3)
    sweep = bigquant.sweep(image, range(2, 9))
    assert (np.diff(sweep.mse) <= 0).all()
    assert (np.diff(sweep.ciede2000_mean) <= 0.5).all()
    with pytest.raises(InputError, match="a sweep would take too many"):
        bigquant.sweep(scene(rng, "u2", 6), range(2, 4))


def test_lloyd_on_request_agrees_with_the_histogram(rng):
    image = scene(rng, "u1", 3, (200, 150))
    exact = bigquant.quantize(image, 6)
    passes = bigquant.quantize(image, 6, algorithm="lloyd")
    assert passes.measure().mse <= 1.01 * exact.palette.mse


def test_outputs_are_read_back_as_they_were_planned(rng, tmp_path):
    image = scene(rng, "f4", 4)
    result = quantized(image, 5)
    written = result.to_zarr(tmp_path / "a.zarr")
    assert written.n_pixels == np.isfinite(image).all(axis=2).sum()
    stored = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(stored["0"][:], np.moveaxis(result.image.compute(), 2, 0))
    np.testing.assert_array_equal(stored["labels/quantized/0"][:], result.labels.compute())
    again = bigquant.Palette.load(tmp_path / "a.zarr.palette.json")
    assert again.as_json() == written.as_json()
