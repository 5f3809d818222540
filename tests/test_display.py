"""How values of any type are shown: which bands, and from black to bright."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigquant.display import Display, choose_display


def choose(dtype, ranges, *, declared=False, percentiles=None, valid_range=None):
    ranges = np.array(ranges, np.float64)
    if percentiles is None:
        percentiles = ranges.T
    return choose_display(
        *(np.dtype(dtype), len(ranges)),
        declared=declared,
        ranges=ranges,
        percentiles=percentiles,
        valid_range=valid_range,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_bytes_are_shown_as_they_are(channels):
    values = np.arange(256, dtype=np.uint8)[:, None].repeat(channels, axis=1)
    display = choose("uint8", [[3, 90]] * channels, declared=channels not in (1, 3))
    shown = display.rgb(values)
    assert shown.shape[1] == (1 if channels == 1 else 3)
    np.testing.assert_array_equal(shown, values[:, :1] + np.zeros_like(shown))
    assert display.windows.tolist() == [[0, 255]] * channels


@pytest.mark.parametrize(
    ("channels", "bands"), [(1, (0,)), (2, (0, 1, 0)), (3, (0, 1, 2)), (6, (0, 1, 2))]
)
def test_the_first_bands_are_shown_two_as_magenta_and_green(channels, bands):
    display = choose("uint16", [[0, 100 * (band + 1)] for band in range(channels)])
    assert display.bands == bands
    brightest = np.array([[100 * (band + 1) for band in range(channels)]], np.uint16)
    assert set(display.rgb(brightest).ravel()) == {255}


@given(
    st.integers(-1000, 1000),
    st.integers(1, 5000),
    st.lists(st.integers(-2000, 9000), min_size=1, max_size=20),
)
def test_values_are_rounded_half_to_even(low, width, values):
    display = Display((0,), np.array([[low, low + width]], np.float64))
    exact = [round(Fraction(255 * (value - low), width)) for value in values]
    expected = np.clip(exact, 0, 255)
    # a half may come out as one of its neighbours: 255 / width is no binary number
    halves = [Fraction(510 * (value - low), width).denominator == 1 for value in values]
    found = display.rgb(np.array(values, np.int32)[:, None]).ravel().astype(int)
    assert (np.abs(found - expected) <= halves).all()


def test_what_is_no_number_is_black_and_infinity_as_bright_as_it_gets():
    values = np.array([[np.nan], [-np.inf], [np.inf], [0.5]], np.float32)
    shown = Display((0,), np.array([[0.0, 1.0]])).rgb(values)
    assert shown.dtype == np.uint8
    assert shown.ravel().tolist() == [0, 0, 255, 128]


@pytest.mark.parametrize(
    ("dtype", "ranges", "valid_range", "window"),
    [
        ("uint16", [[5, 65000], [0, 10], [1, 2]], None, [0, 65535]),
        ("uint16", [[5, 4000], [0, 10], [1, 2]], None, [0, 4095]),
        ("uint16", [[5, 4000]] * 3, (0, 16383), [0, 16383]),
        ("uint16", [[5, 100]], None, [0, 255]),
        ("uint32", [[0, 1 << 31]], None, [0, (1 << 32) - 1]),
        ("int16", [[-7, 300]], (0, 16383), [-7, 300]),
        ("int16", [[7, 255]], None, [7, 255]),
        ("float32", [[0.25, 1.0]], None, [0, 1]),
        ("float32", [[0.25, 1.5], [-3, 0.5]], None, [-3, 1.5]),
    ],
)
def test_colours_that_a_file_declares_have_one_window(dtype, ranges, valid_range, window):
    display = choose(dtype, ranges, declared=True, valid_range=valid_range)
    assert display.windows.tolist() == [window] * len(ranges)


def test_other_bands_are_shown_from_percentile_to_percentile(rng):
    values = np.column_stack([rng.normal(5, 2, 999), rng.gamma(3, 100, 999)])
    ranges = np.column_stack([values.min(axis=0), values.max(axis=0)])
    known = np.percentile(values, (2, 98), axis=0)
    asked = []

    def percentiles(q):
        asked.append(tuple(q))
        return np.percentile(values, q, axis=0)

    for given_as in (known, percentiles):
        display = choose("float64", ranges, percentiles=given_as, valid_range=(0, 1))
        np.testing.assert_array_equal(display.windows, known.T)
    assert asked == [(2, 98)]
    shown = display.rgb(values)[:, :2]
    for edge in (0, 255):
        assert 0.015 < (shown == edge).mean() < 0.03


@pytest.mark.parametrize("value", [0, -5.5, 1e30, -1e300, np.finfo(np.float64).max])
def test_a_band_of_one_value_has_a_window_too(value):
    display = choose("float64", [[value, value]])
    assert display.rgb(np.array([[value]])).tolist() == [[0]]
    assert np.isfinite(display.windows).all()
    if abs(value) < 1e15:
        assert display.windows.tolist() == [[value, value + 1]]


def test_json_counts_bands_from_1():
    display = Display((2, 0, 1), np.array([[0, 4095.5]] * 3))
    model = display.as_json()
    assert model == {"bands": [3, 1, 2], "windows": [[0, 4095.5]] * 3}
    again = Display.from_json(model)
    assert again.as_json() == model
    assert again.windows.dtype == np.float64
