"""`quantize`: the same bits for any chunks and scheduler, and no pixel read twice."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import reference
from counting import CountingArray, lazily
from hypothesis import given, settings
from strategies import chunked, images

import bigquant
from bigquant import PaletteWarning
from bigquant.errors import InputError

CHUNKS = [(427, 640, 3), (100, 640, 3), (64, 64, 1), ((1, 400, 26), (300, 340), 3), (427, 7, 2)]


@pytest.fixture(scope="module")
def expected(china):
    return bigquant.quantize(china, 12)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_results_are_the_same_bits_for_any_chunks(china, expected, chunks):
    result = bigquant.quantize(da.from_array(china, chunks=chunks), 12)
    assert result.palette.centers.tobytes() == expected.palette.centers.tobytes()
    assert result.palette.as_json() == expected.palette.as_json()
    np.testing.assert_array_equal(result.labels.compute(), expected.labels.compute())


@pytest.mark.parametrize("scheduler", ["threads", "sync", "processes"])
def test_results_are_the_same_bits_for_any_scheduler(china, expected, scheduler):
    with dask.config.set(scheduler=scheduler):
        result = bigquant.quantize(da.from_array(china, chunks=(150, 200, 3)), 12)
        labels = result.labels.compute()
    assert result.palette.as_json() == expected.palette.as_json()
    np.testing.assert_array_equal(labels, expected.labels.compute())


def test_results_are_the_same_bits_on_a_cluster(china, expected):
    from bigquant.cluster import running_on

    with running_on(workers=2):
        result = bigquant.quantize(da.from_array(china, chunks=(150, 200, 3)), 12)
        labels = result.labels.compute()
    assert result.palette.as_json() == expected.palette.as_json()
    np.testing.assert_array_equal(labels, expected.labels.compute())


@settings(max_examples=15)
@given(chunked(side=20))
def test_the_image_in_its_palette_is_the_reference_s(pair):
    image, lazy = pair
    if not len(reference.opaque_pixels(image)):
        return
    k = min(5, len(np.unique(reference.opaque_pixels(image), axis=0)))
    with dask.config.set(scheduler="sync"):
        result = bigquant.quantize(lazy, k)
        labels, painted = dask.compute(result.labels, result.image)
    palette = result.palette
    np.testing.assert_array_equal(
        labels, reference.labels(image, palette.colors, palette.first_label)
    )
    assert palette.mse == reference.mse(image, painted)
    assert palette.n_pixels == len(reference.opaque_pixels(image))


@pytest.mark.parametrize("algorithm", ["auto", "histogram"])
def test_every_pixel_is_read_once_before_the_labels(china, algorithm):
    counting = CountingArray(china)
    result = bigquant.quantize(lazily(counting), 8, algorithm=algorithm)
    assert (counting.reads == 1).all()
    _ = result.labels, result.image, repr(result), result._repr_html_()
    assert (counting.reads == 1).all()
    result.labels.compute()
    assert (counting.reads == 2).all()


def test_writing_reads_every_pixel_once_more(china, tmp_path):
    counting = CountingArray(china)
    result = bigquant.quantize(lazily(counting), 8)
    result.to_zarr(tmp_path / "out.zarr")
    assert (counting.reads == 2).all()
    result.to_tiff(tmp_path / "out.tif")
    assert (counting.reads == 3).all()


@pytest.mark.parametrize("name", ["china", "flower"])
@pytest.mark.parametrize("k", [8, 32, 256])
def test_the_error_is_at_most_that_of_scikit_learn(request, name, k):
    """All pixels, ten restarts; on part of the photo, so that the test is quick."""
    from sklearn.cluster import KMeans

    step = 4 if k == 256 else 2
    image = request.getfixturevalue(name)[::step, ::step]
    result = bigquant.quantize(image, k)
    rows = image.reshape(-1, 3)
    colors, counts = reference.count(rows)
    theirs = KMeans(k, n_init=10, random_state=0).fit(colors, sample_weight=counts)
    rounded = np.rint(theirs.cluster_centers_)
    _, squares = reference.nearest(colors, rounded)
    assert result.palette.mse == reference.mse(image, np.asarray(result))
    assert result.palette.mse <= 1.01 * (counts @ squares) / len(rows)


@pytest.mark.parametrize(("depth", "first_label"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_alpha_reserves_label_zero(rng, depth, first_label):
    image = rng.integers(1, 256, (20, 30, depth), dtype=np.uint8)
    if first_label:
        image[:5, :, -1] = 0
        image[:5, :, 0] = 255
    result = bigquant.quantize(image, 3)
    labels = result.labels.compute()
    assert result.palette.first_label == first_label
    assert (labels[:5] == 0).all() == bool(first_label)
    assert labels[5:].min() >= first_label
    if first_label:
        assert (result.image.compute()[:5] == 0).all()


def test_gray_images_have_two_axes_or_three(china):
    gray = china[..., 1]
    flat, deep = bigquant.quantize(gray, 4), bigquant.quantize(gray[..., None], 4)
    assert flat.palette.as_json() == deep.palette.as_json()
    assert np.asarray(flat).shape == (*gray.shape, 1)


def test_channels_may_come_first(china):
    result = bigquant.quantize(np.moveaxis(china, 2, 0), 4, channel_axis=0)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(bigquant.quantize(china, 4)))


def test_fewer_colours_than_k_are_used_and_said_so():
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = 200
    with pytest.warns(PaletteWarning, match=r"k=2, not 32: .* only 2 distinct"):
        result = bigquant.quantize(image)
    assert result.palette.mse == 0
    np.testing.assert_array_equal(np.asarray(result), image)


def test_the_result_is_a_dask_collection(china):
    result = bigquant.quantize(da.from_array(china, chunks=200), 5)
    assert dask.is_dask_collection(result)
    image = result.compute()
    assert isinstance(image, np.ndarray)
    np.testing.assert_array_equal(image, np.asarray(result))
    (again,) = dask.compute(result)
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(result.persist().compute(), image)
    assert len(pickle.dumps(result.labels.blocks[0, 0])) > 0


def test_dask_mls_own_fit_is_reached(china):
    image = china[::8, ::8]
    own = bigquant.quantize(image, 4, algorithm="dask-ml")
    default = bigquant.quantize(image, 4)
    assert own.palette.fit["algorithm"] == "dask-ml"
    assert default.palette.mse <= own.palette.mse * 1.001


def test_dask_mls_own_fit_leaves_transparent_pixels_out(china):
    image = np.concatenate([china[::8, ::16], np.full((54, 40, 1), 255, np.uint8)], axis=2)
    image[:20, :, 3] = 0
    image[:20, :, :3] = [255, 0, 255]
    result = bigquant.quantize(da.from_array(image, chunks=(54, 40, 4)), 3, algorithm="dask-ml")
    assert result.palette.n_pixels == 34 * 40
    assert not ((result.palette.colors[:, 0] > 200) & (result.palette.colors[:, 1] < 60)).any()


def test_dask_mls_own_fit_leaves_pixels_out_that_are_no_numbers(rng):
    image = rng.normal(0, 1, (60, 80, 3)).astype(np.float32)
    image[:20, :, 1] = np.nan
    lazy = da.from_array(image, chunks=(25, 40, 3))
    own = bigquant.quantize(lazy, 4, algorithm="dask-ml")
    default = bigquant.quantize(lazy, 4)
    assert (own.labels[:20] == 0).all().compute()
    assert own.measure().n_pixels == 40 * 80
    assert own.measure().mse == pytest.approx(default.measure().mse, 0.05)


@pytest.mark.parametrize("k", [0, -1, 65536, 2.5, True, "8"])
def test_k_out_of_range_is_refused(china, k):
    with pytest.raises(InputError, match="1 to 65535"):
        bigquant.quantize(china, k)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 4, 4), np.uint8), "transparent"),
        (np.zeros((4, 4, 3), complex), "complex128"),
        (np.zeros((4, 4, 3), np.longdouble), "up to 64 bits"),
        (np.zeros((4, 4, 7), np.uint8), "channels first, or 7 bands"),
        (np.zeros((4, 0, 3), np.uint8), "no image"),
        (np.zeros(4, np.uint8), "no image"),
        ("photo.tif", "open_image"),
    ],
)
def test_what_is_no_image_is_refused(image, reason):
    with pytest.raises(InputError, match=reason) as error:
        bigquant.quantize(image)
    assert "\n" not in str(error.value)


@given(images(depths=(3,), side=8))
@settings(max_examples=5)
def test_the_seed_changes_nothing_but_the_start(image):
    with dask.config.set(scheduler="sync"):
        colors = len(np.unique(image.reshape(-1, 3), axis=0))
        result = bigquant.quantize(image, colors, random_state=None)
    assert result.palette.mse == 0
