"""The kernel of a pass, against brute force."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from bigquant.fused import gather_all


def gathered(rows, channels, centers, factors):
    k = len(centers)
    sums = np.zeros((k + 1, channels), np.float64 if rows.dtype.kind == "f" else np.int64)
    masses = np.zeros(k + 1, np.int64)
    none = np.empty(0, np.int64)
    inertia, *_ = gather_all(
        rows, channels, centers, factors, True, np.empty(0), sums, masses, none
    )
    assert masses.sum() == len(rows)
    return inertia, sums[:k], masses[:k]


@given(
    st.sampled_from(["u1", "i2", "u4", "i8", "f4", "f8"]),
    st.integers(1, 14),
    st.integers(1, 40),
    st.sampled_from([0, 1, 255, 256, 257, 700]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_it_sums_up_what_brute_force_finds(dtype, channels, k, n, has_alpha, seed):
    rng = np.random.default_rng(seed)
    levels = rng.choice([3, 256])  # few levels make ties
    rows = rng.integers(0, levels, (n, channels + has_alpha)).astype(dtype)
    centers = rng.integers(0, levels, (k, channels)).astype(np.float64)
    factors = rng.choice([1.0, 0.5, 4.0], channels)
    if rows.dtype.kind == "f":
        rows[rng.random(rows.shape) < 0.05] = np.nan
    taken = np.isfinite(rows[:, :channels]).all(axis=1)
    if has_alpha:
        taken &= rows[:, -1] != 0
    inertia, sums, masses = gathered(rows, channels, centers, factors)
    points = rows[taken, :channels]
    labels, squares = reference.nearest(points.astype(np.float64) * factors, centers)
    assert inertia == pytest.approx(squares.sum())
    np.testing.assert_array_equal(masses, np.bincount(labels, minlength=k))
    expected = [points[labels == j].sum(axis=0, dtype=sums.dtype) for j in range(k)]
    np.testing.assert_array_equal(sums, expected)


def test_what_is_added_up_stays_there(rng):
    rows = rng.integers(-99, 99, (500, 5)).astype(np.int32)
    centers, factors = rng.normal(0, 50, (4, 5)), np.ones(5)
    whole = gathered(rows, 5, centers, factors)
    sums, masses = np.zeros((5, 5), np.int64), np.zeros(5, np.int64)
    for part in (rows[:123], rows[123:]):
        none = np.empty(0, np.int64)
        found = gather_all(part, 5, centers, factors, False, np.empty(0), sums, masses, none)
        assert found == (0, 0, 0)
    np.testing.assert_array_equal(sums[:4], whole[1])
    np.testing.assert_array_equal(masses[:4], whole[2])


@pytest.mark.parametrize("offset", [0, 1e6, 1e12])
@pytest.mark.parametrize("spread", [1e-200, 1e-42, 1e-20, 1e-4, 1, 1e18, 1e25, 1e130])
def test_single_precision_decides_nothing_that_it_does_not_know(spread, offset, rng):
    """Points halfway between centres, far from the origin, far out; tiny and huge numbers."""
    centers = np.concatenate([rng.normal(0, 1, (9, 6)), rng.normal(0, 1e-6, (8, 6))])
    middles = (centers[rng.integers(0, 17, 700)] + centers[rng.integers(0, 17, 700)]) / 2
    nudges = rng.choice([0, 1e-16, -1e-12, 1e-9, 1e-7, 1e-5], (700, 1))
    far = rng.normal(0, 1, (300, 6)) * 10.0 ** rng.uniform(0, 17, (300, 1))
    points = np.concatenate([middles + nudges, far]) * spread + offset
    centers = centers * spread + offset
    _, sums, masses = gathered(points, 6, centers, np.ones(6))
    labels = np.array([np.argmin(_in_order(point, centers)) for point in points])
    np.testing.assert_array_equal(masses, np.bincount(labels, minlength=17))
    expected = [points[labels == j].cumsum(axis=0)[-1:].sum(axis=0) for j in range(17)]
    np.testing.assert_array_equal(sums, expected)


def _in_order(point, centers):
    """Sum squares over the bands in order, as every kernel does."""
    squares = np.zeros(len(centers))
    for value, column in zip(point, centers.T, strict=True):
        squares += (value - column) ** 2
    return squares
