"""The estimator's ways: distinct rows, bins, and passes over the rows; and what each costs."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import reference
from sklearn.cluster import KMeans as InMemory

from bigquant import KMeans, kmeans
from bigquant.errors import InputError


@pytest.fixture
def many(monkeypatch):
    """Take a few thousand rows for many."""
    monkeypatch.setattr(kmeans, "_FEW_ROWS", 1000)


def scene(rng, features, dtype, n=6000):
    spots = rng.uniform(20, 230, (9, features))
    return (spots[rng.integers(0, 9, n)] + rng.normal(0, 7, (n, features))).astype(dtype)


def counted(rows, chunk=1500):
    """Make a lazy matrix, and a list of the lengths of the blocks that are read."""
    reads = []

    def note(block):
        reads.append(len(block))
        return block

    lazy = da.from_array(rows, chunks=(chunk, rows.shape[1]))
    meta = np.empty((0, rows.shape[1]), rows.dtype)
    return lazy.map_blocks(note, dtype=rows.dtype, meta=meta), reads


# ---------------------------------------------------------------- the way, and its passes


@pytest.mark.parametrize(
    ("dtype", "features", "passes"),
    [
        ("u1", 3, 1),  # distinct rows
        ("i2", 1, 1),
        ("u1", 4, 2),  # bins, and the inertia of the rows
        ("u2", 3, 2),
        ("f4", 4, 3),  # their range before
        ("i4", 2, 3),
    ],
)
def test_rows_are_read_as_often_as_their_type_asks_for(dtype, features, passes, many, rng):
    rows = scene(rng, features, dtype)
    lazy, reads = counted(rows)
    model = KMeans(5, random_state=0).fit(lazy)
    assert sum(reads) == passes * len(rows)
    labels, squares = reference.nearest(rows, model.cluster_centers_)
    assert model.inertia_ == pytest.approx(squares.sum())
    np.testing.assert_array_equal(model.labels_.compute(), labels)
    assert sum(reads) == (passes + 1) * len(rows)
    theirs = InMemory(5, n_init=3, random_state=0).fit(rows.astype(float))
    assert model.inertia_ <= 1.01 * theirs.inertia_


@pytest.mark.parametrize("dtype", ["u1", "f4", "i8"])
@pytest.mark.parametrize("algorithm", ["auto", "lloyd", "full"])
def test_many_features_are_fitted_in_passes_over_the_rows(dtype, algorithm, many, rng):
    rows = scene(rng, 7, dtype)
    lazy, reads = counted(rows)
    model = KMeans(5, random_state=0, algorithm=algorithm).fit(lazy)
    assert sum(reads) == (1 + model.n_iter_) * len(rows)
    assert model.n_iter_ <= 5
    labels, squares = reference.nearest(rows, model.cluster_centers_)
    assert model.inertia_ == pytest.approx(squares.sum())
    np.testing.assert_array_equal(model.labels_.compute(), labels)
    theirs = InMemory(5, n_init=3, random_state=0).fit(rows.astype(float))
    assert model.inertia_ <= 1.01 * theirs.inertia_


@pytest.mark.parametrize("features", [3, 6])
def test_lloyd_from_a_start_is_scikit_learns(features, many, rng):
    rows = scene(rng, features, np.float64)
    start = rows[:6]
    theirs = InMemory(6, init=start, n_init=1, tol=0, algorithm="lloyd").fit(rows)
    model = KMeans(6, init=start, tol=0, algorithm="lloyd").fit(rows)
    np.testing.assert_allclose(model.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
    assert model.inertia_ == pytest.approx(theirs.inertia_)
    assert model.n_iter_ == theirs.n_iter_
    np.testing.assert_array_equal(model.labels_, theirs.labels_)


@pytest.mark.parametrize("algorithm", ["auto", "histogram"])
@pytest.mark.parametrize("features", [4, 6])
def test_few_rows_are_counted_as_they_are(algorithm, features, rng):
    rows = scene(rng, features, np.float64, 500)
    lazy, reads = counted(rows)
    model = KMeans(5, random_state=0, algorithm=algorithm).fit(lazy)
    assert sum(reads) == len(rows)
    labels, squares = reference.nearest(rows, model.cluster_centers_)
    means = [rows[labels == j].mean(axis=0) for j in range(5)]
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-3)
    assert model.inertia_ == pytest.approx(squares.sum())


@pytest.mark.parametrize(("features", "dtype"), [(4, "u1"), (3, "f4"), (6, "i2"), (6, "u4")])
def test_any_chunks_give_the_same_bits(features, dtype, many, rng):
    rows = scene(rng, features, dtype)
    models = [
        KMeans(5, random_state=0).fit(da.from_array(rows, chunks=chunks))
        for chunks in [(6000, features), (1001, 2), ((1, 5999), 1)]
    ]
    for other in models[1:]:
        assert other.cluster_centers_.tobytes() == models[0].cluster_centers_.tobytes()
        np.testing.assert_array_equal(other.labels_, models[0].labels_)


# ---------------------------------------------------------------- what people hand in


@pytest.mark.parametrize("features", [4, 6])
def test_frames_of_pandas_and_dask_are_fitted(features, many, rng):
    rows = scene(rng, features, np.float32)
    frame = pd.DataFrame(rows, columns=[f"band {n}" for n in range(features)])
    expected = KMeans(4, random_state=0).fit(rows)
    for data in (frame, dd.from_pandas(frame, npartitions=3)):
        model = KMeans(4, random_state=0).fit(data)
        np.testing.assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-6)
        assert isinstance(model.labels_, da.Array)
        assert len(model.labels_.compute()) == len(rows)


def test_weights_count_distinct_rows_also_of_many_features(many, rng):
    rows = scene(rng, 6, np.uint8, 2000)
    times = rng.integers(1, 4, 2000)
    weighted = KMeans(4, random_state=0).fit(rows, sample_weight=times)
    repeated = KMeans(4, random_state=0, algorithm="histogram").fit(np.repeat(rows, times, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_)
    with pytest.raises(InputError, match="algorithm='lloyd' takes no sample_weight"):
        KMeans(4, algorithm="lloyd").fit(rows, sample_weight=times)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("features", [2, 6])
def test_what_is_no_number_is_refused(value, features, many, rng):
    rows = scene(rng, features, np.float32)
    rows[4321, features - 1] = value
    for given in (rows, np.full_like(rows, value)):
        with pytest.raises(InputError, match="NaN or infinity: fill or drop") as error:
            KMeans(3).fit(given)
        assert "\n" not in str(error.value)


def test_a_start_of_other_features_is_refused(many, rng):
    for features in (2, 6):
        with pytest.raises(InputError, match=f"init has 5 features, the data {features}"):
            KMeans(3, init=np.zeros((3, 5))).fit(scene(rng, features, np.float32))


@pytest.mark.parametrize("features", [2, 6])
def test_a_cluster_fits_the_same(features, many, client, rng):
    rows = da.from_array(scene(rng, features, np.int16), chunks=(2000, features))
    with_workers = KMeans(4, random_state=0).fit(rows)
    with dask.config.set(scheduler="threads"):
        alone = KMeans(4, random_state=0).fit(rows)
    assert with_workers.cluster_centers_.tobytes() == alone.cluster_centers_.tobytes()
