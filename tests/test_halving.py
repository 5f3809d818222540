"""Means of 2 x 2 pixels, of every type, against numbers of any size and precision."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigquant.halving import halve_means

INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
FLOATS = ["float16", "float32", "float64"]


def windows(values, y, x):
    """The up to four values that one of the half block is made of."""
    return [v for row in values[2 * y : 2 * y + 2] for v in row[2 * x : 2 * x + 2]]


def drawn(data, dtype):
    """A block of values with extremes among them, and which of them are valid."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = (*data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6))), 2)
    if np.dtype(dtype).kind == "f":
        block = rng.normal(0, 1000, shape).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        block = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        extremes = rng.choice(np.array([limits.min, limits.max, 0], dtype), shape)
        block = np.where(rng.random(shape) < 0.5, block, extremes)
    return block, (rng.random(shape[:2]) < 0.6).astype(np.uint8)


@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data())
def test_means_of_whole_numbers_are_rounded_half_up(dtype, data):
    block, valid = drawn(data, dtype)
    for mask in (valid, None):
        halved, still_valid = halve_means(block, mask)
        assert halved.dtype == dtype
        assert (still_valid is None) == (mask is None)
        for y, x, channel in np.ndindex(halved.shape):
            values = windows(block[..., channel].tolist(), y, x)
            if mask is not None:
                known = windows(mask.tolist(), y, x)
                values = [v for v, is_valid in zip(values, known, strict=True) if is_valid]
                assert still_valid[y, x] == bool(values)
            mean = Fraction(sum(values), max(1, len(values)))
            assert halved[y, x, channel] == (mean + Fraction(1, 2)) // 1


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_means_of_floats_leave_out_what_is_not_valid(dtype, data):
    block, valid = drawn(data, dtype)
    block[valid == 0] = np.nan
    halved, still_valid = halve_means(block, valid)
    assert halved.dtype == dtype
    for y, x, channel in np.ndindex(halved.shape):
        values = [v for v in windows(block[..., channel].tolist(), y, x) if v == v]
        assert still_valid[y, x] == bool(values)
        if not values:
            assert np.isnan(halved[y, x, channel])
            continue
        mean = float(sum(map(Fraction, values)) / len(values))
        spacing = np.spacing(np.array(max(map(abs, values)), dtype))
        assert abs(float(halved[y, x, channel]) - mean) <= spacing
