"""Labels, sums and errors of rows of every type against NumPy's obvious ways."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference

from bigquant import rowlabels

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4"]


@pytest.fixture(params=["all", "lists"])
def way(request, monkeypatch):
    """Try all centres, as for few rows, or the lists that are made for many."""
    if request.param == "lists":
        monkeypatch.setattr(rowlabels, "_FEW_CENTERS", 0)
        monkeypatch.setattr(rowlabels, "_FEW_DISTANCES", 0)


def scene(rng, dtype, channels, k=12, n=400):
    """Make rows with alpha, and, where the type knows such, values that are not finite.

    Returns rows, whether each takes part, scaled centres and factors.
    """
    span = (0, 100) if dtype[-2] == "u" else (-100, 100)
    rows = rng.integers(*span, (n, channels + 1)).astype(dtype)
    rows[:, -1] = rng.integers(0, 3, n)
    taken = rows[:, -1] != 0
    if dtype[-2] == "f":
        rows[:, :-1] /= 7
        strange = rng.integers(0, n, 60)
        rows[strange, rng.integers(0, channels, 60)] = rng.choice([np.nan, np.inf, -np.inf], 60)
        taken[strange] = False
    centers = rng.integers(*span, (k, channels)).astype(float)
    centers[k // 2] = centers[1]
    factors = rng.choice([1.0, 0.5, 1 / 3], channels)
    return rows, taken, centers * factors, factors


def expected_labels(rows, taken, centers, factors):
    values = np.where(taken[:, None], rows[:, :-1], 0)
    nearest, squares = reference.nearest_scaled(values, centers, factors)
    return np.where(taken, nearest + 1, 0), np.where(taken, squares, 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
@pytest.mark.parametrize("dtype", TYPES)
def test_labels_of_every_type(dtype, channels, way, rng):
    rows, taken, centers, factors = scene(rng, dtype, channels)
    rows.flags.writeable = False
    expected, _ = expected_labels(rows, taken, centers, factors)
    for kind in (np.uint8, np.uint16, np.int32):
        labels = np.full(len(rows), 99, kind)
        rowlabels.label_rows(rows, channels, centers, factors, 1, labels)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("channels", [2, 6])
def test_no_label_is_reserved_where_nothing_is_masked(channels, way, rng):
    rows, centers = rng.random((20_000, channels)), rng.random((30, channels))
    labels = np.empty(len(rows), np.uint8)
    rowlabels.label_rows(rows, channels, centers, np.ones(channels), 0, labels)
    expected, _ = reference.nearest_scaled(rows, centers, np.ones(channels))
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("channels", [1, 4, 6])
@pytest.mark.parametrize("dtype", ["u1", "i2", "<f4"])
def test_tallies_do_not_depend_on_the_order(dtype, channels, rng):
    rows, taken, centers, factors = scene(rng, dtype, channels, n=10_000)
    labels, squares = expected_labels(rows, taken, centers, factors)
    unit = 2.0**-16
    units = [int(np.floor(d / unit + 0.5)) for d in squares]
    for order in (np.arange(len(rows)), rng.permutation(len(rows))):
        counts = np.zeros(len(centers) + 1, np.int64)
        high, low = rowlabels.tally_rows(
            rows[order], channels, labels[order].astype(np.uint8), centers, factors, 1, unit, counts
        )
        assert (high << 20) + low == sum(units)
        np.testing.assert_array_equal(counts, np.bincount(labels, minlength=len(counts)))


def test_errors_of_any_size_are_summed_up():
    rows, labels = np.full((3, 1), 2.0**31), np.array([0, 1, 1], np.uint16)
    counts = np.zeros(2, np.int64)
    high, low = rowlabels.tally_rows(rows, 1, labels, np.zeros((1, 1)), np.ones(1), 1, 1.0, counts)
    assert (high << 20) + low == 2 * 2**62


def test_no_rows_are_no_error():
    rows = np.empty((0, 6), np.float32)
    counts = np.zeros(3, np.int64)
    labels = np.empty(0, np.uint8)
    rowlabels.label_rows(rows, 6, np.zeros((2, 6)), np.ones(6), 1, labels)
    assert rowlabels.tally_rows(rows, 6, labels, np.zeros((2, 6)), np.ones(6), 1, 1.0, counts) == (
        0,
        0,
    )


@pytest.mark.parametrize("extent", [0.0, 1e-170, 1e170])
@pytest.mark.parametrize("channels", [3, 6])
def test_centres_too_near_or_too_far_apart_for_lists(channels, extent, way, rng):
    """Their squared distances are 0, or infinite: then the lowest index is nearest."""
    rows, centers = rng.random((500, channels)) * extent, rng.random((20, channels)) * extent
    labels = np.empty(500, np.uint8)
    rowlabels.label_rows(rows, channels, centers, np.ones(channels), 0, labels)
    assert not labels.any()


def test_threads_wait_for_one_another_s_lists(rng, monkeypatch):
    made = []
    make = rowlabels.make_boxes
    monkeypatch.setattr(rowlabels, "make_boxes", lambda centers: made.append(1) or make(centers))
    rows, centers = rng.random((40_000, 4)), rng.random((50, 4))
    expected, _ = reference.nearest_scaled(rows, centers, np.ones(4))

    def label(_):
        labels = np.empty(len(rows), np.uint8)
        rowlabels.label_rows(rows, 4, centers, np.ones(4), 0, labels)
        return labels

    with ThreadPoolExecutor(4) as pool:
        for labels in pool.map(label, range(8)):
            np.testing.assert_array_equal(labels, expected)
    assert len(made) == 1
