"""Sweeps: a palette for each k from one pass; the error never rises; k chosen by knee or PSNR."""

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from counting import CountingArray
from hypothesis import given, settings
from strategies import chunked

import bigquant
from bigquant.cluster import running_on
from bigquant.errors import BigquantError, InputError, PaletteWarning


@settings(max_examples=15)
@given(chunked())
def test_the_error_never_rises_and_is_that_of_the_reference(pair):
    image, lazy = pair
    rows = reference.opaque_pixels(image)
    most = min(6, len(np.unique(rows, axis=0)))
    if not most:
        return
    with dask.config.set(scheduler="sync"):
        sweep = bigquant.sweep(lazy, range(1, most + 1))
        again = bigquant.sweep(da.from_array(image, chunks=-1), range(1, most + 1))
    assert (np.diff(sweep.inertia) <= 0).all()
    for palette, other in zip(sweep, again, strict=True):
        assert palette.as_json() == other.as_json()
        _, squares = reference.nearest(rows, palette.colors)
        assert palette.inertia == squares.sum()
        assert palette.n_pixels == len(rows)
    assert sweep.inertia[-1] == 0 or most < len(np.unique(rows, axis=0))
    np.testing.assert_array_equal(sweep.thumbnail, image)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_errors_are_those_of_scikit_learn_or_less(request, name):
    from sklearn.cluster import KMeans

    image = request.getfixturevalue(name)[::5, ::5]
    sweep = bigquant.sweep(image, (2, 5, 16))
    histogram = bigquant.color_histogram(image)
    for k, mse in zip(sweep.k, sweep.mse, strict=True):
        theirs = KMeans(k, n_init=10, random_state=0)
        theirs.fit(histogram.colors, sample_weight=histogram.counts)
        assert mse <= 1.01 * theirs.inertia_ / histogram.n_pixels


@pytest.mark.parametrize("where", ["sync", "processes", "a cluster"])
def test_results_are_the_same_bits_on_any_scheduler(china, where):
    expected, auto = bigquant.sweep(china, (2, 5, 9)), bigquant.quantize(china, "auto").palette
    context = running_on(workers=2) if where == "a cluster" else dask.config.set(scheduler=where)
    with context:
        lazy = da.from_array(china, chunks=(150, 200, 3))
        found = bigquant.sweep(lazy, (2, 5, 9))
        assert bigquant.quantize(lazy, "auto").palette.as_json() == auto.as_json()
    assert found.as_json() == expected.as_json()
    np.testing.assert_array_equal(found.thumbnail, expected.thumbnail)


def test_pixels_are_read_once(china):
    counting = CountingArray(china)
    lazy = da.from_array(counting, chunks=(200, 300, 3), inline_array=True)
    sweep = bigquant.sweep(lazy, range(2, 5))
    _ = sweep._repr_html_(), sweep.to_dataframe(), sweep.knee
    assert (counting.reads == 1).all()


def test_a_single_k_is_what_quantize_finds_with_as_many_restarts(china):
    alone = bigquant.quantize(china, 7, n_init=3).palette
    assert bigquant.sweep(china, [7])[7].centers.tobytes() == alone.centers.tobytes()


def test_the_difference_is_what_compare_tells(china):
    small = china[::8, ::8]
    sweep = bigquant.sweep(small, [3, 6])
    for palette, mean in zip(sweep, sweep.ciede2000_mean, strict=True):
        compared = bigquant.compare(small, palette.apply(small).image)
        assert mean == pytest.approx(compared.ciede2000_mean, abs=1e-3)


def test_of_very_many_colours_the_difference_is_near(china, monkeypatch):
    exact = bigquant.sweep(china, [4, 32]).ciede2000_mean
    monkeypatch.setattr("bigquant.fitting._DIFFERENCE_COLORS", 1 << 14)
    np.testing.assert_allclose(bigquant.sweep(china, [4, 32]).ciede2000_mean, exact, rtol=0.01)


def test_several_images_have_one_sweep(china, flower):
    both = bigquant.sweep([china, flower], [4, 8])
    beside = bigquant.sweep(np.concatenate([china, flower]), [4, 8])
    for palette, other in zip(both, beside, strict=True):
        np.testing.assert_array_equal(palette.centers, other.centers)


def test_kept_colours_are_in_every_palette(china):
    sweep = bigquant.sweep(china[::4, ::4], [2, 3, 6], keep=["#ff00ff", "white"])
    assert all({"#ff00ff", "#ffffff"} <= set(palette.hex) for palette in sweep)
    assert (np.diff(sweep.inertia) <= 0).all()


def test_rounding_never_raises_the_error(rng):
    """Centres of nearby grays round badly; then the palette before is kept, and one colour more."""
    image = np.round(128 + rng.normal(0, 3, (30, 30, 3))).astype(np.uint8)
    sweep = bigquant.sweep(image, range(1, 40))
    assert (np.diff(sweep.inertia) <= 0).all()


def test_it_ends_at_the_distinct_colours():
    image = np.array([[[0, 0, 0], [9, 9, 9], [255, 0, 0]]], np.uint8)
    with pytest.warns(PaletteWarning, match=r"k=3, not 8: the image has only 3 distinct colours"):
        sweep = bigquant.sweep(image, [2, 4, 8])
    assert sweep.k == (2, 3)
    assert sweep.psnr[-1] == np.inf
    assert sweep.as_json()["psnr"][-1] is None


def test_it_is_a_table_and_a_mapping(china):
    sweep = bigquant.sweep(china[::4, ::4], range(2, 9))
    frame = sweep.to_dataframe()
    assert frame.columns.tolist() == ["k", "colors", "inertia", "mse", "psnr", "ciede2000_mean"]
    assert frame.k.tolist() == list(sweep.k) == [palette.k for palette in sweep]
    np.testing.assert_array_equal(frame.mse, sweep.mse)
    assert sweep[5].k == 5
    assert repr(sweep) == f"<Sweep k=2 to 8, knee={sweep.knee}>"
    with pytest.raises(InputError, match=r"no palette of k=9: the sweep has 2 to 8"):
        sweep[9]


def test_the_knee_is_that_of_the_curve():
    from bigquant.metrics import find_knee

    assert find_knee(range(1, 11), [100 / k**2 for k in range(1, 11)]) in (2, 3)
    assert find_knee([2, 3, 4, 5, 6, 7], [100, 60, 20, 19, 18, 17]) == 4
    assert find_knee([2, 3], [5, 4]) is None


def test_auto_takes_the_knee(china):
    found = bigquant.quantize(china, "auto").palette
    sweep = bigquant.sweep(china, range(2, 33))
    assert found.k == sweep.knee
    assert found.hex == sweep[found.k].hex


def test_auto_takes_all_of_few_colours(rng):
    image = rng.choice(np.array([0, 80, 160, 240], np.uint8), (20, 20, 1))
    assert bigquant.quantize(image, "auto").palette.inertia == 0


def test_without_k_the_quality_alone_counts(flower):
    assert bigquant.quantize(flower[::4, ::4], quality=np.float32(35)).palette.k > 32
    with pytest.raises(InputError, match="quality=True: must be a PSNR"):
        bigquant.quantize(flower, quality=True)


@pytest.mark.parametrize("quality", [18.0, 24.9, 31.0])
def test_the_quality_is_reached_by_no_fewer_colours(china, quality):
    small = china[::3, ::3]
    found = bigquant.quantize(small, "auto", quality=quality).palette
    assert found.psnr >= quality
    assert bigquant.quantize(small, found.k - 1).palette.psnr < quality + 0.05


def test_a_quality_that_is_not_reached(china):
    with pytest.raises(BigquantError, match=r"^8 colours reach \d+\.\d\d dB, not 45: allow more"):
        bigquant.quantize(china[::4, ::4], 8, quality=45)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 5}, "k=5: a sweep takes several"),
        ({"k": []}, "an empty range of k"),
        ({"k": [0, 3]}, "k=0: must be a whole number from 1 to 65535"),
        ({"k": [2, 4], "keep": ["red", "blue", "white"]}, "k=2: must be at least 3"),
        ({"n_init": 0}, "n_init=0: must be 'auto' or at least 1"),
        ({"random_state": -1}, "random_state=-1: must be None or"),
    ],
)
def test_what_is_no_sweep(arguments, words):
    with pytest.raises(InputError, match=words):
        bigquant.sweep(np.zeros((3, 3, 3), np.uint8), **arguments)


def test_what_is_no_wish():
    image = np.zeros((3, 3, 3), np.uint8)
    with pytest.raises(InputError, match=r"quality=-3: must be a PSNR in dB, above 0"):
        bigquant.quantize(image, quality=-3)
    with pytest.raises(InputError, match=r"k='many': must be .* 1 to 65535 or 'auto'"):
        bigquant.quantize(image, "many")
    with pytest.raises(InputError, match=r"dask-ml's own fit chooses no k"):
        bigquant.quantize(image, "auto", algorithm="dask-ml")
