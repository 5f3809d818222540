"""Runs of a table's rows -> batches of all columns, or points; what is held at once is bounded.

A footer is not believed: rows are counted as they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from bigquant.errors import DamagedError, one_line
from bigquant.tables import Run, Table

#: Of the points of a block: row groups are joined to the former, and cut beyond the latter.
_SOME_BYTES, _MOST_BYTES = 32 << 20, 64 << 20
#: Rows that are decoded at once, as long as they take no more than so many bytes.
_BATCH_ROWS, _BATCH_BYTES = 1 << 16, 16 << 20
#: Of a column's compressed pages that are read at once.
_BUFFER_BYTES = 1 << 20


def plan_points(table: Table) -> da.Array:
    """Plan to read the points of a table, (n_rows, depth), in blocks of some row groups each.

    Rows that lack a value are there, too: with NaN for it, or, where the type has none, with 0
    in a last column that is 1 in all other rows.
    """
    runs = table.blocks(_SOME_BYTES, _MOST_BYTES)
    name = f"read-points-{tokenize(runs, table.columns, table.dtype)}"
    choice = (table.columns, table.dtype)
    layer = {(name, i, 0): (_read_points, run, *choice) for i, run in enumerate(runs)}
    chunks = (tuple(run.rows for run in runs), (table.depth,))
    graph = HighLevelGraph.from_collections(name, layer)
    return da.Array(graph, name, chunks, meta=np.empty((0, 0), table.dtype))


def _read_points(run: Run, columns: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    filled = 0
    points = np.empty((run.rows, len(columns) + (dtype.kind != "f")), dtype)
    with opened(run) as file:
        for batch in batches(file, run, columns):
            points[filled : filled + batch.num_rows] = points_of(batch, columns, dtype)
            filled += batch.num_rows
    return points


@contextmanager
def opened(run: Run) -> Iterator[pq.ParquetFile]:
    """Open the file of a run, which must be what it was when its footer was read, to the end."""
    with run.fingerprint.held(run.path):
        with _decoding(run):
            file = pq.ParquetFile(
                run.path,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        with file:
            yield file


def batches(
    file: pq.ParquetFile, run: Run, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a run, a few at a time, of all columns or of some."""
    row_bytes = 8 * len(columns) if columns else -(-run.n_bytes // max(1, run.rows))
    stream = file.iter_batches(
        batch_size=min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, row_bytes))),
        row_groups=range(*run.groups),
        columns=columns,
        use_threads=False,  # Dask owns the parallelism
    )
    first, last = run.start, run.start + run.rows
    seen = 0
    while seen < last:
        with _decoding(run):
            batch = next(stream, None)
        if batch is None:
            raise DamagedError(f"{run.path}: is damaged: it has fewer rows than its footer says")
        start, stop = max(first - seen, 0), min(last - seen, batch.num_rows)
        seen += batch.num_rows
        if start < stop:
            yield batch.slice(start, stop - start)


@contextmanager
def _decoding(run: Run) -> Iterator[None]:
    """Say of a file that cannot be decoded whether it has changed, or is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        run.fingerprint.check(run.path)
        raise DamagedError(f"{run.path}: is damaged ({one_line(error)})") from error


def points_of(batch: pa.RecordBatch, columns: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make the points of a batch, as `plan_points` has them."""
    is_whole = dtype.kind != "f"
    points = np.ones((batch.num_rows, len(columns) + is_whole), dtype)
    for i, name in enumerate(columns):
        values = batch.column(name)
        if values.null_count and is_whole:
            points[values.is_null().to_numpy(zero_copy_only=False), -1] = 0
            values = values.fill_null(0)
        points[:, i] = values.to_numpy(zero_copy_only=False)
    return points
