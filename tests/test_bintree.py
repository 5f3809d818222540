"""The tree of bins: sums over what is nearest, and what bins can cost, against brute force."""

import dask
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from bigquant import bincounts, lloyd
from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.coarsening import level_of, levels_of
from bigquant.parallel_fit import plan_fit


def count(rows, most=1 << 19, common=True):
    """Count rows of any type in no more bins than that."""
    ends = rows.min(axis=0), rows.max(axis=0)
    grid = Grid.of_type(rows.dtype, rows.shape[1])
    grid = grid or Grid.of_range(rows.dtype, *ends, common=common)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bincounts, "MAX_BINS", most)
        return BinnedHistogram.create(grid).add(rows)


def bins_of(rows, histogram):
    """Which bin each pixel lies in, by counting each alone."""
    places = []
    for row in rows:
        key = BinnedHistogram.create(histogram.grid).add(row[None]).keys[0]
        places.append(np.searchsorted(histogram.keys, key >> np.uint64(histogram.dropped)))
    return np.array(places)


@st.composite
def clouds(draw):
    """Rows (n, channels) of some type, their histogram, of few bins or many, and centres."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, n = draw(st.integers(1, 4)), draw(st.sampled_from([1, 40, 2000]))
    rows = rng.normal(100, draw(st.sampled_from([2, 30])), (n, channels)).clip(0, 255)
    rows = rows.astype(draw(st.sampled_from(["u1", "i2", "f4"])))
    factors = rng.choice([1.0, 0.3, 7.0], channels)
    most = draw(st.sampled_from([2, 50, 600, 1 << 19]))
    histogram = count(rows, most, draw(st.booleans())).scaled(factors)
    k = draw(st.sampled_from([1, 2, 9, 60]))
    centers = rng.choice(rows, k) * factors
    centers[rng.random(k) < 0.3] = rng.uniform(-500, 900, channels)
    if draw(st.booleans()):
        centers = centers.round()  # so that some are the same, and distances too
    return rows, histogram, centers


@given(clouds())
def test_what_is_nearest_is_gathered_as_by_brute_force(cloud):
    _, histogram, centers = cloud
    labels, squares = reference.nearest(histogram.points, centers)
    masses, sums, inertia = histogram.tree.gather(centers)
    np.testing.assert_array_equal(masses, np.bincount(labels, histogram.counts, len(centers)))
    np.testing.assert_array_equal(histogram.gather_masses(centers), masses)
    weighted = histogram.points * histogram.weights[:, None]
    for band, column in enumerate(weighted.T):
        expected = np.bincount(labels, column, len(centers))
        np.testing.assert_allclose(sums[:, band], expected, rtol=1e-9, atol=1e-9)
    expected = (histogram.counts * squares).sum() + histogram.spread.sum()
    np.testing.assert_allclose(inertia, expected, rtol=1e-9, atol=1e-9)


@given(clouds())
def test_boxes_are_walked_in_order_and_know_their_points(cloud):
    _, histogram, _ = cloud
    tree = histogram.tree
    for box, (depth, skip) in enumerate(zip(tree.depths, tree.skips, strict=True)):
        inside = slice(tree.firsts[box], tree.firsts[skip])
        points, weights = tree.points[inside], tree.weights[inside]
        np.testing.assert_array_equal(tree.lows[box], points.min(axis=0))
        np.testing.assert_array_equal(tree.highs[box], points.max(axis=0))
        np.testing.assert_allclose(tree.masses[box], weights.sum())
        mean = np.average(points, 0, weights)
        np.testing.assert_allclose(tree.means[box], mean)
        spread = (weights * ((points - mean) ** 2).sum(axis=1)).sum() + tree.spread[inside].sum()
        np.testing.assert_allclose(tree.spreads[box], spread, rtol=1e-9, atol=1e-7)
        assert (tree.depths[box + 1 : skip] > depth).all()
        assert skip == len(tree.depths) or tree.depths[skip] <= depth
    for depth in range(tree.n_depths):
        np.testing.assert_allclose(tree.masses[tree.depths == depth].sum(), tree.weights.sum())


@given(clouds())
def test_bins_cost_no_more_than_the_bound(cloud):
    rows, histogram, centers = cloud
    pixels = rows.astype(np.float64) * histogram.factors
    labels, _ = reference.nearest(histogram.points, centers)
    apart = pixels - centers[labels[bins_of(rows, histogram)]]
    _, squares = reference.nearest(pixels, centers)
    lost = ((apart**2).sum(axis=1) - squares).sum()
    bound = histogram.binning_bound(centers)
    assert bound >= max(0, lost - 1e-9 * squares.sum())


def test_the_bound_is_of_use(rng):
    """It is not much above what bins cost, and nothing where no border crosses one."""
    ramp = np.linspace(0, 60_000, 400)
    image = np.stack(np.meshgrid(ramp, ramp[::-1]), axis=2) + rng.normal(0, 1500, (400, 400, 2))
    rows = image.clip(0, 65535).astype(np.uint16).reshape(-1, 2)
    histogram = count(rows, 1 << 12)
    centers = lloyd.fit(histogram, 20).centers
    labels, _ = reference.nearest(histogram.points, centers)
    _, squares = reference.nearest(rows, centers)
    chosen = centers[labels[bins_of(rows[::16], histogram)]]
    lost = 16 * (((rows[::16] - chosen) ** 2).sum() - squares[::16].sum())
    assert lost < histogram.binning_bound(centers) < 6 * lost
    assert histogram.binning_bound(centers) < 0.02 * squares.sum()
    assert histogram.binning_bound(np.array([[0.0, 0], [0, 2**17]])) == 0


def test_bins_of_one_value_cost_nothing(rng):
    histogram = count(rng.integers(0, 50, (900, 4)).astype(np.uint8))
    assert histogram.dropped == 0
    assert histogram.binning_bound(rng.uniform(0, 50, (30, 4))) == 0


@given(clouds(), st.integers(1, 700))
def test_levels_lose_no_pixel(cloud, n_points):
    _, histogram, _ = cloud
    levels = levels_of(histogram)
    mean = np.average(histogram.points, 0, histogram.weights)
    chosen = level_of(histogram, levels, n_points)
    for level in (*levels, chosen):
        np.testing.assert_allclose(level.weights.sum(), histogram.n_pixels)
        np.testing.assert_allclose(np.average(level.points, 0, level.weights), mean)
    sizes = [level.size for level in levels]
    assert sizes == sorted(set(sizes))
    assert chosen.size >= min(n_points, histogram.n_colors)


def draw_scene(rng, dtype, channels):
    """Pixels of smooth parts, as skies and fields have, with noise."""
    y, x = np.mgrid[0:300, 0:400] / 300
    waves = []
    for _ in range(channels):
        across, along, start = rng.uniform(2, 15, 3)
        waves.append(np.sin(across * x + start) * np.cos(along * y))
    bright = np.exp(np.stack(waves, axis=2)) / 3 + rng.normal(0, 0.01, (300, 400, channels))
    largest = {"u1": 255, "u2": 65535, "i4": 10**6, "f4": 1}[dtype]
    return (bright.clip(0, 1) * largest).astype(dtype).reshape(-1, channels)


@pytest.mark.parametrize("k", [5, 32])
@pytest.mark.parametrize(("dtype", "channels"), [("u2", 3), ("u1", 4), ("f4", 4), ("i4", 2)])
def test_centers_are_as_good_on_all_pixels_as_scikit_learns(dtype, channels, k, rng):
    from sklearn.cluster import KMeans

    rows = draw_scene(rng, dtype, channels)
    histogram = count(rows, 1 << 14)
    assert histogram.n_colors < len(rows) / 7
    found = lloyd.fit(histogram, k)
    theirs = KMeans(k, n_init=3, random_state=0).fit(rows[rng.permutation(len(rows))[:30_000]])
    pixels = rows.astype(np.float64)
    _, squares = reference.nearest(pixels, found.centers)
    _, by_theirs = reference.nearest(pixels, theirs.cluster_centers_.astype(np.float64))
    assert squares.mean() <= 1.01 * by_theirs.mean()
    bound = histogram.binning_bound(found.centers)
    rounding = 1e-5 * squares.sum()  # of the values to codes
    assert -rounding <= found.inertia - squares.sum() <= bound + rounding


def test_the_inertia_is_that_of_pixels_with_the_labels_of_their_bins(rng):
    rows, factors = rng.gamma(2, 3000, (4000, 3)).astype(np.uint16), np.array([1.0, 0.25, 2.0])
    histogram = count(rows, 300).scaled(factors)
    found = lloyd.fit(histogram, 7)
    labels, _ = reference.nearest(histogram.points, found.centers)
    apart = rows * factors - found.centers[labels[bins_of(rows, histogram)]]
    np.testing.assert_allclose(found.inertia, (apart**2).sum(), rtol=1e-9)
    variance = (rows * factors).var(axis=0).mean()
    np.testing.assert_allclose(levels_of(histogram)[-1].variance(), variance, rtol=1e-9)


def test_bins_are_fitted_in_parts_and_beside_kept_colors(rng):
    histogram, kept = (
        count(rng.gamma(2, 3000, (20_000, 4)).astype("u2")),
        np.array([[1.0, 2, 3, 4]]),
    )
    whole = lloyd.fit(histogram, 9, keep=kept)
    planned = plan_fit(dask.delayed(histogram), 9, "k-means++", None, 300, 1e-4, 0, kept)
    parts = planned.compute(scheduler="sync")
    assert parts.centers.tobytes() == whole.centers.tobytes()
    assert parts.inertia == whole.inertia
    np.testing.assert_array_equal(whole.centers[:1], kept)
    assert lloyd.fit(histogram, 10, keep=kept, before=whole).inertia <= whole.inertia


def test_as_many_clusters_as_bins_leave_no_error(rng):
    found = lloyd.fit(count(rng.integers(0, 3, (500, 2)).astype(np.int16)), 30)
    assert len(found.centers) == 9
    assert found.inertia == pytest.approx(0, abs=1e-20)
