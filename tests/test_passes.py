"""Lloyd's iteration over the pixels: dask-ml's centres, whatever the chunks, in few passes."""

from fractions import Fraction

import dask
import dask.array as da
import dask_ml.cluster
import numpy as np
import pytest
import reference
from counting import CountingArray, lazily

from bigquant.errors import InputError
from bigquant.moments import Moments
from bigquant.passes import fit_lloyd, gather_blocks, sample_blocks


def scene(rng, channels, n=20_000, n_spots=12):
    """Make rows of bands whose values lie about some spots."""
    spots = rng.uniform(20, 230, (n_spots, channels))
    return spots[rng.integers(0, n_spots, n)] + rng.normal(0, 9, (n, channels))


def fitted(blocks, k, channels, factors=None, seed=0, **options):
    factors = np.ones(channels) if factors is None else factors
    sample = sample_blocks(blocks, channels, seed)
    return fit_lloyd(blocks, sample, k, channels=channels, factors=factors, seed=seed, **options)


@pytest.mark.parametrize("channels", [6, 13])
def test_centres_are_those_of_dask_mls_own_fit_from_the_same_start(channels, rng):
    rows = scene(rng, channels).astype(np.float32)
    start = rows[rng.choice(len(rows), 8, replace=False)]
    lazy = da.from_array(rows, chunks=(7000, channels))
    theirs = dask_ml.cluster.KMeans(8, init=start, tol=0, max_iter=300).fit(lazy)
    found = fitted([lazy], 8, channels, init=start, tol=0)
    assert np.abs(found.centers - theirs.cluster_centers_).max() <= 1e-4 * np.ptp(rows)
    labels, squares = reference.nearest(rows, found.centers)
    assert found.inertia == pytest.approx(squares.sum())
    np.testing.assert_array_equal(found.masses, np.bincount(labels, minlength=8))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "u8", "i8", "f2", "f8"])
def test_every_type_is_fitted_as_its_values_are(dtype, rng):
    rows = (scene(rng, 5, 3000) - (120 if dtype == "i2" else 0)).astype(dtype)
    start = rows[:6].astype(np.float64)
    found = fitted([da.from_array(rows, chunks=(999, 5))], 6, 5, init=start, tol=0)
    expected = reference.lloyd(rows.astype(np.float64), start, 0)
    np.testing.assert_allclose(found.centers, expected, rtol=1e-9)


@pytest.mark.parametrize("init", ["k-means++", "random", "array"])
@pytest.mark.parametrize(
    ("dtype", "scale"), [("u1", 1), ("i2", 100), ("u2", 250), ("u4", 1 << 24), ("i4", -(1 << 23))]
)
def test_whole_numbers_give_the_same_bits_for_any_chunks(dtype, scale, init, rng):
    image = (scene(rng, 6).clip(0, 255) * scale).astype(dtype).reshape(100, 200, 6)
    start = image[0, :7].astype(np.float64) if init == "array" else init
    factors = np.array([1, 0.5, 1 / 3, 1, 2, 1 / 7])
    found = [
        fitted([da.from_array(image, chunks=chunks)], 7, 6, factors, init=start)
        for chunks in [(100, 200, 6), (33, 200, 6), (7, 41, 2), ((1, 99), (150, 50), 6)]
    ]
    with dask.config.set(scheduler="threads", num_workers=3):
        found.append(fitted([da.from_array(image, chunks=(9, 200, 6))], 7, 6, factors, init=start))
    for other in found[1:]:
        assert other.centers.tobytes() == found[0].centers.tobytes()
        assert other.inertia == found[0].inertia
        assert other.n_iter == found[0].n_iter
        np.testing.assert_array_equal(other.masses, found[0].masses)


def test_sums_of_whole_numbers_beyond_64_bits_are_exact():
    rows = np.full((3, 5), 2**32 - 1, np.uint32)
    centers, factors = np.full((1, 5), float(2**32 - 1)), np.ones(5)
    part = Moments.of_block(rows, 5, centers, factors, exact=True)
    for _ in range(40):  # 3 * 2**40 pixels, whose values sum up to more than 2**72
        part = part.merge(part)
    total = 3 * 2**40
    assert part.masses.tolist() == [total]
    np.testing.assert_array_equal(part.means, centers)
    squares = (total * (2**32 - 1) ** 2,) * 5
    assert part.exact_inertia(squares, centers, factors) == 0
    assert part.exact_inertia(squares, centers - 0.5, factors) == 5 * total / 4


def test_the_inertia_of_whole_numbers_is_that_of_fractions(rng):
    rows = rng.integers(-3000, 3000, (400, 5)).astype(np.int16)
    centers, factors = rng.normal(0, 2000, (4, 5)), np.array([1, 0.1, 3, 1, 1e-3])
    found = Moments.of_block(rows, 5, centers * factors, factors, exact=True)
    squares = tuple(int(v) for v in (rows.astype(np.int64) ** 2).sum(axis=0))
    labels, _ = reference.nearest(rows * factors, centers * factors)
    expected = sum(
        (Fraction(int(v)) - Fraction(c)) ** 2 * Fraction(f) ** 2
        for row, label in zip(rows, labels, strict=True)
        for v, c, f in zip(row, centers[label], factors, strict=True)
    )
    assert found.exact_inertia(squares, centers, factors) == pytest.approx(float(expected), 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_hardly_depend_on_the_chunks(dtype, rng):
    rows = scene(rng, 13).astype(dtype)
    found = [
        fitted([da.from_array(rows, chunks=(chunk, 13))], 9, 13) for chunk in (20_000, 777, 5000)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.centers, found[0].centers, rtol=1e-6)
        assert other.inertia == pytest.approx(found[0].inertia, 1e-6)


def test_masked_pixels_take_no_part(rng):
    rows = scene(rng, 6, 6000)
    expected = fitted([da.from_array(rows, chunks=(1000, 6))], 5, 6, init=rows[:5], tol=0)
    junk = rng.normal(0, 1e5, (2000, 6))
    junk[np.arange(2000), rng.integers(0, 6, 2000)] = rng.choice([np.nan, np.inf, -np.inf], 2000)
    mixed = rng.permutation(np.concatenate([rows, junk])).reshape(80, 100, 6)
    found = fitted([da.from_array(mixed, chunks=(30, 60, 6))], 5, 6, init=rows[:5], tol=0)
    np.testing.assert_allclose(found.centers, expected.centers, rtol=1e-9)
    assert found.masses.sum() == 6000
    alpha = np.repeat([255.0, 0.0, 1.0], [3000, 2000, 3000])
    both = np.concatenate([rows[:3000], np.full((2000, 6), 1e9), rows[3000:]])
    both = np.column_stack([both, alpha]).reshape(80, 100, 7)
    found = fitted([da.from_array(both, chunks=(30, 60, 7))], 5, 6, init=rows[:5], tol=0)
    np.testing.assert_allclose(found.centers, expected.centers, rtol=1e-9)


def test_bands_are_measured_by_their_factors(rng):
    rows = scene(rng, 5)
    factors = np.array([1, 1e-3, 2, 1, 0.1])
    stretched = rows / factors
    expected = fitted([da.from_array(rows, chunks=(3000, 5))], 6, 5, init=rows[:6], tol=0)
    found = fitted(
        [da.from_array(stretched, chunks=(3000, 5))], 6, 5, factors, init=stretched[:6], tol=0
    )
    np.testing.assert_allclose(found.centers * factors, expected.centers, rtol=1e-9)
    assert found.inertia == pytest.approx(expected.inertia)


def test_several_images_are_fitted_together(rng):
    rows = scene(rng, 6, 4000).astype(np.uint8)
    images = [rows[:1600].reshape(40, 40, 6), rows[1600:].reshape(60, 40, 6)]
    apart = [da.from_array(image, chunks=(17, 23, 6)) for image in images]
    found, expected = fitted(apart, 4, 6), fitted([da.from_array(rows, chunks=(999, 6))], 4, 6)
    assert found.centers.tobytes() == expected.centers.tobytes()


# ---------------------------------------------------------------- starts, stops and passes


def test_a_start_from_the_sample_needs_a_handful_of_passes(rng):
    image = scene(rng, 6, 360_000, 40).clip(0, 255).astype(np.uint8).reshape(600, 600, 6)
    counting = CountingArray(image)
    lazy = lazily(counting, (200, 600, 6))
    found = fitted([lazy], 24, 6)
    passes = counting.reads.min()
    assert passes == counting.reads.max() == 1 + found.n_iter
    assert passes <= 6
    longer = fitted([lazy], 24, 6, init=found.centers, tol=0)
    assert found.inertia <= 1.001 * longer.inertia


def test_as_good_as_scikit_learn_on_all_pixels(rng):
    from sklearn.cluster import KMeans

    rows = scene(rng, 8, 50_000, 60)
    theirs = KMeans(20, n_init=3, random_state=0).fit(rows)
    assert fitted([da.from_array(rows, chunks=(9999, 8))], 20, 8).inertia <= 1.01 * theirs.inertia_


def test_iterations_are_limited_and_the_inertia_is_that_of_the_centres(rng):
    rows = scene(rng, 6)
    lazy = da.from_array(rows, chunks=(5000, 6))
    for limit in (0, 1, 3):
        found = fitted([lazy], 8, 6, init=rows[:8], max_iter=limit, tol=0)
        assert found.n_iter == limit
        assert found.inertia == pytest.approx(reference.nearest(rows, found.centers)[1].sum())
        if not limit:
            np.testing.assert_array_equal(found.centers, rows[:8])


def test_empty_clusters_move_to_the_worst_served_rows(rng):
    rows = scene(rng, 6, 5000)
    start = np.vstack([rows[:3], np.full((5, 6), 1e6)])
    found = fitted([da.from_array(rows, chunks=(999, 6))], 8, 6, init=start)
    assert found.masses.all()
    alone = fitted([da.from_array(rows, chunks=(999, 6))], 3, 6, init=start[:3])
    assert found.inertia < alone.inertia


def test_fewer_distinct_rows_than_clusters(rng):
    rows = np.repeat(rng.integers(0, 9, (3, 5)), 50, axis=0)
    for init in ("k-means++", rng.uniform(0, 9, (6, 5))):
        found = fitted([da.from_array(rows, chunks=(40, 5))], 6, 5, init=init)
        assert sorted(found.centers.tolist()) == np.unique(rows, axis=0).tolist()
        assert found.inertia == 0


def test_kept_colours_stay_where_they_are(rng):
    rows = scene(rng, 5, 5000)
    keep = np.array([[1.25, 2, 3, 4, 5], [200, 200, 200, 0, 0]])
    found = fitted([da.from_array(rows, chunks=(999, 5))], 6, 5, np.full(5, 1 / 3), keep=keep)
    np.testing.assert_array_equal(found.centers[:2], keep)
    assert len(found.centers) == 6
    assert found.masses[2:].all()


def test_nothing_to_fit_and_other_bands_are_refused():
    rows = da.full((10, 5), np.nan)
    for init in ("k-means++", np.zeros((2, 5))):
        with pytest.raises(InputError, match="nothing to fit"):
            fitted([rows], 2, 5, init=init)
    with pytest.raises(InputError, match="init has 4 features, the data 5"):
        fitted([da.ones((10, 5))], 2, 5, init=np.zeros((2, 4)))


def test_a_cluster_gives_the_bits_of_threads(client, rng):
    image = scene(rng, 6).clip(0, 255).astype(np.uint8).reshape(100, 200, 6)
    lazy = da.from_array(image, chunks=(30, 70, 6))
    with dask.config.set(scheduler="threads"):
        expected = fitted([lazy], 9, 6)
    found = fitted([lazy], 9, 6)
    assert found.centers.tobytes() == expected.centers.tobytes()
    assert found.inertia == expected.inertia


def test_a_pass_sums_up_what_is_nearest(rng):
    rows = scene(rng, 5, 3000)
    centers = rows[:4]
    lazy = da.from_array(rows, chunks=(700, 5))
    found = gather_blocks([lazy], 5, centers, np.ones(5), exact=False)
    labels, squares = reference.nearest(rows, centers)
    assert found.inertia == pytest.approx(squares.sum())
    expected = [rows[labels == j].mean(axis=0) for j in range(4)]
    np.testing.assert_allclose(found.means, expected)
