"""Nearest centres against NumPy's obvious way, both ways."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, palettes

from bigquant import nearest


def all_codes(step):
    codes = np.arange(0, 1 << 24, step, dtype=np.uint32)
    return np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=1).astype(np.uint8)


@given(images(depths=(1, 3)), st.data())
def test_nearest_takes_the_lowest_of_equally_near_centres(image, data):
    colors = reference.opaque_pixels(image)
    centers = data.draw(palettes(colors.shape[1])).astype(np.float64)
    labels, distances = nearest.assign(colors, centers)
    expected, squares = reference.nearest(colors, centers)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(distances, squares)


@pytest.mark.parametrize("k", [1, 2, 33, 256])
@pytest.mark.parametrize("integral", [True, False])
def test_both_ways_of_assign_give_the_same_bits(rng, k, integral):
    colors = all_codes(997)
    centers = rng.uniform(0, 255, (k, 3))
    if integral:  # ties abound
        centers = np.rint(centers / 51) * 51
    labels, distances = np.empty(len(colors), np.int32), np.empty(len(colors))
    nearest.nearest_of_all(colors.astype(np.float64), centers, labels, distances)
    by_cells = np.empty_like(labels), np.empty_like(distances)
    nearest.nearest_in_cells(colors, centers, *nearest.cell_candidates(centers), *by_cells)
    np.testing.assert_array_equal(by_cells[0], labels)
    np.testing.assert_array_equal(by_cells[1], distances)


@pytest.mark.parametrize("k", [1, 7, 300])
def test_the_table_holds_the_nearest_centre_of_every_colour(rng, k):
    centers = rng.integers(0, 256, (k, 3)).astype(np.float64)
    table = np.empty(1 << 24, np.uint16)
    nearest.fill_table(centers, 1, table)
    colors = all_codes(4999)
    expected, _ = reference.nearest(colors, centers)
    np.testing.assert_array_equal(table[::4999], expected + 1)


def test_candidates_cover_centres_outside_the_cube():
    centers = np.array([[-40.0, 300.0, 12.5], [400.0, -3.0, 255.0]])
    colors = all_codes(104729)
    labels, distances = np.empty(len(colors), np.int32), np.empty(len(colors))
    lists = nearest.cell_candidates(centers)
    nearest.nearest_in_cells(colors, centers, *lists, labels, distances)
    np.testing.assert_array_equal(labels, reference.nearest(colors, centers)[0])
