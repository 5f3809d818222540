"""Kept colours: in the palette as they are, and the others the best beside them."""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import images

import bigquant
from bigquant import KMeans, PaletteWarning, lloyd
from bigquant.cli import main
from bigquant.coarsening import levels_of
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.iteration import Fit
from bigquant.kept import read_colors
from bigquant.palette import Palette
from bigquant.pointsets import beside

KEEP = ["#ffffff", "#000000"]


def histogram_of(image):
    return ColorHistogram.create(image.shape[-1], image.dtype).add(image)


def distinct(rng, n, channels):
    """So many colours, all different."""
    return np.unique(rng.integers(0, 256, (2 * n, channels), dtype=np.uint8), axis=0)[:n]


# ---------------------------------------------------------------- the engine


@pytest.mark.parametrize("channels", [1, 3])
def test_the_path_beside_kept_colours_is_that_of_the_reference(channels, china, rng):
    rows = china[::8, ::8, :channels].reshape(-1, channels)
    kept = np.array([[255.0] * channels, [0] * channels])
    start = rows[rng.choice(len(rows), 4, replace=False)] + rng.normal(0, 0.3, (4, channels))
    found = lloyd.fit(histogram_of(rows[None]), 6, init=start, tol=0, keep=kept)
    expected = reference.lloyd(rows, np.vstack([kept, start]), 1e-12, n_kept=2)
    np.testing.assert_allclose(found.centers, expected, atol=1e-6)
    assert found.centers[:2].tobytes() == kept.tobytes()


def assert_settled(rows, found, kept, weights=None):
    """The centres are the means of what is nearest to them, and the error is that around them."""
    weights = np.ones(len(rows)) if weights is None else weights
    assert found.centers[: len(kept)].tobytes() == kept.tobytes()
    labels, squares = reference.nearest(rows, found.centers)
    np.testing.assert_allclose(found.inertia, weights @ squares, rtol=1e-9, atol=1e-9)
    for j in range(len(kept), len(found.centers)):
        own = labels == j
        mean = np.average(rows[own], axis=0, weights=weights[own])
        np.testing.assert_allclose(found.centers[j], mean, atol=1e-9)


@settings(max_examples=60)
@given(images(depths=(1, 3)), st.integers(1, 5), st.integers(0, 6), st.integers(0, 99))
def test_learned_centres_are_a_fixed_point(image, n_kept, n_learned, seed):
    rows = reference.opaque_pixels(image)
    kept = distinct(np.random.default_rng(seed), n_kept, image.shape[2]).astype(float)
    found = lloyd.fit(histogram_of(image), len(kept) + n_learned, tol=0, seed=seed, keep=kept)
    other = {tuple(row) for row in rows.tolist()} - {tuple(row) for row in kept.tolist()}
    assert len(found.centers) == len(kept) + min(n_learned, len(other))
    if n_learned >= len(other):
        assert found.inertia == 0
    else:
        assert_settled(rows, found, kept)


def test_points_of_any_type_and_width_have_kept_ones_beside_them(rng):
    rows, weights = rng.normal(size=(300, 5)), rng.random(300)
    kept = np.array([[0.0] * 5, [9.0] * 5])
    found = lloyd.fit(ColorHistogram(rows, weights), 6, tol=0, keep=kept)
    assert_settled(rows, found, kept, weights)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_the_error_is_around_the_kept_colours_themselves(dtype, china):
    """Not around the means of their pixels: it decides between runs."""
    image = china[::8, ::8].astype(np.float64) / (1 if dtype == np.uint8 else 3)
    colors, counts = reference.count(image.astype(dtype).reshape(-1, 3))
    kept, centers = np.array([[255.0] * 3, [0] * 3]), np.array([[90.5, 80, 70], [20, 50, 60.25]])
    labels, squares = reference.nearest(colors, np.vstack([kept, centers]))
    expected = counts @ np.where(labels < 2, squares, 0)
    for j in (2, 3):
        own, times = colors[labels == j], counts[labels == j]
        mean = np.average(own, axis=0, weights=times)
        expected += times @ ((own - mean) ** 2).sum(axis=1)
    everything = levels_of(ColorHistogram(colors, counts.astype(np.uint64)))[-1]
    assert beside(everything, kept).gather(centers).inertia == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_kept", [1, 3])
def test_centres_leave_kept_colours_for_where_they_help_most(n_kept, rng):
    """Every blob gets its centre, from starts at random, except those that have kept ones."""
    blobs = np.stack(np.meshgrid([40, 120, 200], [60, 180], [60, 180]), axis=-1).reshape(-1, 3)
    points = np.repeat(blobs, 30, axis=0) + rng.integers(-2, 3, (360, 3))
    kept = blobs[:n_kept].astype(float)
    for seed in range(5):
        fit = lloyd.fit(
            ColorHistogram(points, np.ones(360)), 12, init="random", n_init=1, seed=seed, keep=kept
        )
        apart = np.abs(fit.centers[:, None] - blobs[None]).max(axis=2)
        assert (apart.min(axis=0) < 3).all()


def test_a_centre_beside_a_kept_colour_leaves_it_what_it_has(rng):
    """It helps more where two small blobs share one, though no two centres would merge for it."""
    blobs = np.array([[20, 20, 20], [200, 240, 200], [240, 200, 240]])
    points = np.repeat(blobs, [300, 5, 5], axis=0) + rng.integers(-2, 3, (310, 3))
    kept, start = blobs[:1].astype(float), np.array([[21.0, 21, 21], [220, 220, 220]])
    histogram = ColorHistogram(points, np.ones(310))
    search = lloyd.Search.plan(histogram, 3, "k-means++", 1, 300, 1e-4, 0, kept)
    (found,) = search.improve([Fit(start, np.inf, 0)], 0, 1)
    apart = np.abs(found.centers[:, None] - blobs[None, 1:]).max(axis=2)
    assert (apart.min(axis=0) < 4).all()


OTHERS = [["#4060a0"], ["#808080", "#707070", "#ff00ff"]]


@pytest.mark.parametrize("name", ["china", "flower"])
@pytest.mark.parametrize("k", [4, 8, 32])
@pytest.mark.parametrize("keep", [KEEP, *OTHERS])
def test_the_error_is_at_most_that_of_colours_added_afterwards(request, name, k, keep):
    """Added afterwards, they take their pixels from centres that were fitted to these, too.

    Where they take hardly any, it is the same task, and luck tells two searches apart.
    """
    image = request.getfixturevalue(name)[::4, ::4]
    colors, counts = reference.count(image.reshape(-1, 3))
    kept = read_colors(keep).astype(float)
    learned = lloyd.fit(histogram_of(image), k - len(keep)).centers
    _, squares = reference.nearest(colors, np.vstack([kept, learned]))
    added = counts @ squares
    found = lloyd.fit(histogram_of(image), k, keep=kept).inertia
    assert found <= added * (1.0001 if k < 32 else 1.01)
    improved = lloyd.fit(histogram_of(image), k, init=learned, keep=kept).inertia
    assert improved <= added


def test_colours_that_take_many_pixels_change_the_others_for_the_better(china):
    """What no search that leaves them out can find."""
    kept = read_colors(KEEP).astype(float)
    histogram = histogram_of(china[::4, ::4])
    colors, counts = histogram.colors, histogram.counts
    for k, part in ((4, 0.8), (8, 0.96)):
        learned = lloyd.fit(histogram, k - 2).centers
        _, squares = reference.nearest(colors, np.vstack([kept, learned]))
        assert lloyd.fit(histogram, k, keep=kept).inertia < part * (counts @ squares)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_keeping_what_is_found_anyway_changes_little(request, name):
    image = request.getfixturevalue(name)[::2, ::2]
    free = bigquant.quantize(image, 12)
    kept = bigquant.quantize(image, 12, keep=free.palette.colors[2:7])
    assert kept.palette.mse == pytest.approx(free.palette.mse, rel=0.01)


# ---------------------------------------------------------------- the same bits


@pytest.fixture(scope="module")
def expected(china):
    return bigquant.quantize(china, 12, keep=KEEP)


def assert_same(result, expected):
    assert result.palette.as_json() == expected.palette.as_json()
    np.testing.assert_array_equal(result.labels.compute(), expected.labels.compute())


@pytest.mark.parametrize("chunks", [(427, 640, 3), (64, 64, 1), ((1, 400, 26), (300, 340), 3)])
def test_results_are_the_same_bits_for_any_chunks(china, expected, chunks):
    assert set(KEEP) < set(expected.palette.hex)
    lazy = da.from_array(china, chunks=chunks)
    assert_same(bigquant.quantize(lazy, 12, keep=KEEP), expected)


def test_results_are_the_same_bits_without_threads(china, expected):
    with dask.config.set(scheduler="sync"):
        result = bigquant.quantize(da.from_array(china, chunks=(150, 200, 3)), 12, keep=KEEP)
        assert_same(result, expected)


def test_results_are_the_same_bits_on_a_cluster(china, expected):
    from bigquant.cluster import running_on

    with running_on(workers=2):
        result = bigquant.quantize(da.from_array(china, chunks=(150, 200, 3)), 12, keep=KEEP)
        assert_same(result, expected)


def test_kept_colours_are_the_first_centres_of_the_estimator(china):
    histogram = histogram_of(china[::4, ::4])
    model = KMeans(5, random_state=0).fit_histogram(histogram, np.array([[255.0] * 3]))
    assert model.cluster_centers_[0].tolist() == [255, 255, 255]
    assert len(model.cluster_centers_) == 5


# ---------------------------------------------------------------- palettes


@settings(max_examples=40)
@given(images(side=20), st.integers(1, 4), st.integers(0, 5), st.integers(0, 99))
def test_kept_colours_are_in_the_palette_exactly(image, n_kept, more, seed):
    if not len(reference.opaque_pixels(image)):
        return
    channels = image.shape[2] - (image.shape[2] in (2, 4))
    keep = distinct(np.random.default_rng(seed), n_kept, channels)
    with dask.config.set(scheduler="sync"), warnings.catch_warnings():
        warnings.simplefilter("ignore", PaletteWarning)
        result = bigquant.quantize(image, len(keep) + more, keep=keep)
        labels = result.labels.compute()
    palette = result.palette
    assert {tuple(c) for c in keep.tolist()} <= {tuple(c) for c in palette.colors.tolist()}
    is_kept = (palette.colors[:, None] == keep[None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(palette.centers[is_kept], palette.colors[is_kept])
    np.testing.assert_array_equal(
        labels, reference.labels(image, palette.colors, palette.first_label)
    )
    assert palette.n_pixels == len(reference.opaque_pixels(image))


def test_k_kept_colours_are_the_palette(china):
    keep = ["#ffffff", "#800000", "#123456"]
    result = bigquant.quantize(china, 3, keep=keep)
    assert sorted(result.palette.hex) == sorted(keep)
    assert result.palette.mse == reference.mse(china, np.asarray(result))


def test_kept_colours_stay_where_no_pixel_has_them():
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = 200
    full = bigquant.quantize(image, 3, keep=["#ff00ff"])
    assert full.palette.hex == ["#000000", "#c8c8c8", "#ff00ff"]
    assert full.palette.counts.tolist() == [12, 4, 0]
    with pytest.warns(PaletteWarning, match=r"k=3, not 9: .* only 2 distinct colours"):
        assert bigquant.quantize(image, 9, keep=["#ff00ff"]).palette.k == 3
    with pytest.warns(PaletteWarning, match=r"k=2, not 3: .* only 2 distinct colours"):
        assert bigquant.quantize(image, 3, keep=["black"]).palette.k == 2


def test_the_palette_tells_what_was_kept(china, tmp_path):
    palette = bigquant.quantize(china[::8, ::8, 0], 4, keep="white, #777").palette
    assert palette.fit["keep"] == ["#ffffff", "#777777"]
    palette.save(tmp_path / "p.json")
    assert Palette.load(tmp_path / "p.json").fit == palette.fit
    assert "keep" not in bigquant.quantize(china[::8, ::8], 4).palette.fit


def test_the_command_keeps_colours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "photo.tif", "-q"]) == 0
    words = ["fit", "photo.tif", "-k", "6", "--keep", "#fff,#102030", "-o", "out.zarr", "-q"]
    assert main(words) == 0
    palette = Palette.load("out.zarr.palette.json")
    assert {"#ffffff", "#102030"} < set(palette.hex)
    assert palette.fit["keep"] == ["#ffffff", "#102030"]


# ---------------------------------------------------------------- how they are written


@pytest.mark.parametrize(
    "keep",
    [
        "#ff0000,#FFF",
        "red, white",
        ["#f00", "#ffffff"],
        np.array(["#f00", "white"]),
        [(255, 0, 0), (255, 255, 255)],
        np.array([[255, 0, 0], [255, 255, 255]], np.uint8),
        np.array([[255.0, 0, 0], [255, 255, 255]]),
    ],
)
def test_colours_are_hex_names_or_numbers(keep):
    assert read_colors(keep).tolist() == [[255, 0, 0], [255, 255, 255]]
    assert read_colors(keep).dtype == np.uint8


def test_grays_are_one_number_or_three():
    assert read_colors([[7], [9]]).tolist() == [[7, 7, 7], [9, 9, 9]]
    assert read_colors([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("", "'' is no opaque colour"),
        ("#12345", "'#12345' is no opaque colour"),
        ("#ffffff80", "'#ffffff80' is no opaque colour"),
        (["whitish"], "'whitish' is no opaque colour"),
        ("rgb(300,0,0)", "no opaque colour"),
        (["rgb(300,0,0)"], r"\[300, 0, 0\] cannot be kept"),
        ([(0, 0, 256)], r"\[0, 0, 256\] cannot be kept"),
        ([(0, -1, 0)], "0 to 255"),
        ([(0, 0.5, 0)], "whole numbers"),
        ([(0, np.nan, 0)], "whole numbers"),
        ([(1, 2, 3), (1, 2, 3)], "#010203 is to be kept 2 times"),
        ("white,#fff", "#ffffff is to be kept 2 times"),
        ([(1, 2)], r"shape \(1, 2\)"),
        ([(1, 2, 3), (1, 2)], "give a list"),
        (["red", None], "give a list"),
        ((1, 2, 3), r"shape \(3,\)"),
        (5, "give a list"),
        ([(True, False, True)], "type bool"),
    ],
)
def test_what_is_no_colour_is_refused_in_one_line(keep, words, china):
    with pytest.raises(InputError, match=words) as error:
        bigquant.quantize(china, 8, keep=keep)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 1, "keep": KEEP}, "k=1: must be at least 2"),
        ({"keep": KEEP, "algorithm": "dask-ml"}, "dask-ml's own fit keeps no colours"),
        ({"keep": ["#808080", "#800000"]}, "#800000 cannot be kept: the image is gray"),
    ],
)
def test_what_a_palette_cannot_keep_is_refused_before_work(options, words, china):
    def refuse(block):
        raise AssertionError("a pixel was read")

    lazy = da.from_array(china[..., 0], chunks=100).map_blocks(refuse, meta=np.empty((0, 0), "u1"))
    with pytest.raises(InputError, match=words) as error:
        bigquant.quantize(lazy, **options)
    assert "\n" not in str(error.value)
