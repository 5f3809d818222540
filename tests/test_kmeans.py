"""The estimator: dask-ml's names, scikit-learn's meaning, the engine's numbers."""

import dask
import dask.array as da
import dask.dataframe as dd
import dask_ml.cluster
import numpy as np
import pandas as pd
import pytest
import reference
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from bigquant import KMeans, lloyd
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError


@pytest.fixture(scope="module")
def pixels(china):
    return china[::6, ::6].reshape(-1, 3)


def test_it_is_dask_mls_estimator_with_the_same_parameters():
    model, upstream = KMeans(), dask_ml.cluster.KMeans()
    assert isinstance(model, dask_ml.cluster.KMeans)
    ours, theirs = model.get_params(), upstream.get_params()
    assert ours.pop("algorithm") == "auto"
    assert theirs.pop("algorithm") == "full"
    assert ours == theirs


def test_it_clones_and_sets_parameters():
    start = np.eye(3)
    copy = clone(KMeans(3, init=start, tol=1e-3, algorithm="histogram"))
    assert copy.get_params()["n_clusters"] == 3
    np.testing.assert_array_equal(copy.init, start)
    assert copy.set_params(n_clusters=5).n_clusters == 5


def test_fitted_attributes_mean_what_they_mean_in_scikit_learn(pixels):
    model = KMeans(5, random_state=0).fit(da.from_array(pixels, chunks=(1000, 3)))
    labels, squares = reference.nearest(pixels, model.cluster_centers_)
    assert model.cluster_centers_.shape == (5, 3)
    assert model.cluster_centers_.dtype == np.float64
    assert isinstance(model.labels_, da.Array)
    np.testing.assert_array_equal(model.labels_.compute(), labels)
    assert model.inertia_ == pytest.approx(squares.sum())
    assert model.n_features_in_ == 3
    assert model.n_iter_ >= 1


def inputs(pixels):
    frame = pd.DataFrame(pixels, columns=list("rgb"))
    return {
        "ndarray": pixels,
        "list": pixels.tolist(),
        "dask": da.from_array(pixels, chunks=(777, 2)),
        "pandas": frame,
        "dask dataframe": dd.from_pandas(frame, npartitions=3),
    }


@pytest.mark.parametrize("kind", ["ndarray", "list", "dask", "pandas", "dask dataframe"])
def test_every_input_gives_the_same_centres(pixels, kind):
    data = inputs(pixels)[kind]
    expected = KMeans(4, random_state=1).fit(pixels).cluster_centers_
    model = KMeans(4, random_state=1).fit(data)
    np.testing.assert_allclose(model.cluster_centers_, expected, rtol=1e-12)


def test_it_works_in_a_pipeline_on_floats(pixels):
    pipeline = make_pipeline(StandardScaler(), KMeans(4, random_state=0))
    labels = pipeline.fit(pixels).predict(pixels)
    scaled = StandardScaler().fit_transform(pixels)
    expected, squares = reference.nearest(scaled, pipeline[-1].cluster_centers_)
    np.testing.assert_array_equal(np.asarray(labels), expected)
    assert pipeline[-1].inertia_ == pytest.approx(squares.sum())


def test_transform_gives_distances(pixels):
    model = KMeans(3, random_state=0).fit(pixels)
    distances = model.transform(pixels).compute()
    differences = pixels[:, None, :].astype(float) - model.cluster_centers_[None]
    np.testing.assert_allclose(distances, np.sqrt((differences**2).sum(axis=2)), atol=1e-4)


def test_both_algorithms_agree_from_the_same_start(pixels, rng):
    start = pixels[rng.choice(len(pixels), 8, replace=False)] + rng.normal(0, 0.3, (8, 3))
    settings = {"init": start, "tol": 1e-9, "max_iter": 1000}
    ours = KMeans(8, algorithm="histogram", **settings).fit(pixels)
    theirs = KMeans(8, algorithm="dask-ml", **settings).fit(pixels)
    _, squares = reference.nearest(pixels, theirs.cluster_centers_)
    assert theirs.inertia_ == pytest.approx(squares.sum())
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-4)


@pytest.mark.parametrize("k", [4, 8])
def test_the_default_is_never_worse_than_upstreams(pixels, k):
    ours = KMeans(k, random_state=0).fit(pixels)
    theirs = KMeans(k, algorithm="dask-ml", random_state=0).fit(pixels)
    assert ours.inertia_ <= theirs.inertia_


def test_weights_count_like_repetitions(rng):
    rows = rng.integers(0, 256, (60, 3), dtype=np.uint8)
    times = rng.integers(1, 5, 60)
    weighted = KMeans(4, random_state=0).fit(rows, sample_weight=times)
    repeated = KMeans(4, random_state=0).fit(np.repeat(rows, times, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)


def test_data_is_read_once_by_fit(pixels):
    reads = []

    def note(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(pixels, chunks=(1000, 3)).map_blocks(
        note, dtype=np.uint8, meta=np.empty((0, 3), np.uint8)
    )
    KMeans(4, random_state=0).fit(lazy)
    assert sum(reads) == len(pixels)


@pytest.mark.parametrize("init", ["k-means||", "k-means++", "random"])
def test_starts_by_name(pixels, init):
    model = KMeans(4, init=init, random_state=np.random.RandomState(3)).fit(pixels)
    assert model.cluster_centers_.shape == (4, 3)


@pytest.mark.parametrize(("k", "n_init"), [(5, "auto"), (32, "auto"), (32, 1), (9, 20), (128, 3)])
def test_runs_side_by_side_give_the_bits_of_runs_in_turn(pixels, k, n_init):
    histogram = ColorHistogram.create(3, np.uint8).add(pixels)
    seed = check_random_state(7).randint(2**31 - 1)
    expected = lloyd.fit(histogram, k, n_init=None if n_init == "auto" else n_init, seed=seed)
    for scheduler in ("sync", "threads"):
        with dask.config.set(scheduler=scheduler):
            found = KMeans(k, n_init=n_init, random_state=7).fit_histogram(histogram)
        assert found.cluster_centers_.tobytes() == expected.centers.tobytes()
        assert (found.inertia_, found.n_iter_) == (expected.inertia, expected.n_iter)


def test_fewer_distinct_rows_than_clusters_are_said_so():
    rows = np.array([[0, 0], [9, 9], [9, 9]], np.uint8)
    with pytest.warns(ConvergenceWarning, match="fewer distinct rows: 2"):
        model = KMeans(5).fit(rows)
    assert len(model.cluster_centers_) == 2
    assert model.inertia_ == 0
    with pytest.warns(ConvergenceWarning):
        KMeans(3, init=np.zeros((3, 2))).fit(rows)


def test_ties_go_to_the_lowest_index():
    model = KMeans(2, init=np.array([[0.0], [4.0]]), max_iter=1).fit(np.array([[0.0], [4.0]]))
    assert model.predict(np.array([[2.0]])).compute().tolist() == [0]


@pytest.mark.parametrize(
    ("parameters", "data", "reason"),
    [
        ({"n_clusters": 0}, np.ones((3, 2)), "n_clusters=0"),
        ({"algorithm": "elkan"}, np.ones((3, 2)), "algorithm='elkan'"),
        ({"init": "k-medoids"}, np.ones((3, 2)), "init='k-medoids'"),
        ({"init": np.ones((2, 2))}, np.ones((3, 2)), "gives no 8 starting centres"),
        ({"init": np.ones((8, 3))}, np.arange(40.0).reshape(20, 2), "the data 2"),
        ({"n_init": 0}, np.ones((3, 2)), "n_init=0"),
        ({"algorithm": "dask-ml", "init": "k-means++"}, np.ones((3, 2)), "dask-ml"),
        ({}, np.ones(3), "no matrix"),
        ({}, np.ones((0, 3)), "0 sample"),
        ({}, np.array([[np.nan, 1]]), "NaN"),
        ({}, np.array([["a", "b"]]), "not real numbers"),
    ],
)
def test_bad_parameters_and_data_are_one_clear_line(parameters, data, reason):
    with pytest.raises(InputError, match=reason) as error:
        KMeans(**parameters).fit(data)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ValueError)


def test_weights_must_fit():
    with pytest.raises(InputError, match="sample_weight"):
        KMeans(2).fit(np.ones((3, 2)), sample_weight=[1, 2])
    with pytest.raises(InputError, match="sample_weight"):
        KMeans(2, algorithm="dask-ml").fit(np.ones((3, 2)), sample_weight=[1, 2, 3])


def test_predicting_before_fitting_is_scikit_learns_error():
    with pytest.raises(NotFittedError):
        KMeans().predict(np.ones((3, 2)))


def test_prediction_is_lazy_and_the_same_for_any_chunks(pixels):
    model = KMeans(6, random_state=0).fit(pixels)
    with dask.config.set(scheduler="sync"):
        whole = model.predict(pixels).compute()
        parts = model.predict(da.from_array(pixels, chunks=(123, 1))).compute()
    np.testing.assert_array_equal(whole, parts)
    assert whole.dtype == np.int32


# ---------------------------------------------------------------- what users hand in


@pytest.mark.parametrize("dtype", [">u2", ">f8", np.float16, np.longdouble, np.int8])
def test_any_real_type_is_fitted_as_its_values_are(dtype, rng):
    rows = rng.integers(0, 100, (300, 3))
    model = KMeans(4, random_state=0).fit(rows.astype(dtype))
    plain = KMeans(4, random_state=0).fit(rows.astype(np.float64))
    np.testing.assert_allclose(model.cluster_centers_, plain.cluster_centers_)
    np.testing.assert_array_equal(model.predict(rows.astype(dtype)), plain.predict(rows))


def test_weights_may_be_a_list_or_a_series_and_rows_of_weight_0_do_not_count(rng):
    rows = rng.integers(0, 100, (60, 2))
    weights = rng.integers(0, 2, 60)
    expected = KMeans(3, random_state=0).fit(rows[weights > 0]).cluster_centers_
    for given in (list(weights), pd.Series(weights), da.from_array(weights, chunks=7)):
        model = KMeans(3, random_state=0).fit(rows, sample_weight=given)
        np.testing.assert_array_equal(model.cluster_centers_, expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m, x: m.fit(x, sample_weight=np.zeros(len(x))), "no row has a weight above 0"),
        (lambda m, x: m.fit(x[:0]), "0 sample"),
        (lambda m, x: m.fit(x).predict(x[:, :2]), "data of 2 features: the model was fitted to 3"),
        (lambda m, x: m.fit(x).transform(x[:, :2]), "data of 2 features"),
        (lambda m, x: m.set_params(init=np.full((3, 3), np.nan)).fit(x), "init contains NaN"),
        (lambda m, x: m.set_params(init=np.ones((3, 2))).fit(x), "init has 2 features, the data 3"),
        (lambda m, x: m.set_params(algorithm="dask-ml").fit(x[:2]), "has only 2 rows"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(make, words, rng):
    with pytest.raises(InputError, match=words):
        make(KMeans(3, random_state=0), rng.integers(0, 100, (30, 3)))
