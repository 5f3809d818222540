"""`cluster_table`: every row and column comes back, with the cluster that scikit-learn predicts."""

from __future__ import annotations

import datetime
import decimal
import json
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

import bigquant
from bigquant import table_rows

LETTERS = "abcdefgh"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blobs(rng, n=2000, columns=2, dtype=np.float32):
    """Points around four places."""
    return (rng.normal(size=(n, columns)) * 4 + rng.integers(0, 4, (n, 1)) * 50 + 20).astype(dtype)


def write(values, path="t.parquet", group=300, **more):
    columns = {LETTERS[i]: values[:, i] for i in range(values.shape[1])}
    pq.write_table(pa.table({**columns, **more}), path, row_group_size=group)
    return path


def predict(values, centers):
    """Do as scikit-learn does."""
    model = KMeans(len(centers), init=centers, n_init=1, max_iter=1).fit(centers)
    model.cluster_centers_ = np.ascontiguousarray(centers)
    return model.predict(np.asarray(values, np.float64))


def read_clusters(path="o.parquet"):
    return pq.read_table(path).column("cluster").to_pandas(integer_object_nulls=True).to_numpy()


# ---------------------------------------------------------------- what is written


def test_every_column_of_every_type_and_the_schema_come_back(rng):
    n = 1000
    values = blobs(rng, n)
    schema = pa.schema(
        [
            pa.field("a", pa.float32(), nullable=False, metadata={"unit": "m"}),
            pa.field("b", pa.float64()),
            pa.field("text", pa.large_string()),
            pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
            pa.field("when", pa.timestamp("us", tz="Europe/Zurich")),
            pa.field("day", pa.date32()),
            pa.field("price", pa.decimal128(10, 2)),
            pa.field("raw", pa.binary()),
            pa.field("flag", pa.bool_()),
            pa.field("list", pa.list_(pa.int16())),
            pa.field("nested", pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))])),
            pa.field("map", pa.map_(pa.string(), pa.int32())),
            pa.field("half", pa.float16()),
            pa.field("nothing", pa.null()),
        ],
        metadata={"author": "somebody"},
    )
    rows = range(n)
    columns = [
        *(values[:, 0], values[:, 1].astype(float)),
        [f"row {i}" for i in rows],
        pa.array([f"kind {i % 3}" for i in rows]).dictionary_encode().cast(schema.field(3).type),
        [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(i) for i in rows],
        [datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in rows],
        [decimal.Decimal(i) / 4 for i in rows],
        [bytes([i % 256]) if i % 5 else None for i in rows],
        [i % 2 == 0 for i in rows],
        [list(range(i % 4)) if i % 7 else None for i in rows],
        [{"x": i, "y": [str(i)]} for i in rows],
        [[(str(i), i)] for i in rows],
        np.arange(n).astype(np.float16),
        [None] * n,
    ]
    table = pa.table(
        [
            c if isinstance(c, pa.Array) else pa.array(c, f.type)
            for c, f in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )
    pq.write_table(table, "t.parquet", row_group_size=170)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4, columns=["a", "b"])
    found = pq.read_table("o.parquet")
    assert found.drop_columns("cluster").equals(table)
    (part,) = ds.dataset("o.parquet").files
    written = pq.ParquetFile(part)
    own = written.schema_arrow.metadata
    assert json.loads(own.pop(b"bigquant")) == clusters.model
    original = pq.ParquetFile("t.parquet").schema_arrow  # arrow adds the numbers of fields
    assert written.schema_arrow.remove(14).with_metadata(own).equals(original, check_metadata=True)
    assert written.schema_arrow.field(14).equals(pa.field("cluster", pa.int32()))
    expected = predict(values, clusters.centers)
    np.testing.assert_array_equal(found.column("cluster").to_numpy(), expected)


@pytest.mark.parametrize(
    ("columns", "dtype", "algorithm"),
    [
        (3, "uint8", "histogram"),
        (1, "int16", "histogram"),
        (3, "uint16", "binned"),
        (2, "float32", "binned"),
        (4, "float64", "binned"),
        (1, "uint32", "binned"),
        (5, "uint8", "lloyd"),
        (6, "int64", "lloyd"),
        (8, "float32", "lloyd"),
    ],
)
def test_clusters_are_those_that_scikit_learn_predicts(columns, dtype, algorithm, rng):
    values = blobs(rng, columns=columns, dtype=dtype)
    write(values)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4)
    assert clusters.fit == {"algorithm": algorithm, "random_state": 0}
    labels = read_clusters()
    np.testing.assert_array_equal(labels, predict(values, clusters.centers))
    np.testing.assert_array_equal(clusters.counts, np.bincount(labels.astype(int)))
    exact = values.astype(float)
    inertia = ((exact - clusters.centers[labels.astype(int)]) ** 2).sum()
    assert clusters.inertia == pytest.approx(inertia, rel=1e-9)
    best = KMeans(4, n_init=3, random_state=0).fit(exact)
    assert clusters.inertia <= 1.01 * best.inertia_
    assert (np.diff(clusters.counts) <= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_rows_that_lack_a_value_take_no_part(dtype, rng):
    values = blobs(rng, columns=5, dtype=dtype)
    lacking = rng.random((2000, 5)) < 0.01
    columns = {LETTERS[i]: pa.array(values[:, i], mask=lacking[:, i]) for i in range(5)}
    bad = lacking.any(axis=1)
    if dtype == "float32":
        values[5, 1], values[6, 2], values[7, 0] = np.nan, np.inf, -np.inf
        columns = {LETTERS[i]: pa.array(values[:, i], mask=lacking[:, i]) for i in range(5)}
        bad[5:8] = True
    pq.write_table(pa.table(columns), "t.parquet", row_group_size=300)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4)
    labels = read_clusters()
    assert clusters.left_out == bad.sum() == pd.isna(labels).sum()
    assert pd.isna(labels[bad]).all()
    np.testing.assert_array_equal(labels[~bad], predict(values[~bad], clusters.centers))
    write(values[~bad], "clean.parquet")
    clean = bigquant.cluster_table("clean.parquet", "c.parquet", 4)
    np.testing.assert_allclose(clean.centers, clusters.centers, rtol=1e-6)


def test_the_files_beside_and_within_say_what_was_fitted(folder, rng):
    write(blobs(rng))
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4, random_state=3, scale="std")
    beside = json.loads((folder / "o.parquet.clusters.json").read_text())
    assert beside == clusters.as_json()
    assert beside["columns"] == ["a", "b"]
    assert (beside["k"], beside["scale"], beside["fit"]["random_state"]) == (4, "std", 3)
    assert sum(beside["counts"]) == clusters.n_rows == 2000


# ---------------------------------------------------------------- who reads it


def test_pandas_pyarrow_and_dask_read_it_in_the_order_of_the_rows(folder, rng, monkeypatch):
    import dask.dataframe as dd

    monkeypatch.setattr("bigquant.table_output._PART_BYTES", 4000)
    frame = pd.DataFrame(blobs(rng), columns=["a", "b"])
    frame["name"] = [f"row {i}" for i in range(2000)]
    frame.index += 7
    frame.to_parquet("t.parquet", row_group_size=100)
    bigquant.cluster_table("t.parquet", "o.parquet", 4)
    assert len(list((folder / "o.parquet").iterdir())) >= 12
    by_pandas = pd.read_parquet("o.parquet")
    assert by_pandas.cluster.notna().all()
    by_pandas = by_pandas.astype({"cluster": "int32"})
    pd.testing.assert_frame_equal(
        by_pandas.drop(columns="cluster").reset_index(drop=True), frame.reset_index(drop=True)
    )
    by_dask = dd.read_parquet("o.parquet").compute().astype({"cluster": "int32"})
    pd.testing.assert_frame_equal(
        by_dask.reset_index(drop=True), by_pandas.reset_index(drop=True), check_dtype=False
    )
    by_arrow = ds.dataset("o.parquet").to_table()
    assert by_arrow.column("name").to_pylist() == list(frame["name"])


def test_the_index_of_pandas_stays_one(rng):
    frame = pd.DataFrame(blobs(rng), columns=["a", "b"], index=rng.permutation(2000))
    frame.to_parquet("t.parquet")
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4)
    assert clusters.columns == ("a", "b")
    found = pd.read_parquet("o.parquet")
    pd.testing.assert_frame_equal(found.drop(columns="cluster"), frame)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas: Dask uses it
def test_a_folder_of_dask_becomes_one(rng):
    import dask.dataframe as dd

    frame = pd.DataFrame(blobs(rng), columns=["a", "b"])
    dd.from_pandas(frame, npartitions=12).to_parquet("t.parquet", write_metadata_file=True)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4)
    found = dd.read_parquet("o.parquet").compute()
    pd.testing.assert_frame_equal(found[["a", "b"]], frame)
    np.testing.assert_array_equal(found.cluster, predict(frame, clusters.centers))


def test_folders_that_are_values_stay(rng):
    frame = pd.DataFrame(blobs(rng), columns=["a", "b"])
    frame["year"] = rng.integers(2020, 2023, 2000)
    frame.to_parquet("t.parquet", partition_cols=["year"])
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4)
    found = pd.read_parquet("o.parquet")
    assert Counter(found.year.astype(int)) == Counter(frame.year)
    pd.testing.assert_frame_equal(found.drop(columns="cluster"), pd.read_parquet("t.parquet"))
    np.testing.assert_array_equal(found.cluster, predict(found[["a", "b"]], clusters.centers))


# ---------------------------------------------------------------- scales


@pytest.mark.parametrize("scale", ["range", "std"])
@pytest.mark.parametrize("columns", [2, 6])
def test_scaled_columns_weigh_alike(scale, columns, rng):
    values = blobs(rng, columns=columns)
    values[:, 0] *= 1e4
    values[:, -1] = rng.normal(size=2000) * 1e-3
    write(values)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4, scale=scale)
    exact = values.astype(float)
    spans = np.ptp(exact, axis=0) if scale == "range" else exact.std(axis=0)
    np.testing.assert_allclose(clusters.factors, 1 / spans, rtol=1e-9)
    expected = predict(exact * clusters.factors, clusters.centers * clusters.factors)
    np.testing.assert_array_equal(read_clusters(), expected)
    best = KMeans(4, n_init=5, random_state=0).fit(exact / spans)
    assert clusters.inertia <= 1.01 * best.inertia_


def test_a_column_of_one_value_is_no_matter(rng):
    values = blobs(rng)
    values[:, 1] = 5
    write(values)
    clusters = bigquant.cluster_table("t.parquet", "o.parquet", 4, scale="std")
    assert clusters.factors[1] == 1
    assert (clusters.centers[:, 1] == 5).all()


# ---------------------------------------------------------------- how it is read


@pytest.mark.parametrize("scale", ["none", "std"])
@pytest.mark.parametrize(("columns", "dtype"), [(3, "uint8"), (4, "int16"), (6, "uint16")])
def test_clusters_of_whole_numbers_do_not_depend_on_row_groups(
    columns, dtype, scale, rng, monkeypatch
):
    values = blobs(rng, columns=columns, dtype=dtype)
    found = []
    for i, group in enumerate([70, 999, 2000]):
        monkeypatch.setattr(table_rows, "_SOME_BYTES", 1000 * (i + 1) ** 2)
        monkeypatch.setattr(table_rows, "_MOST_BYTES", 2000 * (i + 1) ** 2)
        write(values, group=group)
        clusters = bigquant.cluster_table("t.parquet", f"{group}.parquet", 6, scale=scale)
        found.append((clusters.centers.tolist(), read_clusters(f"{group}.parquet").tolist()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("columns", "dtype", "scale", "passes"),
    [
        (3, "uint8", "none", 1),
        (4, "int16", "none", 1),
        (2, "float32", "none", 2),
        (3, "uint8", "std", 2),
        (2, "float32", "std", 2),
    ],
)
def test_points_are_read_once_to_count_and_once_for_their_range(
    columns, dtype, scale, passes, rng, monkeypatch
):
    read = []
    batches = table_rows.batches

    def counted(file, run, *only):
        for batch in batches(file, run, *only):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(table_rows, "batches", counted)
    write(blobs(rng, columns=columns, dtype=dtype))
    bigquant.cluster_table("t.parquet", "o.parquet", 4, scale=scale)
    assert sum(read) == passes * 2000


def test_it_runs_on_a_cluster_to_the_same_bytes(client, folder, rng):
    import dask

    write(blobs(rng, columns=6), group=100)
    on_cluster = bigquant.cluster_table("t.parquet", "c.parquet", 4)
    with dask.config.set(scheduler="threads"):
        here = bigquant.cluster_table("t.parquet", "h.parquet", 4)
    assert on_cluster.as_json() == here.as_json()
    assert pq.read_table("c.parquet").equals(pq.read_table("h.parquet"))


def test_a_large_row_group_becomes_several(rng, monkeypatch):
    monkeypatch.setattr("bigquant.table_output._GROUP_ROWS", 500)
    monkeypatch.setattr("bigquant.table_rows._BATCH_ROWS", 250)
    write(blobs(rng), group=2000)
    bigquant.cluster_table("t.parquet", "o.parquet", 4)
    metadata = pq.ParquetFile("o.parquet/part.0.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [500] * 4


def test_an_empty_file_of_a_folder_stays(folder, rng):
    (folder / "t.parquet").mkdir()
    write(blobs(rng)[:0], "t.parquet/0.parquet")
    write(blobs(rng), "t.parquet/1.parquet")
    bigquant.cluster_table("t.parquet", "o.parquet", 4)
    assert [len(pq.read_table(f"o.parquet/part.{i}.parquet")) for i in (0, 1)] == [0, 2000]


def test_fewer_distinct_points_than_clusters_are_warned_of(rng):
    write(np.repeat([[1.0, 2], [3, 4]], 50, axis=0))
    with pytest.warns(ConvergenceWarning, match="k=2, not 8: the rows have only 2 distinct points"):
        clusters = bigquant.cluster_table("t.parquet", "o.parquet", 8)
    assert clusters.counts.tolist() == [50, 50]
    assert clusters.inertia == 0
