"""The engine: Lloyd's numbers on distinct colours are those on all pixels."""

import itertools

import numpy as np
import pytest
import reference
from hypothesis import given
from strategies import images

from bigquant import lloyd
from bigquant.colorcounts import ColorHistogram


def histogram_of(image):
    return ColorHistogram.create(image.shape[-1], image.dtype).add(image)


@given(images(depths=(1, 3)))
def test_lloyd_on_counts_equals_lloyd_on_all_pixels(image):
    rows = reference.opaque_pixels(image)
    histogram = histogram_of(image)
    start = np.add(np.quantile(rows, [0.21, 0.83], axis=0), [[0.1237], [0.0531]])
    if histogram.n_colors < 2 or len(np.unique(reference.nearest(rows, start)[0])) < 2:
        return
    found = lloyd.fit(histogram, 2, init=start, tol=0)
    assert np.isfinite(found.centers).all()
    labels, squares = reference.nearest(rows, found.centers)
    np.testing.assert_allclose(found.inertia, squares.sum())
    means = [rows[labels == j].mean(axis=0) for j in range(2)]
    np.testing.assert_allclose(found.centers, means, atol=1e-9)


def test_the_path_from_given_centres_is_that_of_the_reference(china, rng):
    rows = china[::8, ::8].reshape(-1, 3)
    start = rows[rng.choice(len(rows), 6, replace=False)] + rng.normal(0, 0.3, (6, 3))
    histogram = histogram_of(rows[None])
    found = lloyd.fit(histogram, 6, init=start, tol=0)
    np.testing.assert_allclose(found.centers, reference.lloyd(rows, start, 1e-12), atol=1e-6)


def test_as_many_clusters_as_colours_leave_no_error(rng):
    colors = np.unique(rng.integers(0, 256, (40, 3), dtype=np.uint8), axis=0)
    found = lloyd.fit(ColorHistogram(colors, np.ones(len(colors), np.uint64)), len(colors))
    assert found.inertia == 0
    np.testing.assert_array_equal(np.unique(found.centers, axis=0), colors)


def test_empty_clusters_move_to_the_worst_served_colours():
    colors = np.array([[0], [10], [200], [240]], np.uint8)
    far_away = np.array([[5.0], [220.0], [1000.0], [2000.0]])
    found = lloyd.fit(ColorHistogram(colors, np.ones(4, np.uint64)), 4, init=far_away)
    assert found.inertia == 0


def test_the_seed_decides(china):
    histogram = histogram_of(china[::4, ::4])
    fits = [lloyd.fit(histogram, 9, seed=s, n_init=1) for s in (1, 1, 2)]
    assert fits[0].centers.tobytes() == fits[1].centers.tobytes()
    assert fits[0].centers.tobytes() != fits[2].centers.tobytes()


def test_centers_move_to_where_they_help_most(rng):
    """From its worst start Lloyd's iteration alone would leave two blobs to one center."""
    blobs = rng.integers(0, 255, (12, 3))
    while min(np.abs(a - b).max() for a, b in itertools.combinations(blobs, 2)) < 30:
        blobs = rng.integers(0, 255, (12, 3))
    points = np.repeat(blobs, 30, axis=0) + rng.integers(-2, 3, (360, 3))
    weights = np.ones(360)
    for seed in range(5):
        fit = lloyd.fit(ColorHistogram(points, weights), 12, init="random", n_init=1, seed=seed)
        apart = np.abs(fit.centers[:, None] - blobs[None]).max(axis=2)
        assert (apart.min(axis=0) < 3).all()


@pytest.mark.parametrize("name", ["china", "flower"])
@pytest.mark.parametrize("k", [8, 32])
def test_inertia_is_that_of_scikit_learn_or_less(request, name, k):
    from sklearn.cluster import KMeans

    histogram = histogram_of(request.getfixturevalue(name)[::2, ::2])
    ours = lloyd.fit(histogram, k)
    theirs = KMeans(k, n_init=10, random_state=0)
    theirs.fit(histogram.colors, sample_weight=histogram.counts)
    assert ours.inertia <= 1.01 * theirs.inertia_


def test_rows_of_any_type_and_width_are_fitted(rng):
    blobs = np.repeat(np.eye(5) * 1e-3, 30, axis=0) + rng.normal(0, 1e-6, (150, 5))
    found = lloyd.fit(ColorHistogram(blobs, np.ones(150)), 5)
    assert found.inertia < 1e-8


def test_random_starts_are_taken_without_repetition():
    colors = np.arange(6, dtype=np.uint8)[:, None]
    found = lloyd.fit(ColorHistogram(colors, np.ones(6, np.uint64)), 6, init="random", n_init=1)
    assert found.inertia == 0


@given(images(depths=(1, 3)))
def test_the_inertia_never_rises_from_one_fit_to_the_next(image):
    histogram = histogram_of(image)
    found = None
    for k in (1, 2, 3, 5, 9):
        before, found = found, lloyd.fit(histogram, k, before=found)
        assert before is None or found.inertia <= before.inertia
        _, squares = reference.nearest(reference.opaque_pixels(image), found.centers)
        np.testing.assert_allclose(found.inertia, squares.sum(), atol=1e-6)


def test_a_fit_goes_on_from_the_one_before(rng):
    """From the worst start, without moves of centres, it has what was found already."""
    blobs = np.arange(20, 260, 20)[:, None] + [0, 0, 0]
    points = np.repeat(blobs, 30, axis=0) + rng.integers(-2, 3, (360, 3))
    histogram = ColorHistogram(points, np.ones(360))
    found = lloyd.fit(histogram, 11)
    search = lloyd.Search.plan(histogram, 12, "random", 1, 300, 1e-4, 0, before=found)
    ranked = search.choose(search.run(0, 1))
    apart = np.abs(ranked[0].centers[:, None] - blobs[None]).max(axis=2)
    assert (apart.min(axis=0) < 3).all()


def test_a_fit_goes_on_beside_kept_colours(china):
    histogram, kept = histogram_of(china[::2, ::2]), np.array([[255.0, 0, 255]])
    first = lloyd.fit(histogram, 5, keep=kept)
    second = lloyd.fit(histogram, 6, keep=kept, before=first)
    np.testing.assert_array_equal(second.centers[:1], kept)
    assert second.inertia < first.inertia
