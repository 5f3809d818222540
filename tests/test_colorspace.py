"""Colour spaces: coordinates as other libraries have them, and labels of the nearest points."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import palettes

from bigquant.colorspace import SPACES, centers_of, points_of, points_of_centers
from bigquant.nearcolors import label_colors
from bigquant.nearest import assign

SPACED = SPACES[1:]
#: What OKLab's points are scaled by; others are not.
SCALES = {"linear": [1, 1, 1], "oklab": [1, 2, 2], "lab": [1, 1, 1]}


@pytest.fixture(scope="module")
def grid():
    """Colours from all over the cube, and all of its darkest corner."""
    steps = itertools.product(range(0, 256, 15), repeat=3)
    return np.array([*steps, *itertools.product(range(9), repeat=3)], np.uint8)


@pytest.fixture(scope="module")
def colour():
    """colour-science, and its sRGB by the matrices that follow from the primaries."""
    import colour

    srgb = colour.RGB_COLOURSPACES["sRGB"].copy()
    srgb.use_derived_matrix_RGB_to_XYZ = srgb.use_derived_matrix_XYZ_to_RGB = True
    return colour, srgb


def into_space(library, colors, space):
    """Convert 8-bit values, also between whole ones, by colour-science."""
    colour, srgb = library
    values = colors / 255
    if space == "linear":
        return srgb.cctf_decoding(values)
    if space == "lab":
        light = colour.RGB_to_XYZ(values, srgb, apply_cctf_decoding=True)
        return colour.XYZ_to_Lab(light, srgb.whitepoint)
    from skimage.color import rgb2xyz

    return colour.XYZ_to_Oklab(rgb2xyz(values))  # under the white that its matrix is made for


@pytest.mark.parametrize("space", SPACED)
def test_points_are_those_of_an_independent_library(grid, colour, space):
    points = points_of(grid, space) / SCALES[space]
    np.testing.assert_allclose(points, into_space(colour, grid, space), atol=1e-4)
    if space == "oklab":  # colour-science's white is 1e-4 off; the author's own numbers are not
        np.testing.assert_allclose(points, reference.oklab(grid), atol=1e-6)
    else:
        np.testing.assert_allclose(points, into_space(colour, grid, space), atol=1e-9)


@pytest.mark.parametrize("space", SPACED)
def test_colours_between_those_of_8_bits_lie_where_the_library_has_them(colour, rng, space):
    centers = rng.uniform(0, 255, (500, 3))
    points = points_of_centers(centers, space) / SCALES[space]
    np.testing.assert_allclose(points, into_space(colour, centers, space), atol=1e-4)


@pytest.mark.parametrize("space", SPACED)
def test_the_way_back_leads_to_the_same_colours(grid, colour, space):
    points = points_of(grid, space)
    np.testing.assert_allclose(centers_of(points, space, 3), grid, atol=1e-6)
    if space == "lab":
        library, srgb = colour
        light = library.Lab_to_XYZ(points, srgb.whitepoint)
        back = library.XYZ_to_RGB(light, srgb, apply_cctf_encoding=True) * 255
        np.testing.assert_allclose(centers_of(points, space, 3), back, atol=1e-4)


def test_what_no_screen_can_show_is_cut_off_channel_by_channel(colour):
    library, srgb = colour
    points = np.array([[60.0, 120, -90], [90, -120, 20], [101, 0, 0], [-1, 0, 0]])
    light = library.Lab_to_XYZ(points, srgb.whitepoint)
    back = np.clip(library.XYZ_to_RGB(light, srgb, apply_cctf_encoding=True), 0, 1) * 255
    found = centers_of(points, "lab", 3)
    assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_allclose(found, back, atol=1e-4)


@pytest.mark.parametrize("space", SPACED)
def test_gray_is_rgb_of_three_equal_values(space):
    grays = np.arange(256, dtype=np.uint8)[:, None]
    points = points_of(grays, space)
    assert points.tobytes() == points_of(np.repeat(grays, 3, axis=1), space).tobytes()
    np.testing.assert_allclose(centers_of(points, space, 1), grays, atol=1e-6)
    assert (np.diff(points[:, 0]) > 0).all()


@pytest.mark.parametrize("space", SPACED)
def test_a_colour_is_the_same_bits_wherever_it_stands(rng, space):
    colors = rng.integers(0, 256, (4099, 3), dtype=np.uint8)
    whole = points_of(colors, space)
    for part in (slice(1, None), slice(None, None, 3), slice(7, 8), slice(None, None, -1)):
        assert points_of(colors[part], space).tobytes() == whole[part].tobytes()
    alone = np.vstack([points_of(color[None], space) for color in colors[:200]])
    assert alone.tobytes() == whole[:200].tobytes()


@given(st.sampled_from(SPACED), st.sampled_from([1, 3]), st.data())
def test_labels_are_those_of_the_nearest_points(space, channels, data):
    colors, rows = data.draw(palettes(channels)), data.draw(palettes(channels, most=3000))
    points, centers = points_of(rows, space), points_of(colors, space)
    expected, _ = reference.nearest_scaled(points, centers, np.ones(3))
    labels = np.empty(len(rows), np.int32)
    label_colors(rows, colors, space, 0, labels)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("k", [3, 60, 700])
@pytest.mark.parametrize("space", SPACED)
def test_many_colours_have_the_labels_of_the_nearest_points(rng, space, k):
    """More than one slice of them, by lists of candidates where there are many centres."""
    rows = rng.integers(0, 256, (40_000, 3), dtype=np.uint8)
    colors = rng.integers(0, 256, (k, 3), dtype=np.uint8)
    labels = np.empty(len(rows), np.uint16)
    label_colors(rows, colors, space, 1, labels)
    points, centers = points_of(rows, space), points_of(colors, space)
    chosen = rng.choice(len(rows), 4000, replace=False)
    expected, _ = reference.nearest_scaled(points[chosen], centers, np.ones(3))
    np.testing.assert_array_equal(labels[chosen], expected + 1)
    other, _ = assign(points, centers)  # what the engine asks
    np.testing.assert_array_equal(labels, other + 1)


def test_points_are_the_same_bits_on_any_processor():
    """NumPy's own functions have other last bits where a processor has AVX-512."""
    code = (
        "import hashlib, numpy as np; from bigquant.colorspace import points_of;"
        "colors = np.random.default_rng(0).integers(0, 256, (99_999, 3)).astype(np.uint8);"
        "found = [points_of(colors, space) for space in ('oklab', 'lab')];"
        "print([hashlib.sha256(points).hexdigest() for points in found])"
    )
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, check=True
        ).stdout
        for env in (os.environ, plain)
    ]
    assert said[0] == said[1]
