"""Pixels in bins: every one, exactly, once, in the finest bins that are few enough."""

import functools
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigquant import bincounts
from bigquant.bincounts import MAX_BINS, BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.errors import BigquantError, InputError

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4"]
PARTS = ("keys", "counts", "sums", "squares", "least", "greatest")


def draw_rows(rng, dtype, channels, n, levels, has_alpha=False):
    """Pixels of some of a type's values, with NaN and infinity among floats."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        values = rng.normal(0, 1000, levels).astype(dtype)
        values[rng.random(levels) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    else:
        ends = np.iinfo(dtype)
        values = rng.integers(ends.min, ends.max, levels, dtype.newbyteorder("="), endpoint=True)
    rows = rng.choice(values, (n, channels + has_alpha)).astype(dtype)
    if has_alpha:
        rows[:, -1] = rng.choice([0, 1, 7], n)
    return rows


def counted_rows(rows, channels):
    """Those that take part."""
    colors = rows[:, :channels].astype(np.float64)
    return colors[np.isfinite(colors).all(axis=1) & (rows[:, channels:] > 0).all(axis=1)]


def grid_of(rows, channels, common=True):
    grid = Grid.of_type(rows.dtype, channels)
    if grid is None:
        colors = counted_rows(rows, channels)
        if not len(colors):
            colors = np.zeros((1, channels))
        ends = colors.min(axis=0), colors.max(axis=0)
        grid = Grid.of_range(rows.dtype, *ends, common=common)
    return grid


@st.composite
def scenes(draw, dtypes=DTYPES):
    """Rows, and the grid that suits them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.integers(1, 4))
    n = draw(st.sampled_from([1, 9, 300]))
    levels = draw(st.sampled_from([2, 5, 300]))
    rows = draw_rows(rng, draw(st.sampled_from(dtypes)), channels, n, levels, draw(st.booleans()))
    return rows, grid_of(rows, channels, draw(st.booleans()))


def code_of(value, low, step, bits):
    return int(min(max(np.floor((value - low) / step + 0.5), 0), 2**bits - 1))


def key_of(codes, bits):
    """Interleave in the plainest way: as text."""
    texts = [format(code, f"0{bits}b") for code in codes]
    return int("".join(texts[band][bit] for bit in range(bits) for band in range(len(texts))), 2)


def expected_bins(rows, grid, most):
    """Count as the specification says, pixel by pixel, in Python's whole numbers."""
    pixels = []
    for row in counted_rows(rows, grid.channels):
        bands = zip(row, grid.lows, grid.steps, strict=True)
        pixels.append([code_of(*band, grid.bits) for band in bands])
    keys = [key_of(codes, grid.bits) for codes in pixels]
    dropped = next(d for d in range(65) if len({key >> d for key in keys}) <= most)
    bins = {}
    for key, codes in zip(keys, pixels, strict=True):
        bins.setdefault(key >> dropped, []).append(codes)
    found = []
    for key in sorted(bins):
        text = format(key << dropped, f"0{grid.bits * grid.channels}b")
        corner = [int(text[band :: grid.channels], 2) for band in range(grid.channels)]
        inside = [[code - low for code, low in zip(p, corner, strict=True)] for p in bins[key]]
        sums = [sum(column) for column in zip(*inside, strict=True)]
        squares = [sum(v * v for v in column) for column in zip(*inside, strict=True)]
        found.append((key, len(inside), sums, squares))
    return dropped, found


@given(scenes(), st.sampled_from([2, 7, 60, MAX_BINS]))
def test_bins_are_those_of_the_specification(scene, most):
    rows, grid = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bincounts, "MAX_BINS", most)
        histogram = BinnedHistogram.create(grid).add(rows)
    dropped, bins = expected_bins(rows, grid, most)
    assert histogram.dropped == (dropped if bins else 0)
    assert histogram.keys.tolist() == [key for key, *_ in bins]
    assert histogram.counts.tolist() == [count for _, count, *_ in bins]
    assert histogram.sums.tolist() == [sums for *_, sums, _ in bins]
    assert histogram.squares.tolist() == [squares for *_, squares in bins]
    colors = counted_rows(rows, grid.channels)
    if len(colors):
        ends = np.stack([colors.min(axis=0), colors.max(axis=0)], axis=1)
        np.testing.assert_array_equal(histogram.ranges, ends)
    assert histogram.n_pixels == len(colors)


@given(scenes(), st.sampled_from([2, 7, 60, MAX_BINS]), st.randoms(), st.integers(1, 9))
def test_the_order_of_counting_is_of_no_consequence(scene, most, random, n_parts):
    rows, grid = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bincounts, "MAX_BINS", most)
        whole = BinnedHistogram.create(grid).add(rows)
        places = list(range(len(rows)))
        random.shuffle(places)
        patch.setattr(bincounts, "_SLICE", 1 + len(rows) // 5)
        parts = [BinnedHistogram.create(grid).add(rows[places[i::n_parts]]) for i in range(n_parts)]
        while len(parts) > 1:
            parts.append(parts.pop(random.randrange(len(parts))).merge(parts.pop()))
    assert parts[0].dropped == whole.dropped
    for name in PARTS:
        np.testing.assert_array_equal(getattr(parts[0], name), getattr(whole, name))
    assert parts[0].fingerprint == whole.fingerprint


@given(scenes(["u1", "i1", "u2", "i2"]), st.sampled_from([2, 7, MAX_BINS]))
def test_means_and_spreads_are_those_of_the_pixels(scene, most):
    rows, grid = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bincounts, "MAX_BINS", most)
        histogram = BinnedHistogram.create(grid).add(rows)
    bins = {}
    for row in counted_rows(rows, grid.channels):
        key = key_of((row - grid.lows).astype(int), grid.bits)
        bins.setdefault(key >> histogram.dropped, []).append([Fraction(v) for v in row])
    factors = np.arange(1, grid.channels + 1) / 3
    scaled = histogram.scaled(factors)
    for number, key in enumerate(histogram.keys.tolist()):
        columns = list(zip(*bins[key], strict=True))
        means = [sum(column) / len(column) for column in columns]
        np.testing.assert_allclose(
            histogram.means[number], [float(m) for m in means], rtol=0, atol=1e-11
        )
        np.testing.assert_allclose(scaled.points[number], [float(m) for m in means] * factors)
        around = [
            sum((v - m) ** 2 for v in column) for column, m in zip(columns, means, strict=True)
        ]
        spread = sum(float(a) * f**2 for a, f in zip(around, factors, strict=True))
        np.testing.assert_allclose(scaled.spread[number], spread, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_values_of_all_types_are_known_to_half_a_step(dtype, channels, rng):
    rows = draw_rows(rng, dtype, channels, 500, 400)
    histogram = BinnedHistogram.create(grid_of(rows, channels)).add(rows.reshape(5, 100, channels))
    colors = counted_rows(rows, channels)
    assert histogram.dropped == 0
    distances = np.abs(histogram.means[:, None] - colors[None]).max(axis=2).min(axis=1)
    tolerance = 0 if histogram.grid.is_exact else histogram.grid.steps.max() / 2
    assert (distances <= tolerance * (1 + 1e-6)).all()


def test_a_block_of_any_layout_is_counted(rng):
    rows = rng.integers(0, 4096, (60, 40, 4)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 4)).add(rows)
    for view in (rows[::-1], rows.transpose(1, 0, 2), np.asfortranarray(rows)):
        again = BinnedHistogram.create(Grid.of_type("u2", 4)).add(view)
        assert again.fingerprint == histogram.fingerprint


def test_nothing_counted_is_nothing():
    grid = Grid.of_range("f4", [0, 0], [1, 1], common=True)
    empty = BinnedHistogram.create(grid)
    for rows in (np.empty((0, 2), "f4"), np.full((9, 2), np.nan, "f4")):
        assert empty.add(rows).n_pixels == 0
    one = empty.add(np.ones((1, 2), "f4"))
    assert empty.merge(one).merge(empty).fingerprint == one.fingerprint


def test_a_grid_of_a_range_spans_it():
    own = Grid.of_range("f8", [-5, 3, 0], [5, 3, 1e-3], common=False)
    assert own.bits == 20
    np.testing.assert_allclose(own.lows + own.steps * (2**20 - 1), [5, 3 + 2**20 - 1, 1e-3])
    assert set(Grid.of_range("f4", [0, 0], [1, 1000], common=True).steps) == {1000 / (2**20 - 1)}
    assert Grid.of_range("u4", [70_000], [70_900], common=True).is_exact
    assert not Grid.of_range("u2", [70], [90], common=False).is_exact
    assert Grid.of_range("f8", [0], [1e-320], common=True).steps > 0


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("i1", 8), ("u2", 16), ("i2", 16)])
def test_a_grid_of_a_type_has_a_code_for_every_value(dtype, bits):
    grid = Grid.of_type(dtype, 4)
    assert grid.bits == bits
    assert grid.is_exact
    assert (grid.lows == np.iinfo(dtype).min).all()


@pytest.mark.parametrize("dtype", ["u4", "i8", "f2", "f4", "f8", "bool"])
def test_other_types_need_a_range(dtype):
    assert Grid.of_type(dtype, 3) is None


def test_what_does_not_fit_is_refused():
    grid = Grid.of_type("u2", 3)
    histogram = BinnedHistogram.create(grid)
    with pytest.raises(InputError, match="type uint8 cannot be added"):
        histogram.add(np.zeros((5, 3), np.uint8))
    with pytest.raises(InputError, match=r"shape \(5, 2\)"):
        histogram.add(np.zeros((5, 2), np.uint16))
    with pytest.raises(InputError, match="cannot be merged"):
        histogram.merge(BinnedHistogram.create(Grid.of_range("u2", [0] * 3, [9] * 3, common=False)))
    with pytest.raises(InputError, match="beyond floating point"):
        Grid.of_range("f8", [0], [1e200], common=True)


def test_more_pixels_than_can_be_summed_up_are_refused(rng, monkeypatch):
    monkeypatch.setattr(bincounts, "MAX_BINS", 4)
    rows = rng.integers(0, 65536, (100, 4)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 4)).add(rows)
    total = functools.reduce(lambda total, _: total.merge(total), range(25), histogram)
    np.testing.assert_array_equal(total.squares, histogram.squares << 25)
    with pytest.raises(BigquantError, match="too many to sum up in 64 bits"):
        functools.reduce(lambda total, _: total.merge(total), range(5), total)


def test_a_histogram_travels_compactly(rng):
    rows = rng.integers(0, 65536, (30_000, 3)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 3)).add(rows).scaled([1, 2, 3])
    _ = histogram.tree  # made, but it does not travel
    data = pickle.dumps(histogram)
    assert len(data) < histogram.n_colors * (8 + 1 + 3 + 3) + 2000
    arrived = pickle.loads(data)  # noqa: S301
    assert arrived.fingerprint == histogram.fingerprint
    assert arrived.sums.dtype == arrived.squares.dtype == arrived.counts.dtype == np.int64
    assert arrived.__sizeof__() == pytest.approx(histogram.n_colors * 8 * 8, rel=0.01)


def test_the_fingerprint_tells_histograms_apart(rng):
    rows = rng.integers(0, 65536, (1000, 3)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 3)).add(rows)
    others = [histogram.scaled([1, 2, 3]), histogram.add(rows[:1]), histogram.merge(histogram)]
    assert len({each.fingerprint for each in [histogram, *others]}) == 4


def test_percentiles_are_those_of_the_pixels(rng):
    rows = rng.gamma(2, 300, (5000, 2)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 2)).add(rows)
    wanted = [0, 2, 50, 98, 100]
    expected = np.percentile(rows, wanted, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(histogram.percentiles(wanted), expected)


def test_a_sample_stands_for_all(rng):
    rows = rng.gamma(2, 3000, (50_000, 2)).astype(np.uint16)
    histogram = BinnedHistogram.create(Grid.of_type("u2", 2)).add(rows)
    values, weights = histogram.sample(10**6)
    np.testing.assert_array_equal(values, histogram.means)
    np.testing.assert_array_equal(weights, histogram.counts)
    values, weights = histogram.sample(2000)
    assert len(values) <= 2000
    assert weights.sum() == 2000
    assert set(map(tuple, values)) <= set(map(tuple, histogram.means))
    np.testing.assert_allclose(np.average(values, 0, weights), rows.mean(axis=0), rtol=0.03)
