"""Every loop against NumPy's obvious ways, on inputs small enough for plain Python.

CI runs this file a second time with NUMBA_DISABLE_JIT=1: an index out of range, or a sum that
only wraps in machine code, shows there.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import reference

from bigquant import boxes, halving, kernels, nearest, painting, pruned, pyramid, rowlabels

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


# ---------------------------------------------------------------- counting and looking up


def empty_table(channels):
    n_codes = 256**channels
    low, high = np.zeros(n_codes, np.uint8), np.zeros(n_codes, np.uint32)
    return low, high, np.zeros(n_codes // 256, np.bool_)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 2] if not JIT else [1, 2, 3])
def test_counts_are_those_of_numpy_and_the_table_is_left_empty(channels, alpha, rng):
    pixels = rng.integers(0, 3, (7, 9, channels + alpha)).astype(np.uint8) * 100
    table = empty_table(channels)
    n = kernels.count_codes(pixels, channels, *table)
    colors, counts = np.empty((n + 1, channels), np.uint8), np.empty(n + 1, np.uint64)
    kernels.drain_table(table[0].view(np.uint64), *table, colors, counts)
    rows = pixels.reshape(-1, channels + alpha)
    if alpha:
        rows = rows[rows[:, -1] > 0, :-1]
    expected, times = reference.count(rows)
    np.testing.assert_array_equal(colors[:n], expected)
    np.testing.assert_array_equal(counts[:n], times)
    assert not any(part.any() for part in table)


def test_counts_beyond_a_byte():
    counts = np.array([1, 254, 255, 256, 509, 510, 511, 1000])
    pixels = np.repeat(np.arange(8, dtype=np.uint8), counts)[None, :, None]
    table = empty_table(1)
    n = kernels.count_codes(pixels, 1, *table)
    colors, found = np.empty((n + 1, 1), np.uint8), np.empty(n + 1, np.uint64)
    kernels.drain_table(table[0].view(np.uint64), *table, colors, found)
    np.testing.assert_array_equal(found[:n], counts)
    assert not any(part.any() for part in table)


@pytest.mark.parametrize(("first", "second"), [(20, 20), (0, 5), (5, 0), (1, 1)])
def test_merging_adds_the_counts_of_shared_colors(first, second, rng):
    a, n_a = reference.count(rng.integers(0, 3, (first, 3)).astype(np.uint8))
    b, n_b = reference.count(rng.integers(1, 4, (second, 3)).astype(np.uint8))
    colors, counts = np.empty((len(a) + len(b), 3), np.uint8), np.empty(len(a) + len(b), np.uint64)
    n = kernels.merge_sorted(a, n_a.astype(np.uint64), b, n_b.astype(np.uint64), colors, counts)
    rows = np.concatenate([np.repeat(a, n_a, axis=0), np.repeat(b, n_b, axis=0)])
    expected, times = reference.count(rows)
    np.testing.assert_array_equal(colors[:n], expected)
    np.testing.assert_array_equal(counts[:n], times)


def test_a_table_labels_pixels_and_alpha_0_is_label_0(rng):
    table = rng.integers(1, 9, 256).astype(np.uint8)
    pixels = rng.integers(0, 256, (6, 5, 2)).astype(np.uint8)
    pixels[2:4, :, 1] = 0
    labels = np.empty((6, 5), np.uint8)
    kernels.apply_table(pixels, 1, table, labels)
    np.testing.assert_array_equal(labels, np.where(pixels[..., 1] > 0, table[pixels[..., 0]], 0))


def test_labels_get_their_colors(rng):
    labels, table = rng.integers(0, 5, (4, 3)), rng.integers(0, 256, (5, 3)).astype(np.uint8)
    colors = np.empty((4, 3, 3), np.uint8)
    painting.fill_colors(labels, table, colors)
    np.testing.assert_array_equal(colors, table[labels])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_tallies_are_those_of_numpy(channels, reserved, dtype, rng):
    table = rng.integers(0, 256, (5, channels), dtype=np.uint8)
    pixels = rng.integers(0, 256, (7, 9, channels + reserved), dtype=np.uint8)
    pixels[0, 0, 0], table[4, 0] = 0, 255  # as far apart as can be
    labels = rng.integers(0, 5, (7, 9)).astype(dtype)
    labels[0, 0] = 4
    counts = np.zeros(5, np.int64)
    missed = kernels.tally(pixels, labels, table, reserved, counts)
    np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=5))
    squares = ((pixels[..., :channels].astype(int) - table[labels]) ** 2).sum(axis=2)
    assert missed == (squares[labels > 0] if reserved else squares).sum()


# ---------------------------------------------------------------- the nearest centre


def test_nearest_is_brute_forces_with_ties_to_the_lowest(rng):
    points, centers = (
        rng.integers(0, 4, (60, 3)).astype(float),
        rng.integers(0, 4, (9, 3)).astype(float),
    )
    labels, distances = np.empty(60, np.int32), np.empty(60)
    nearest.nearest_of_all(points, centers, labels, distances)
    expected, squares = reference.nearest(points, centers)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(distances, squares)


def test_cells_give_the_same_as_trying_every_center(rng):
    colors = rng.integers(0, 256, (60, 3)).astype(np.uint8)
    centers = rng.integers(0, 256, (4, 3)).astype(float)
    starts, ids = nearest.cell_candidates(centers)
    labels, distances = np.empty(60, np.int32), np.empty(60)
    nearest.nearest_in_cells(colors.astype(float), centers, starts, ids, labels, distances)
    expected, squares = reference.nearest(colors, centers)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(distances, squares)


def test_a_cube_keeps_every_center_that_is_nearest_to_one_of_its_points(rng):
    points = np.stack(np.meshgrid(*[np.arange(64, 72)] * 3), axis=3).reshape(-1, 3)
    sizes = []
    for _ in range(10):
        centers = np.rint(rng.normal(68, 9, (12, 3)))  # ties abound
        kept = np.empty(12, np.int32)
        everyone = np.arange(12).astype(np.int32)
        n = nearest.narrow(centers, everyone, 12, np.full(3, 64, np.uint8), 7, kept)
        differences = ((points[:, None] - centers[None]) ** 2).sum(axis=2)
        needed = (differences == differences.min(axis=1, keepdims=True)).any(axis=0)
        assert set(np.flatnonzero(needed)) <= set(kept[:n].tolist())
        assert (np.diff(kept[:n]) > 0).all()
        sizes.append(n)
    assert np.mean(sizes) < 10


@pytest.mark.parametrize("channels", [1, 2, 5, 6])
def test_rows_are_labelled_by_brute_force_s_nearest(channels, rng):
    rows = rng.integers(0, 9, (60, channels)).astype(np.uint16)
    centers = rng.integers(0, 9, (12, channels)).astype(float)
    expected, squares = reference.nearest(rows, centers)
    points, found = np.zeros((60, max(channels, 4))), np.empty(60, np.int32)
    points[:, :channels] = rows
    make = boxes.make_boxes if channels <= 4 else pruned.make_neighbours
    make(centers).find(points, np.ones(60, bool), found)
    np.testing.assert_array_equal(found, expected)
    common = channels, centers, np.ones(channels)
    labels, counts = np.empty(60, np.uint8), np.zeros(13, np.int64)
    rowlabels.label_rows(rows, *common, 1, labels)
    tally = rowlabels.tally_rows(rows, channels, labels, *common[1:], 1, 1.0, counts)
    assert tally == (0, squares.sum())
    np.testing.assert_array_equal(labels, expected + 1)


# ---------------------------------------------------------------- halves


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (5, 7), (8, 6)])
@pytest.mark.parametrize("nodata", [False, True])
def test_halves_are_brute_forces(nodata, shape, rng):
    labels = rng.integers(0, 3, shape).astype(np.uint16) * 30_000
    colors = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    valid = (labels > 0).astype(np.uint8)
    half = tuple(-(-side // 2) for side in shape)
    halved, means = np.empty(half, np.uint16), np.empty((*half, 3), np.uint8)
    pyramid.halve_labels(labels, nodata, halved)
    np.testing.assert_array_equal(halved, reference.halve_labels(labels, nodata))
    halving.halve_colors(colors, means)
    everywhere = np.ones(shape, bool)
    expected, _ = reference.halve_colors(colors, everywhere)
    np.testing.assert_array_equal(means, expected)
    still_valid = np.empty(half, np.uint8)
    halving.halve_valid_colors(colors, valid, means, still_valid)
    expected, remaining = reference.halve_colors(colors, valid > 0)
    np.testing.assert_array_equal(means, expected)
    np.testing.assert_array_equal(still_valid, remaining)


# ---------------------------------------------------------------- sums and seeds


def test_a_weighted_sum_is_numpys(rng):
    weights, values = rng.random(50), rng.random(50)
    np.testing.assert_allclose(kernels.weighted_sum(weights, values), weights @ values)


def test_accumulate_sums_points_and_weights(rng):
    points, weights = rng.random((50, 3)), rng.random(50)
    labels = rng.integers(0, 4, 50).astype(np.int32)
    sums, masses = np.full((5, 3), 9.0), np.full(5, 9.0)
    kernels.accumulate(points, weights, labels, sums, masses)
    for j in range(5):
        chosen = labels == j
        np.testing.assert_allclose(masses[j], weights[chosen].sum())
        np.testing.assert_allclose(sums[j], (weights[chosen, None] * points[chosen]).sum(axis=0))


def test_plus_plus_never_draws_a_point_without_weight(rng):
    points, weights = rng.random((30, 2)), np.zeros(30)
    weights[[3, 11, 20]] = 1.0
    chosen = np.empty(3, np.int64)
    kernels.plus_plus(points, weights, rng.random((3, 4)), points[:0], chosen)
    assert sorted(chosen) == [3, 11, 20]


@pytest.mark.parametrize("kept", [[], [[0.0]], [[0.0], [-70.0]]])
def test_plus_plus_draws_by_weight_times_squared_distance(kept):
    """From three points on a line, the second pick follows the law of the paper.

    So does the first one beside kept colours.
    """
    points, weights = np.array([[0.0], [1.0], [3.0]]), np.array([1e9, 2.0, 1.0])
    picks = []
    for draw in (np.arange(1000) + 0.5) / 1000:
        draws = [[draw]] if kept else [[0.0], [draw]]
        chosen = np.empty(len(draws), np.int64)
        kept_points = np.reshape(kept, (len(kept), 1))
        kernels.plus_plus(points, weights, np.array(draws), kept_points, chosen)
        picks.append(chosen[-1])
    shares = np.bincount(picks, minlength=3) / 1000
    np.testing.assert_allclose(shares, [0, 2 / 11, 9 / 11], atol=0.002)


@pytest.mark.parametrize("n_kept", [0, 2])
@pytest.mark.parametrize("n", [5, 8, 51])
def test_of_each_draw_s_trials_the_one_is_chosen_that_lowers_the_error_most(n, n_kept, rng):
    points, weights, draws = rng.random((n, 3)), rng.random(n), rng.random((5, 4))
    kept = rng.random((n_kept, 3))
    chosen = np.empty(5, np.int64)
    kernels.plus_plus(points, weights, draws, kept, chosen)
    closest = reference.nearest(points, kept)[1] if n_kept else np.ones(n)
    for step in range(5):
        shares = np.cumsum(weights * closest)
        n_trials = 4 if step or n_kept else 1
        picks = np.searchsorted(shares, draws[step, :n_trials] * shares[-1], side="right")
        apart = ((points[:, None] - points[picks]) ** 2).sum(axis=2)
        reduced = np.minimum(closest[:, None], apart) if step or n_kept else apart
        best = np.argmin(weights @ reduced)
        assert chosen[step] == picks[best]
        closest = reduced[:, best]


def test_the_worst_of_each_label_is_the_first_of_its_greatest(rng):
    labels, missed = rng.integers(0, 6, 40).astype(np.int32), rng.integers(0, 5, 40).astype(float)
    labels[labels == 3] = 4
    worst = np.empty(6, np.int64)
    kernels.worst_of_each(labels, missed, worst)
    expected = [np.argmax(np.where(labels == label, missed, -1)) for label in range(6)]
    assert worst.tolist() == expected


# ---------------------------------------------------------------- where machine code is kept

COUNT = """
import numpy as np
from bigquant import kernels
print(kernels.weighted_sum(np.ones(3), np.ones(3)))
"""


def run_python(code, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_no_folder_for_machine_code_is_no_error(tmp_path):
    """As in a container with a read-only root and no home; even root cannot write to /proc."""
    package = Path(kernels.__file__).parent
    frozen = tmp_path / "frozen.zip"
    with zipfile.ZipFile(frozen, "w") as archive:
        for source in package.glob("*.py"):
            archive.write(source, f"bigquant/{source.name}")
    where = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "PYTHONPATH": str(frozen)}
    assert run_python(COUNT, tmp_path, **where) == "3.0"
    outcome = run_python("import bigquant; print(bigquant.__file__)", tmp_path, **where)
    assert outcome.startswith(str(frozen))


def test_a_full_disk_for_machine_code_is_no_error(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    deaf = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    code = f"{limit}; {deaf}{COUNT}"
    assert run_python(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == "3.0"
