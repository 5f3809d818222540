"""Sort-means against brute force: the same bits, in any order of the points."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from bigquant import pruned


@st.composite
def scenes(draw):
    """Draw points and centres of many bands, the points in order or in none.

    Whole numbers: many centres are equal, and many points equally near to several.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, channels = draw(st.integers(1, 300)), draw(st.integers(5, 14))
    if draw(st.booleans()):
        centers = rng.integers(0, 3, (k, channels)).astype(float)
        points = rng.integers(-2, 8, (900, channels)) / 2
    else:
        centers = rng.random((k, channels))
        points = centers[rng.integers(0, k, 900)] + rng.normal(0, 0.1, (900, channels))
    if draw(st.booleans()):
        points = points[points.sum(axis=1).argsort()]
    return points * draw(st.sampled_from([1.0, 1e-170, 1e170])), centers


def find(points, centers, taken=None):
    nearest = np.full(len(points), -9, np.int32)
    taken = np.ones(len(points), bool) if taken is None else taken
    pruned.make_neighbours(centers).find(points, taken, nearest)
    return nearest


def walk(points, centers):
    made = pruned.make_neighbours(centers)
    nearest = np.full(len(points), -9, np.int32)
    tables = made.centers, made.order, made.apart
    tried = pruned._walk(points, np.ones(len(points), bool), *tables, nearest)
    return nearest, tried


def brute_force(points, centers):
    with np.errstate(over="ignore", under="ignore"):
        return reference.nearest_scaled(points, centers, np.ones(points.shape[1]))[0]


@given(scenes(), st.sampled_from([1 << 21, 1200]))
@settings(deadline=None)
def test_walking_gives_what_brute_force_gives(scene, most_pairs):
    """With fewer pairs, too, than would reach every centre."""
    points, centers = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruned, "_MOST_PAIRS", most_pairs)
        np.testing.assert_array_equal(walk(points, centers)[0], brute_force(points, centers))
        np.testing.assert_array_equal(find(points, centers), brute_force(points, centers))


def test_half_way_between_centres_the_lower_wins(rng):
    centers = rng.integers(0, 9, (60, 6)).astype(float)
    points = centers[rng.integers(0, 60, (2, 3000))].mean(axis=0)
    np.testing.assert_array_equal(walk(points, centers)[0], brute_force(points, centers))


def test_points_that_are_not_taken_have_no_centre(rng):
    points, centers, taken = rng.random((2000, 7)), rng.random((9, 7)), rng.random(2000) < 0.5
    expected = np.where(taken, brute_force(points, centers), -1)
    np.testing.assert_array_equal(find(points, centers, taken), expected)


def test_few_centres_are_tried_where_neighbours_are_alike(rng):
    centers = rng.random((256, 8))
    points = np.repeat(centers[rng.integers(0, 256, 50)], 40, axis=0)
    points += rng.normal(0, 0.02, points.shape)
    nearest, tried = walk(points, centers)
    np.testing.assert_array_equal(nearest, brute_force(points, centers))
    assert tried < 20 * len(points)


def test_very_many_centres(rng):
    centers, points = rng.normal(size=(5000, 6)), rng.normal(size=(700, 6))
    np.testing.assert_array_equal(find(points, centers), brute_force(points, centers))
    np.testing.assert_array_equal(walk(points, centers)[0], brute_force(points, centers))


def test_distances_that_come_out_as_0_strike_no_centre():
    """Squares of what is nearer than 1e-162 are 0, though the centres are that far apart."""
    centers, points = np.zeros((2, 5)), np.zeros((2, 5))
    centers[0, 0], points[1, 0] = 2e-162, 1e-162
    assert walk(points, centers)[0].tolist() == brute_force(points, centers).tolist() == [1, 0]
