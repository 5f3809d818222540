"""The loops against NumPy's obvious ways."""

import numpy as np

from bigquant import kernels


def test_accumulate_sums_points_and_weights(rng):
    points, weights = rng.random((50, 3)), rng.random(50)
    labels = rng.integers(0, 4, 50).astype(np.int32)
    sums, masses = np.full((5, 3), 9.0), np.full(5, 9.0)
    kernels.accumulate(points, weights, labels, sums, masses)
    for j in range(5):
        chosen = labels == j
        np.testing.assert_allclose(masses[j], weights[chosen].sum())
        np.testing.assert_allclose(sums[j], (weights[chosen, None] * points[chosen]).sum(axis=0))


def test_plus_plus_never_draws_a_point_without_weight(rng):
    points, weights = rng.random((30, 2)), np.zeros(30)
    weights[[3, 11, 20]] = 1.0
    chosen = np.empty(3, np.int64)
    kernels.plus_plus(points, weights, rng.random((3, 4)), chosen)
    assert sorted(chosen) == [3, 11, 20]


def test_plus_plus_draws_by_weight_times_squared_distance():
    """From three points on a line, the second pick follows the law of the paper."""
    points, weights = np.array([[0.0], [1.0], [3.0]]), np.array([1e9, 2.0, 1.0])
    picks = []
    for draw in (np.arange(1000) + 0.5) / 1000:
        chosen = np.empty(2, np.int64)
        kernels.plus_plus(points, weights, np.array([[0.0], [draw]]), chosen)
        picks.append(chosen[1])
    shares = np.bincount(picks, minlength=3) / 1000
    np.testing.assert_allclose(shares, [0, 2 / 11, 9 / 11], atol=0.002)
