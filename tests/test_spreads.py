"""`Spread`: the range and the deviation that NumPy finds, for any parts in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigquant.spreads import Spread


def spread_of(parts):
    found = Spread.create(parts[0].shape[1], parts[0].dtype)
    for part in parts:
        found = found.merge(Spread.create(part.shape[1], part.dtype).add(part))
    return found


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32", "int64", "f4", "f8"])
def test_it_is_what_numpy_finds(dtype, rng):
    values = (rng.normal(size=(200_000, 3)) * [3, 30, 0.5] + [100, 9000, 40]) % 255
    values = values.astype(dtype)
    found = spread_of(np.array_split(values, 7))
    exact = values.astype(float)
    np.testing.assert_array_equal(found.lows, exact.min(axis=0))
    np.testing.assert_array_equal(found.highs, exact.max(axis=0))
    np.testing.assert_allclose(found.factors("range"), 1 / np.ptp(exact, axis=0), rtol=1e-15)
    np.testing.assert_allclose(found.factors("std"), 1 / exact.std(axis=0), rtol=1e-11)
    assert found.factors("none").tolist() == [1, 1, 1]


def test_far_from_zero_it_is_as_precise(rng):
    values = rng.normal(size=(100_000, 1)) + 1e9
    found = spread_of(np.array_split(values, 9))
    np.testing.assert_allclose(found.deviations, values.std(axis=0), rtol=1e-9)


@given(st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 2), min_size=1), st.randoms())
def test_that_of_whole_numbers_has_the_same_bits_for_any_parts(rows, random):
    values = np.array(rows, np.int32)
    whole = Spread.create(2, np.int32).add(values)
    cuts = sorted(random.sample(range(len(rows) + 1), min(3, len(rows))))
    parts = np.split(values, cuts)
    random.shuffle(parts)
    found = spread_of(parts)
    assert found.wholes == whole.wholes
    assert found.factors("std").tolist() == whole.factors("std").tolist()
    columns = [[int(row[i]) for row in rows] for i in (0, 1)]
    assert whole.wholes == tuple((sum(c), sum(value**2 for value in c)) for c in columns)


def test_points_that_lack_a_value_do_not_count():
    reals = np.array([[1.0, 2], [np.nan, 99], [5, -np.inf], [3, 8]])
    found = Spread.create(2, float).add(reals)
    assert (found.n, found.lows.tolist(), found.highs.tolist()) == (2, [1, 2], [3, 8])
    wholes = np.array([[1, 2, 1], [0, 99, 0], [3, 8, 1]], np.uint16)
    found = Spread.create(2, np.uint16).add(wholes)
    assert (found.n, found.lows.tolist(), found.highs.tolist()) == (2, [1, 2], [3, 8])
    assert found.wholes == ((4, 10), (10, 68))
    nothing = Spread.create(2, float).add(reals[1:3])
    assert nothing.n == 0
    assert nothing.merge(found).n == 2


def test_a_span_that_is_hardly_one_makes_no_factor():
    values = np.array([[0.0, 7], [1e-310, 7]])
    assert Spread.create(2, float).add(values).factors("range").tolist() == [1, 1]
