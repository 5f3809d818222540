"""Counting: every colour, exactly, once, whatever the chunks."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import chunked, images

from bigquant.colorcounts import ColorHistogram
from bigquant.errors import BigquantError, InputError
from bigquant.histogram import ColorCounter, count_rows, merge_tree, survey


@given(chunked())
def test_counts_equal_numpys_for_any_chunks(pair):
    image, lazy = pair
    channels = {1: 1, 2: 1, 3: 3, 4: 3}[image.shape[2]]
    histogram = survey(lazy, ColorCounter(channels)).histogram.compute(scheduler="sync")
    colors, counts = reference.count(reference.opaque_pixels(image))
    np.testing.assert_array_equal(histogram.colors, colors)
    np.testing.assert_array_equal(histogram.counts, counts)
    assert histogram.counts.dtype == np.uint64


@given(st.lists(images(depths=(3,)), min_size=1, max_size=4), st.randoms())
def test_histograms_are_a_monoid(blocks, random):
    def merged(order):
        histogram = ColorHistogram.create(3)
        for block in order:
            histogram = histogram.merge(ColorHistogram.create(3).add(block))
        return histogram

    forward = merged(blocks)
    random.shuffle(blocks)
    shuffled = merged(blocks)
    np.testing.assert_array_equal(forward.colors, shuffled.colors)
    np.testing.assert_array_equal(forward.counts, shuffled.counts)
    assert forward.n_pixels == sum(block.shape[0] * block.shape[1] for block in blocks)


def test_the_table_is_clean_after_every_block(rng):
    first = rng.integers(0, 256, (50, 50, 3), dtype=np.uint8)
    ColorHistogram.create(3).add(first)
    second = np.full((2, 2, 3), 7, np.uint8)
    histogram = ColorHistogram.create(3).add(second)
    assert histogram.colors.tolist() == [[7, 7, 7]]
    assert histogram.counts.tolist() == [4]


def test_more_pixels_of_a_colour_than_the_table_holds_at_once(monkeypatch):
    """Totals are 64-bit; the table of one block is 32-bit."""
    black = ColorHistogram(np.zeros((1, 3), np.uint8), np.array([2**32 - 1], np.uint64))
    assert black.merge(black).counts.tolist() == [2**33 - 2]


def test_all_colours_at_once_are_merged_in_little_memory():
    """The worst case: 2**24 colours, twice."""
    import tracemalloc

    codes = np.arange(1 << 24, dtype=np.uint32)
    colors = np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=1).astype(np.uint8)
    full = ColorHistogram(colors, np.full(1 << 24, 3, np.uint64))
    del codes
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    merged = merge_tree([dask.delayed(full, traverse=False)] * 3).compute(scheduler="sync")
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert merged.n_colors == 1 << 24
    assert (merged.counts == 9).all()
    inputs = colors.nbytes + full.counts.nbytes
    assert peak + inputs < 1.5e9


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_rows_of_other_types_are_grouped(rng, dtype):
    rows = rng.integers(0, 5, (200, 4)).astype(dtype)
    histogram = count_rows(da.from_array(rows, chunks=(17, 2))).compute(scheduler="sync")
    colors, counts = reference.count(rows)
    np.testing.assert_array_equal(histogram.colors, colors)
    np.testing.assert_array_equal(histogram.counts, counts)
    assert histogram.colors.dtype == dtype


def test_weights_are_summed(rng):
    rows = rng.integers(0, 3, (100, 3)).astype(np.uint8)
    weights = rng.random(100)
    lazy = count_rows(da.from_array(rows, chunks=(30, 3)), da.from_array(weights, chunks=7))
    histogram = lazy.compute(scheduler="sync")
    colors, _ = reference.count(rows)
    expected = [weights[(rows == color).all(axis=1)].sum() for color in colors]
    np.testing.assert_array_equal(histogram.colors, colors)
    np.testing.assert_allclose(histogram.counts, expected)


def test_rows_that_are_not_finite_are_refused():
    rows = da.from_array(np.array([[0.0], [np.nan]]), chunks=1)
    with pytest.raises(InputError, match="NaN"):
        count_rows(rows).compute(scheduler="sync")


def test_too_many_distinct_rows_are_refused(monkeypatch):
    monkeypatch.setattr("bigquant.colorcounts.MAX_DISTINCT", 10)
    rows = da.from_array(np.arange(20.0)[:, None], chunks=5)
    with pytest.raises(BigquantError, match="more than 10 distinct rows"):
        count_rows(rows).compute(scheduler="sync")


@pytest.mark.parametrize(("times", "bytes_each"), [(1, 1), (300, 2), (10**10, 8)])
def test_a_histogram_travels_compactly(times, bytes_each, rng):
    image = rng.integers(0, 256, (99, 99, 3), dtype=np.uint8)
    histogram = ColorHistogram.create(3).add(image)
    histogram = ColorHistogram(histogram.colors, histogram.counts * np.uint64(times))
    _ = histogram.tree  # made, but it does not travel
    data = pickle.dumps(histogram)
    assert len(data) < histogram.n_colors * (3 + bytes_each) + 1000
    arrived = pickle.loads(data)  # noqa: S301
    np.testing.assert_array_equal(arrived.colors, histogram.colors)
    np.testing.assert_array_equal(arrived.counts, histogram.counts)
    assert arrived.counts.dtype == histogram.counts.dtype


def test_dask_knows_what_a_histogram_takes(rng):
    """Else a scheduler would move it about as if it were nothing."""
    import tracemalloc

    image = rng.integers(0, 256, (500, 500, 3), dtype=np.uint8)
    found = survey(da.from_array(image), ColorCounter(3), 500).compute(scheduler="sync")  # compiles
    tracemalloc.start()
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert dask.sizeof.sizeof(copy) == pytest.approx(taken, rel=0.01)
    assert dask.sizeof.sizeof(copy.histogram) == pytest.approx(taken - image.nbytes, rel=0.01)


@st.composite
def short_rows(draw):
    """One band of up to 16 bits, with alpha or without, with NaN and infinity among floats."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = rng.integers(0, draw(st.sampled_from([3, 1 << 16])), (draw(st.integers(1, 300)), 1))
    dtype = np.dtype(draw(st.sampled_from(["i1", "u2", "i2", "f2", ">u2"])))
    rows = bits.astype(f"u{dtype.itemsize}").view(dtype.newbyteorder("=")).astype(dtype)
    rows[0] = -0.0
    if draw(st.booleans()):
        rows = np.hstack([rows, rng.choice([0, 1, 100], rows.shape).astype(dtype)])
    return rows


@given(short_rows(), st.integers(1, 5))
def test_one_band_of_16_bits_is_counted_like_any(rows, n_parts):
    histogram = ColorHistogram.create(1, rows.dtype)
    for part in range(n_parts):
        counted = ColorHistogram.create(1, rows.dtype).add(rows[part::n_parts])
        histogram = counted.merge(histogram)
    takes_part = np.isfinite(rows[:, 0]) & (rows[:, 1:] > 0).all(axis=1)
    colors, counts = np.unique(rows[takes_part, 0], return_counts=True)
    np.testing.assert_array_equal(histogram.colors[:, 0], colors)
    np.testing.assert_array_equal(histogram.counts, counts)
    assert histogram.colors.dtype == rows.dtype
    assert histogram.counts.dtype == np.uint64


def test_weighted_rows_of_16_bits_are_still_weighted(rng):
    rows, weights = rng.integers(0, 9, (99, 1)).astype(np.uint16), rng.random(99)
    histogram = ColorHistogram.create(1, "u2").add(rows, weights)
    again = histogram.merge(histogram)
    expected = np.bincount(rows[:, 0], 2 * weights)
    np.testing.assert_allclose(again.counts, expected[expected > 0])


@given(images(depths=(1, 3)), st.sampled_from([(1, 1, 1), (0.5, 2, 3)]))
def test_what_a_histogram_tells_of_its_pixels(image, factors):
    channels, rows = image.shape[2], image.reshape(-1, image.shape[2])
    histogram = ColorHistogram.create(channels).add(image)
    ends = np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1)
    np.testing.assert_array_equal(histogram.ranges, ends)
    expected = np.percentile(rows, [0, 2, 50, 98, 100], axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(histogram.percentiles([0, 2, 50, 98, 100]), expected)
    factors = np.array(factors[:channels], float)
    scaled, centers = histogram.scaled(factors), rows[:5] * factors + 0.1
    np.testing.assert_array_equal(np.unique(rows * factors, axis=0), scaled.colors)
    labels, _ = reference.nearest(rows * factors, centers)
    masses = np.bincount(labels, minlength=len(centers))
    np.testing.assert_array_equal(scaled.gather_masses(centers), masses)
    assert (scaled is histogram) == (factors == 1).all()  # whose tree is kept
