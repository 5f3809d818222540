"""Passes that find the range of the values, and count them in bins: whatever the chunks."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import chunkings

from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.binning import count_bins, measure_ranges, merge_ranges


@st.composite
def scenes(draw):
    """Draw images (y, x, channels [+ alpha]) or tables with masked pixels, and their chunks."""
    channels, has_alpha = draw(st.integers(1, 4)), draw(st.booleans())
    shape = draw(st.sampled_from([(40,), (17, 23)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(["u1", "i2", "u4", "i8", "f2", "f4", "f8"])))
    values = rng.normal(0, 100, (*shape, channels + has_alpha)).round(2)
    scene = values.astype(dtype) if dtype.kind != "u" else np.abs(values).astype(dtype)
    if dtype.kind == "f":
        scene[rng.random(scene.shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    if has_alpha:
        scene[..., -1] = rng.choice([0, 1], shape)
    return scene, channels, da.from_array(scene, chunks=draw(chunkings(scene.shape)))


def valid_rows(scene, channels):
    """List the pixels of a scene that are not masked."""
    rows = scene.reshape(-1, scene.shape[-1])
    valid = np.isfinite(rows[:, :channels].astype(float)).all(axis=1)
    if rows.shape[1] > channels:
        valid &= rows[:, channels] != 0
    return rows[valid, :channels]


@given(scenes())
def test_ranges_are_those_of_the_pixels_that_count(drawn):
    scene, channels, lazy = drawn
    found = measure_ranges([lazy], channels).compute(scheduler="sync")
    rows = valid_rows(scene, channels)
    assert found.shape == (channels, 2)
    if len(rows):
        np.testing.assert_array_equal(found, np.stack([rows.min(0), rows.max(0)], axis=1))
    else:
        np.testing.assert_array_equal(found, [[np.inf, -np.inf]] * channels)


@given(scenes())
def test_bins_are_those_of_all_pixels_at_once(drawn):
    scene, channels, lazy = drawn
    rows = valid_rows(scene, channels)
    if not len(rows):
        return
    dtype = np.dtype(np.float32) if scene.dtype == np.float16 else scene.dtype
    grid = Grid.of_range(dtype, rows.min(0).astype(float), rows.max(0).astype(float), common=True)
    found = count_bins([lazy.astype(dtype)], grid).compute(scheduler="sync")
    expected = BinnedHistogram.create(grid).add(rows.astype(dtype))
    assert found.n_pixels == len(rows)
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(found.sums, expected.sums)


def test_images_are_looked_at_together(rng):
    images = [rng.normal(place, 1, (20, 30, 3)) for place in (-100, 100)]
    blocks = [da.from_array(image, chunks=(7, 30, 3)) for image in images]
    found = measure_ranges(blocks, 3).compute()
    both = np.concatenate(images).reshape(-1, 3)
    np.testing.assert_array_equal(found, np.stack([both.min(0), both.max(0)], axis=1))
    apart = [measure_ranges([block], 3).compute() for block in blocks]
    np.testing.assert_array_equal(merge_ranges(*apart), found)
    grid = Grid.of_range(np.dtype(np.float64), *found.T, common=False)
    assert count_bins(blocks, grid).compute().n_pixels == 1200


@pytest.mark.parametrize("measure", [measure_ranges, None])
def test_nothing_is_read_before_it_is_computed(measure):
    def fail(block):
        raise AssertionError("read")

    lazy = da.zeros((20, 20, 3), chunks=9).map_blocks(
        fail, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    if measure is None:
        count_bins([lazy], Grid.of_range(np.dtype(np.uint8), np.zeros(3), np.ones(3), common=True))
    else:
        measure_ranges([lazy], 3)
