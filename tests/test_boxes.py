"""Candidate lists of boxes against brute force: the same bits, wherever points and centres lie."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from bigquant import boxes


@st.composite
def scenes(draw, channels):
    """Draw points and centres: at random, in a crowd with few outliers, or on a coarse lattice.

    On a lattice many centres are equal, and many points equally near to several.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = draw(st.integers(1, 300))
    kind = draw(st.sampled_from(["even", "crowd", "lattice"]))
    if kind == "lattice":
        centers = rng.integers(0, 5, (k, channels)).astype(float)
        points = rng.integers(-4, 20, (500, channels)) / 2
    else:
        centers = rng.random((k, channels))
        if kind == "crowd":
            centers **= 8
        points = rng.uniform(-0.5, 1.5, (500, channels))
    flat = rng.random(channels) < 0.2
    centers[:, flat] = centers[0, flat]
    scale = draw(st.sampled_from([1.0, 1e-30, 1e30]))
    shift = draw(st.sampled_from([0.0, -3.0, 1e6]))
    return (points + shift) * scale, (centers + shift) * scale


def find(points, centers, taken=None):
    padded = np.zeros((len(points), boxes.BANDS))
    padded[:, : points.shape[1]] = points
    nearest = np.full(len(points), -9, np.int32)
    taken = np.ones(len(points), bool) if taken is None else taken
    boxes.make_boxes(centers).find(padded, taken, nearest)
    return nearest


def brute_force(points, centers):
    return reference.nearest_scaled(points, centers, np.ones(points.shape[1]))[0]


@given(st.integers(1, 4).flatmap(scenes))
@settings(deadline=None)
def test_boxes_give_what_brute_force_gives(scene):
    np.testing.assert_array_equal(find(*scene), brute_force(*scene))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_so_they_do_on_the_borders_of_cells(channels, rng):
    """Where a point falls to one side by rounding, and half way between two centres."""
    centers = rng.integers(0, 1000, (64, channels)) / 7
    made = boxes.make_boxes(centers)
    steps = rng.integers(-9, boxes._STEPS + 9, (4000, channels))
    on_borders = made.lows + steps / made.scales
    pairs = centers[rng.integers(0, 64, (2, 4000))]
    for points in (on_borders, np.nextafter(on_borders, np.inf), pairs.mean(axis=0)):
        np.testing.assert_array_equal(find(points, centers), brute_force(points, centers))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_points_far_out_are_held_against_all(channels, rng):
    """There rounding makes equals of centres that are not, and the lowest index wins."""
    centers = rng.random((40, channels))
    directions = rng.normal(size=(2000, channels))
    directions[:500] *= rng.integers(0, 2, (500, channels))
    points = directions * 10.0 ** rng.uniform(0, 20, (2000, 1))
    points[:5] *= 1e170  # their squares are infinite
    with np.errstate(over="ignore"):
        expected = brute_force(points, centers)
    np.testing.assert_array_equal(find(points, centers), expected)


def test_points_that_are_not_taken_have_no_centre(rng):
    points, centers, taken = rng.random((50, 3)), rng.random((9, 3)), rng.random(50) < 0.5
    expected = np.where(taken, brute_force(points, centers), -1)
    np.testing.assert_array_equal(find(points, centers, taken), expected)


@pytest.mark.parametrize(("k", "channels"), [(5000, 3), (30_000, 1), (65_535, 4)])
def test_very_many_centres(k, channels, rng):
    centers = rng.normal(size=(k, channels)) ** 3
    points = rng.normal(size=(300, channels)) ** 3
    np.testing.assert_array_equal(find(points, centers), brute_force(points, centers))


def test_lists_are_bounded_where_no_cell_can_tell_centres_apart(rng):
    """All but two of the centres are so near to each other that each cell has all of them."""
    centers = 1e-9 * rng.random((20_000, 4))
    centers[0], centers[-1] = 1, -1
    made = boxes.make_boxes(centers)
    assert len(made.ids) <= boxes._MOST_LISTED
    points = 1e-9 * rng.random((100, 4))
    np.testing.assert_array_equal(find(points, centers), brute_force(points, centers))


def test_few_candidates_are_left_among_many_centres(rng):
    centers = rng.random((256, 3))
    made = boxes.make_boxes(centers)
    steps = ((rng.random((10_000, 3)) - made.lows) * made.scales).astype(int)
    chosen = sum(made.cells[band, steps[:, band]] for band in range(3))
    assert np.diff(made.lists[chosen]).mean() < 20
