"""The tree of colours: its cubes, and sums over what is nearest, against brute force."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import palettes

from bigquant.coarsening import divide
from bigquant.colortree import LAST_DEPTH, ColorTree
from bigquant.pointsets import Cubes, TreeColors


def draw_colors(rng, n, spread):
    """Distinct colours in lexicographic order, and counts."""
    colors = np.unique(rng.normal(128, spread, (n, 3)).clip(0, 255).astype(np.uint8), axis=0)
    return colors, rng.integers(1, 1000, len(colors)).astype(np.uint64)


def moments_of(colors, counts):
    values, counts = colors.astype(np.int64), counts.astype(np.int64)
    return [counts.sum(), *(counts @ values), counts @ (values**2).sum(axis=1)]


@st.composite
def trees(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colors, counts = draw_colors(
        rng, draw(st.sampled_from([1, 30, 800])), draw(st.sampled_from([2, 60]))
    )
    return colors, counts, ColorTree.grow(colors, counts)


@given(trees())
def test_cubes_are_walked_in_order_and_know_their_moments(drawn):
    colors, counts, tree = drawn
    assert sorted(map(tuple, tree.colors.tolist())) == list(map(tuple, colors.tolist()))
    for depth in range(1, LAST_DEPTH + 1):
        side = 256 >> depth
        corners, which = np.unique(colors // side * side, axis=0, return_inverse=True)
        chosen = tree.depths == depth
        places = map(tuple, tree.corners[chosen].tolist())
        found = dict(zip(places, tree.moments[chosen].tolist(), strict=True))
        assert len(found) == chosen.sum() == len(corners)
        for number, corner in enumerate(corners.tolist()):
            inside = which.ravel() == number
            assert found[tuple(corner)] == moments_of(colors[inside], counts[inside])
    for cube, (depth, skip) in enumerate(zip(tree.depths, tree.skips, strict=True)):
        assert (tree.depths[cube + 1 : skip] > depth).all()
        assert skip == len(tree.depths) or tree.depths[skip] <= depth


@given(trees(), palettes(3), st.booleans())
def test_what_is_nearest_is_gathered_as_by_brute_force(drawn, palette, shifted):
    colors, counts, tree = drawn
    centers = palette * 1.0 + 0.37 * shifted
    labels, _ = reference.nearest(colors, centers)
    expected = [moments_of(colors[labels == j], counts[labels == j]) for j in range(len(centers))]
    np.testing.assert_array_equal(tree.gather(centers), expected)


@given(trees(), palettes(3), st.integers(1, LAST_DEPTH))
def test_the_means_of_cubes_are_points_like_any(drawn, palette, depth):
    _, _, tree = drawn
    moments = tree.moments[tree.depths == depth]
    level, centers = Cubes(moments), palette + 0.37
    np.testing.assert_array_equal(level.points, moments[:, 1:4] / moments[:, :1])
    assert level.variance() == TreeColors(tree).variance()  # of all their colours
    labels, distances = level.assign(centers)
    _, squares = reference.nearest(level.points, centers)
    own = ((level.points - centers[labels]) ** 2).sum(axis=1)
    np.testing.assert_allclose(own, squares, rtol=1e-5, atol=1e-2)  # single precision
    np.testing.assert_allclose(distances, squares, rtol=1e-5, atol=1e-2)
    gathered = level.gather(centers)
    masses = np.bincount(labels, level.weights, len(centers))
    np.testing.assert_array_equal(gathered.masses, masses)
    sums = [np.bincount(labels, moments[:, 1 + c], len(centers)) for c in range(3)]
    np.testing.assert_allclose(gathered.means * masses[:, None], np.transpose(sums))


@pytest.mark.parametrize("k", [1, 7, 256])
def test_many_colors_and_centers_far_outside(k, rng):
    colors, counts = draw_colors(rng, 200_000, 70)
    tree = ColorTree.grow(colors, counts)
    centers = rng.uniform(-500, 700, (k, 3))
    centers[: k // 2] = centers[: k // 2].clip(0, 255)
    labels, squares = reference.nearest(colors[::101], centers)
    every = ColorTree.grow(colors[::101], counts[::101])
    expected = [
        moments_of(colors[::101][labels == j], counts[::101][labels == j]) for j in range(k)
    ]
    np.testing.assert_array_equal(every.gather(centers), expected)
    np.testing.assert_allclose(TreeColors(every).inertia(centers), counts[::101] @ squares)
    assert tree.gather(centers)[:, 0].sum() == counts.sum()


def test_there_is_no_error_where_every_color_has_its_center(rng):
    colors, counts = draw_colors(rng, 5000, 50)
    tree = ColorTree.grow(colors, counts * np.uint64(10**9))
    assert TreeColors(tree).inertia(colors.astype(float)) == 0


@given(trees(), st.integers(1, LAST_DEPTH - 1), st.integers(1, 900))
def test_dividing_some_cubes_loses_no_color(drawn, depth, n_points):
    _, _, tree = drawn
    coarse, fine = (int((tree.depths == d).sum()) for d in (depth, depth + 1))
    moments = divide(tree, depth, n_points)
    np.testing.assert_array_equal(
        moments.sum(axis=0), tree.moments[tree.depths == depth].sum(axis=0)
    )
    assert len(moments) >= min(n_points, fine)
    assert coarse <= len(moments) <= fine
    known = set(map(tuple, tree.moments[np.isin(tree.depths, (depth, depth + 1))].tolist()))
    assert set(map(tuple, moments.tolist())) <= known


def test_those_cubes_are_divided_whose_colors_vary_most():
    spread = [[x, 0, 0] for x in (0, 40, 80, 120)]  # of one cube of depth 1
    close = [[x, 200, 200] for x in (200, 205)]  # of another
    colors = np.array(spread + close, np.uint8)
    tree = ColorTree.grow(colors, np.ones(6, np.uint64))
    moments = divide(tree, 1, 3)
    assert sorted(moments[:, 0].tolist()) == [2, 2, 2]  # 0 and 40, 80 and 120; 200 and 205
