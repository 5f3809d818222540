"""Tables: what footers say of them, how rows are cut into runs, and the points that are read."""

from __future__ import annotations

import decimal
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigquant import table_rows
from bigquant.errors import BigquantError, DamagedError, InputError
from bigquant.table_rows import batches, opened, plan_points
from bigquant.tables import open_table


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(columns, path="t.parquet", **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_every_numeric_column_is_taken_by_default():
    columns = {
        "text": ["a", "b"],
        "small": pa.array([1, 2], pa.int8()),
        "flag": [True, False],
        "money": pa.array([decimal.Decimal("1.5")] * 2),
        "real": [1.0, 2.0],
        "day": pa.array([1, 2], pa.date32()),
    }
    table = open_table(write(columns))
    assert table.columns == ("small", "real")
    assert (table.dtype, table.n_rows, table.depth) == (np.float64, 2, 2)


def test_an_index_of_pandas_is_no_column_unless_it_is_named():
    import pandas as pd

    pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 8]).to_parquet("t.parquet")
    assert open_table("t.parquet").columns == ("a",)
    assert open_table("t.parquet", ["__index_level_0__"]).columns == ("__index_level_0__",)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["uint8", "uint8"], "uint8"),
        (["uint8", "int8"], "int16"),
        (["uint16", "float"], "float32"),
        (["int32", "float"], "float64"),
        (["uint64", "int64"], "float64"),
        (["halffloat"], "float32"),
        (["halffloat", "double"], "float64"),
    ],
)
def test_points_are_of_the_common_type(types, expected):
    columns = {str(i): pa.array([0, 1], type_) for i, type_ in enumerate(types)}
    table = open_table(write(columns))
    points = plan_points(table).compute()
    assert points.dtype == table.dtype == expected
    whole = table.dtype.kind != "f"
    np.testing.assert_array_equal(points[:, : len(types)], [[0] * len(types), [1] * len(types)])
    assert points.shape[1] == len(types) + whole


def test_what_is_lacking_is_nan_or_has_0_in_a_last_column():
    reals = {"a": [1.0, None, np.nan, 4.0], "b": pa.array([1, 2, 3, None], pa.int32())}
    points = plan_points(open_table(write(reals))).compute()
    np.testing.assert_array_equal(points, [[1, 1], [np.nan, 2], [np.nan, 3], [4, np.nan]])
    wholes = {"a": pa.array([1, None, 3, 4], pa.uint8()), "b": pa.array([5, 6, 7, None], pa.int8())}
    points = plan_points(open_table(write(wholes))).compute()
    np.testing.assert_array_equal(points, [[1, 5, 1], [0, 6, 0], [3, 7, 1], [4, 0, 0]])


def test_large_whole_numbers_are_read_as_they_are():
    column = pa.array([2**63 - 1, None, -(2**63)], pa.int64())
    points = plan_points(open_table(write({"a": column}))).compute()
    assert points[:, 0].tolist() == [2**63 - 1, 0, -(2**63)]


def test_the_columns_are_in_the_order_that_they_are_named_in():
    columns = {"a": [1.0], "a.b": [2.0], "c": pa.array([{"b": 3.0}])}
    points = plan_points(open_table(write(columns), ["a.b", "a"])).compute()
    assert points.tolist() == [[2, 1]]


def test_files_of_a_folder_come_in_the_order_of_their_numbers(folder):
    (folder / "t.parquet" / "_temporary").mkdir(parents=True)
    for i in range(12):
        write({"a": [float(i)]}, f"t.parquet/part.{i}.parquet")
    write({"a": [99.0]}, "t.parquet/_temporary/part.0.parquet")
    write({"b": [99.0]}, "t.parquet/.hidden.parquet")
    (folder / "t.parquet" / "_SUCCESS").touch()
    (folder / "t.parquet" / "README.txt").touch()
    assert plan_points(open_table("t.parquet")).compute()[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize("group", [1, 7, 100, 1000])
@pytest.mark.parametrize("rows_at_once", [3, 64, 5000])
def test_runs_hold_every_row_once_in_order(rows_at_once, group, monkeypatch, rng):
    values = rng.normal(size=(150, 2)).astype(np.float32)
    columns = {"a": values[:, 0], "b": values[:, 1]}
    table = open_table(write(columns, row_group_size=group))
    monkeypatch.setattr(table_rows, "_SOME_BYTES", 8 * rows_at_once)
    monkeypatch.setattr(table_rows, "_MOST_BYTES", 8 * rows_at_once)
    points = plan_points(table)
    assert max(points.chunks[0]) <= max(rows_at_once, 1)
    if group <= rows_at_once:
        assert points.numblocks[0] <= -(-150 // (rows_at_once - rows_at_once % group)) + 1
    np.testing.assert_array_equal(points.compute(), values)


def test_a_row_group_that_would_be_decoded_too_often_is_refused(monkeypatch):
    table = open_table(write({"a": np.arange(200.0)}))
    monkeypatch.setattr(table_rows, "_MOST_BYTES", 8 * 3)
    with pytest.raises(InputError, match="row group 0 has 200 rows, at most 192 can be read"):
        plan_points(table)


def test_empty_files_and_row_groups_have_no_rows(folder):
    (folder / "t.parquet").mkdir()
    write({"a": pa.array([], pa.float64())}, "t.parquet/0.parquet")
    write({"a": [1.0, 2.0]}, "t.parquet/1.parquet")
    table = open_table("t.parquet")
    assert plan_points(table).compute().tolist() == [[1], [2]]
    assert [run.rows for run in table.parts(1 << 20)] == [0, 2]


def test_a_batch_takes_few_bytes_however_wide_the_table_is(folder):
    columns = {f"c{i}": np.arange(3000.0) for i in range(500)}
    table = open_table(write(columns))
    (run,) = table.parts(1 << 30)
    with opened(run) as file:
        sizes = [batch.nbytes for batch in batches(file, run)]
    assert max(sizes) <= 16 << 20 < sum(sizes) * 2


# ---------------------------------------------------------------- what cannot be read


def test_a_footer_that_promises_more_rows_is_not_believed(monkeypatch):
    from dataclasses import replace

    table = open_table(write({"a": np.arange(10.0)}))
    run = replace(table.groups[0], rows=11)
    with (
        opened(run) as file,
        pytest.raises(DamagedError, match="fewer rows than its footer says"),
    ):
        list(batches(file, run))


def test_a_footer_whose_pages_are_elsewhere_is_an_error_in_one_line(folder):
    """The file is a longer one that has lost its middle."""
    write({"a": np.random.default_rng(0).normal(size=5000)})
    raw = (folder / "t.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(raw[:4] + raw[-2000:])
    points = plan_points(open_table("cut.parquet"))
    with pytest.raises(DamagedError, match=r"cut\.parquet: is damaged"):
        points.compute()


def test_a_file_that_changes_after_its_footer_was_read_is_told_of():
    points = plan_points(open_table(write({"a": [1.0, 2.0]})))
    write({"a": [1.0, 2.0, 3.0]})
    with pytest.raises(BigquantError, match=r"t\.parquet: has changed since it was opened"):
        points.compute()


def test_a_file_that_changes_while_its_rows_are_read_is_told_of(folder):
    (run,) = open_table(write({"a": np.arange(10.0)})).parts(1 << 30)

    def read():
        with opened(run) as file:
            assert sum(batch.num_rows for batch in batches(file, run)) == 10
            os.utime(folder / "t.parquet", (1, 1))

    with pytest.raises(BigquantError, match=r"t\.parquet: has changed since it was opened"):
        read()


def test_checksums_are_checked_where_there_are_any(folder):
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    raw = bytearray((folder / write({"a": np.arange(100.0)}, **options)).read_bytes())
    raw[raw.index(np.float64(7).tobytes())] ^= 1
    (folder / "t.parquet").write_bytes(raw)
    with pytest.raises(DamagedError, match="CRC checksum verification failed"):
        plan_points(open_table("t.parquet")).compute()


def test_a_flipped_bit_is_an_error_in_one_line_or_a_value(folder, rng):
    columns = {"a": rng.normal(size=300), "b": [str(i) for i in range(300)]}
    raw = (folder / write(columns)).read_bytes()
    failed = []
    for place in rng.integers(4, len(raw), 150):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.integers(8)
        (folder / "d.parquet").write_bytes(damaged)
        try:
            plan_points(open_table("d.parquet", ["a"])).compute(scheduler="sync")
        except BigquantError as error:
            failed.append(str(error))
    assert failed
    assert all("\n" not in words and "d.parquet: " in words for words in failed)
