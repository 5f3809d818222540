"""Iterations that are made of one pass: the same as passes give, for fewer reads."""

import time

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from counting import CountingArray, lazily
from hypothesis import given, settings
from hypothesis import strategies as st

from bigquant import settled
from bigquant.fused import find_lifetimes, gather_all
from bigquant.moments import Moments
from bigquant.passes import _find_facts, fit_lloyd, gather_blocks, sample_blocks
from bigquant.settled import Gatherer


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Let rows be many that are few for others."""
    monkeypatch.setattr(settled, "_FEW", 200)


def scene(rng, channels, n=20_000, n_spots=12):
    spots = rng.uniform(20, 230, (n_spots, channels))
    return spots[rng.integers(0, n_spots, n)] + rng.normal(0, 30, (n, channels))


def gatherer_of(blocks, rows, factors, exact):
    channels = rows.shape[1]
    points = rows[::7].astype(np.float64) * factors
    return Gatherer(blocks, channels, factors, exact=exact, points=points, n_pixels=len(rows))


def walk(rng, centers, n, step):
    """Move centres along, some of them hardly, ever less."""
    paces = rng.choice([0.02, 0.3, 1], (len(centers), 1))
    for i in range(n):
        yield centers
        centers = centers + rng.normal(0, step * 0.9**i, centers.shape) * paces


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
@pytest.mark.parametrize("k", [2, 9, 40])
def test_what_is_put_off_adds_up_to_what_passes_give(dtype, k, rng):
    rows = scene(rng, 6).clip(0, 255).astype(dtype)
    factors = np.array([1, 0.5, 2, 1, 1, 0.1])
    exact = dtype[0] != "f"
    lazy = da.from_array(rows, chunks=(3000, 6))
    gatherer = gatherer_of([lazy], rows, factors, exact)
    depths = set()
    for centers in walk(rng, rows[:k] * factors, 40, 1.0):
        found = gatherer.gather(centers)
        depths.add(len(gatherer.looks))
        expected = gather_blocks([lazy], 6, centers, factors, exact=exact)
        np.testing.assert_array_equal(found.masses, expected.masses)
        if exact:
            assert found.sums.tobytes() == expected.sums.tobytes()
            assert found.carries.tobytes() == expected.carries.tobytes()
        else:
            np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12)
            assert found.inertia == pytest.approx(expected.inertia, 1e-9)
    assert max(depths) > 1
    gatherer.release()
    assert not gatherer.looks


def test_masked_pixels_are_never_at_hand(rng):
    pixels = scene(rng, 5, 6000).reshape(60, 100, 5)
    pixels[rng.random((60, 100)) < 0.2, 3] = np.nan
    alpha = (rng.random((60, 100, 1)) < 0.7) * 255.0
    both = np.concatenate([pixels, alpha], axis=2)
    taken = both[np.isfinite(both).all(axis=2) & (both[..., 5] > 0)][:, :5]
    lazy = da.from_array(both, chunks=(25, 30, 6))
    gatherer = gatherer_of([lazy], taken, np.ones(5), exact=False)
    for centers in walk(rng, taken[:7], 20, 0.5):
        found = gatherer.gather(centers)
        labels, _ = reference.nearest(taken, centers)
        np.testing.assert_array_equal(found.masses, np.bincount(labels, minlength=7))
    assert gatherer.looks
    at_hand = dask.compute(*gatherer.looks[0].parts)
    assert all(rows.shape[1] == 5 and np.isfinite(rows).all() for *_, rows in at_hand)


@settings(max_examples=60)
@given(
    st.sampled_from(["u1", "i8", "f4", "f8"]),
    st.integers(1, 9),
    st.integers(1, 20),
    st.sampled_from([1e-3, 1.0, 1e6]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_rows_that_are_not_set_aside_stay_with_their_centre(dtype, channels, k, size, far, seed):
    """However the centres move within their radii, to the borders of these too."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, size, (300, channels)) + 1e4 * size * far
    rows = (rows if dtype[0] != "u" else rows % 256).astype(dtype)
    centers = rows[rng.integers(0, 300, k)] + rng.normal(0, size / 9, (k, channels))
    radii = rng.choice([0, 1e-9, 0.01, 0.1], k) * size
    sums, masses = np.zeros((2 * k + 2, channels)), np.zeros(2 * k + 2, np.int64)
    if rows.dtype.kind != "f":
        sums = sums.astype(np.int64)
    aside = np.empty(301, np.int64)
    arguments = (rows, channels, centers, np.ones(channels), True, radii)
    inertia, other, n = gather_all(*arguments, sums, masses, aside)
    labels, squares = reference.nearest(rows.astype(np.float64), centers)
    is_aside = np.isin(np.arange(300), aside[:n])
    np.testing.assert_array_equal(masses[:k], np.bincount(labels[~is_aside], minlength=k))
    np.testing.assert_array_equal(masses[k + 1 : -1], np.bincount(labels[is_aside], minlength=k))
    assert inertia == pytest.approx(squares[~is_aside].sum())
    assert other == pytest.approx(squares[is_aside].sum())
    for _ in range(5):
        ways = rng.normal(0, 1, centers.shape)
        ways *= (radii / np.sqrt((ways**2).sum(axis=1)))[:, None]
        after, _ = reference.nearest(rows.astype(np.float64), centers + ways * (1 - 1e-9))
        np.testing.assert_array_equal(after[~is_aside], labels[~is_aside])


def test_few_rows_are_set_aside_in_vain(rng):
    rows, k = scene(rng, 6, 5000).astype(np.float32), 12
    centers, radii = rows[:k].astype(np.float64), rng.uniform(0.1, 2, k)
    sums, masses = np.zeros((2 * k + 2, 6)), np.zeros(2 * k + 2, np.int64)
    aside = np.empty(5001, np.int64)
    n = gather_all(rows, 6, centers, np.ones(6), False, radii, sums, masses, aside)[2]
    apart = np.sqrt(((rows[:, None].astype(np.float64) - centers) ** 2).sum(axis=2))
    labels = apart.argmin(axis=1)
    slack = apart - apart.min(axis=1)[:, None] - radii - radii[labels][:, None]
    slack[np.arange(5000), labels] = np.inf
    needed = np.flatnonzero(slack.min(axis=1) <= 0)
    assert set(needed) <= set(aside[:n])
    assert n <= 1.001 * len(needed) + 1
    lifetimes = np.empty(5000)
    find_lifetimes(rows.astype(np.float64), centers, radii, lifetimes)
    np.testing.assert_array_equal(np.flatnonzero(lifetimes <= 1), needed)


def test_many_iterations_are_made_of_few_passes(rng):
    image = scene(rng, 6, 90_000, 40).clip(0, 255).astype(np.uint8).reshape(300, 300, 6)
    counting = CountingArray(image)
    lazy = lazily(counting, (100, 300, 6))
    start = image.reshape(-1, 6)[:12].astype(np.float64)
    sample = dask.persist(sample_blocks([lazy], 6, 0))[0]
    counting.reads[:] = 0
    found = fit_lloyd([lazy], sample, 12, channels=6, factors=np.ones(6), init=start, tol=0)
    assert counting.reads.min() == counting.reads.max() <= found.n_iter / 3
    expected = reference.lloyd(image.reshape(-1, 6).astype(np.float64), start, 0)
    np.testing.assert_allclose(found.centers, expected, rtol=1e-9)


def test_rows_at_hand_take_no_more_memory_than_they_may(rng, monkeypatch):
    rows = scene(rng, 6).astype(np.float32)
    monkeypatch.setattr(settled, "_BYTES", rows.nbytes // 20)
    lazy = da.from_array(rows, chunks=(3000, 6))
    gatherer = gatherer_of([lazy], rows, np.ones(6), exact=False)
    for centers in walk(rng, rows[:9].astype(np.float64), 60, 0.1):
        gatherer.gather(centers)
        for look in gatherer.looks:
            held = sum(rows.nbytes for *_, rows in dask.compute(*look.parts))
            assert held <= 1.3 * rows.nbytes / 20


@pytest.mark.parametrize("fill", [-9999.0, 0.0, 65535.0])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_neither_a_far_centre_nor_a_frequent_row_fills_the_memory(fill, share, rng, monkeypatch):
    """Single precision cannot tell the centres of the others where one lies far from them."""
    rows = (scene(rng, 6) / 255).astype(np.float32)
    rows[rng.random(len(rows)) < share] = fill
    limit = rows.nbytes // 20
    monkeypatch.setattr(settled, "_BYTES", limit)
    lazy = da.from_array(rows, chunks=(3000, 6))
    sample = sample_blocks([lazy], 6, 0).compute()
    known = _find_facts(sample, np.ones(6), 9, np.empty((0, 6)))
    gatherer = Gatherer([lazy], 6, np.ones(6), exact=False, points=known.points, n_pixels=len(rows))
    start = rows[np.flatnonzero(rows[:, 0] != np.float32(fill))[:9]].astype(np.float64)
    start[0] = fill
    for centers in walk(rng, start, 40, 0.001):
        gatherer.gather(centers)
        for look in gatherer.looks:
            assert sum(held.nbytes for *_, held in dask.compute(*look.parts)) <= 1.5 * limit


def test_a_cluster_keeps_nothing_and_gives_the_bits_of_threads(client, rng):
    image = scene(rng, 6).clip(0, 255).astype(np.uint8).reshape(100, 200, 6)
    lazy = da.from_array(image, chunks=(30, 70, 6))
    start = image.reshape(-1, 6)[:9].astype(np.float64)

    def fitted():
        sample = sample_blocks([lazy], 6, 0)
        return fit_lloyd([lazy], sample, 9, channels=6, factors=np.ones(6), init=start, tol=0)

    with dask.config.set(scheduler="threads"):
        expected = fitted()
    found = fitted()
    assert found.centers.tobytes() == expected.centers.tobytes()
    assert found.n_iter == expected.n_iter
    for _ in range(200):  # it hears of that later
        if not client.futures:
            break
        time.sleep(0.05)
    assert not client.futures


def test_moments_follow_their_centres(rng):
    rows, centers, factors = scene(rng, 5, 2000), rng.uniform(0, 255, (4, 5)), np.full(5, 0.5)
    found = Moments.of_block(rows, 5, centers * factors, factors, exact=False)
    moved = centers * factors + rng.normal(0, 3, centers.shape)
    labels, _ = reference.nearest(rows * factors, centers * factors)
    expected = ((rows * factors - moved[labels]) ** 2).sum()
    assert found.around(centers * factors, moved, factors).inertia == pytest.approx(expected)
