"""A table with the clusters of its rows: a folder of parts, complete or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bigquant import remote
from bigquant.atomic import check_apart, check_target, complete_or_nothing
from bigquant.clusters import Clusters, Labeller, Tally
from bigquant.errors import InputError
from bigquant.histogram import merge_tree
from bigquant.outputs import check_complete
from bigquant.table_rows import batches, opened, points_of
from bigquant.tables import CLUSTER, MODEL_KEY, Run, Table
from bigquant.underway import TASK, given_up_on_error, settle, writing
from bigquant.watch import compute

MODEL_SUFFIX = ".clusters.json"
#: Row groups of a file become one part, as long as all their columns take no more than that.
_PART_BYTES = 32 << 20
#: What a row group of a part holds: a larger one of the table becomes several.
_GROUP_ROWS, _GROUP_BYTES = 1 << 20, 32 << 20


def check_table_output(path: str, table: str, overwrite: bool) -> None:
    """Find out, before any work, if a table can be written to `path`, and its model beside it.

    Raises
    ------
    InputError
        If one exists and `overwrite` is false, their folder is missing, not writable or behind
        a URL, or one would overlap the input `table`.
    """
    if remote.is_url(path):
        raise InputError(f"{path}: tables are written to disks: name a folder, to be copied")
    for each in (path, path + MODEL_SUFFIX):
        check_apart(each, table)
        check_target(each, overwrite)


def write_table(path: str, table: Table, model: Clusters, overwrite: bool) -> tuple[Clusters, int]:
    """Write a table with the clusters of its rows, and what was fitted and found beside it.

    Parameters
    ----------
    path : str
        Of `check_table_output`.
    table : Table
    model : Clusters
        Its rows are not counted yet.
    overwrite : bool

    Returns
    -------
    clusters : Clusters
    parts : int
        How many files were written.
    """
    runs, beside = table.parts(_PART_BYTES), path + MODEL_SUFFIX
    with complete_or_nothing(path, beside, overwrite=overwrite, settle=settle) as folder:
        root = folder / Path(path).name
        places = [root / _name(i, run, len(runs)) for i, run in enumerate(runs)]
        for parent in {place.parent for place in places}:
            parent.mkdir(parents=True, exist_ok=True)
        tally = _write_parts(runs, places, model, table.dtype, path)
        check_complete(path, [str(place) for place in places if not place.exists()])
        left_out, *counts = tally.counts.tolist()
        clusters = replace(model, counts=np.array(counts), left_out=left_out, inertia=tally.inertia)
        (folder / Path(beside).name).write_bytes(clusters.encode())
    return clusters, len(runs)


def _name(number: int, run: Run, parts: int) -> Path:
    """Name a part, in the folder that its file has in the table: folders may be values."""
    digits = len(str(parts - 1))
    return Path(run.name).with_name(f"part.{number:0{digits}}.parquet")


def _write_parts(
    runs: Sequence[Run],
    places: Sequence[Path],
    model: Clusters,
    dtype: np.dtype[Any],
    shown: str,
) -> Tally:
    token = uuid.uuid4().hex
    labeller = Labeller(model.centers, model.factors)
    said = json.dumps(model.model).encode()
    writer = dask.delayed(
        _Writer(labeller, model.columns, dtype, said, shown, token), traverse=False
    )
    tallies = [
        dask.delayed(_Writer.write)(writer, run, str(place), dask_key_name=(f"{TASK}-{token}", i))
        for i, (run, place) in enumerate(zip(runs, places, strict=True))
    ]
    with given_up_on_error(token):
        tally: Tally = compute(merge_tree(tallies, Tally.merge))[0]
    return tally


# ---------------------------------------------------------------- run in tasks


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes parts.

    Parameters
    ----------
    labeller : Labeller
    columns : tuple of str
        That make a point of a row.
    dtype : dtype
        Of the points.
    said : bytes
        The model, for the metadata of the schema.
    shown : str
        Name of the output in errors.
    token : str
        Of all tasks that write it.
    """

    labeller: Labeller
    columns: tuple[str, ...]
    dtype: np.dtype[Any]
    said: bytes
    shown: str
    token: str

    def write(self, run: Run, place: str) -> Tally:
        """Write a part: the rows of a run."""
        tally = Tally.create(len(self.labeller.centers))
        with writing(self.shown, self.token), opened(run) as file:
            schema = file.schema_arrow.append(pa.field(CLUSTER, pa.int32()))
            schema = schema.with_metadata({**(schema.metadata or {}), MODEL_KEY: self.said})
            # arrow opens what has a name itself, and its errors have no number
            with open(place, "wb") as part, pq.ParquetWriter(part, schema) as sink:
                for group in _gathered(batches(file, run)):
                    labelled = []
                    for batch in group:
                        column, found = self._label(batch)
                        columns = [*batch.columns, column]
                        labelled.append(pa.RecordBatch.from_arrays(columns, schema=schema))
                        tally = tally.merge(found)
                    rows = pa.Table.from_batches(labelled)
                    sink.write_table(rows, row_group_size=len(rows))
        return tally

    def _label(self, batch: pa.RecordBatch) -> tuple[pa.Array, Tally]:
        """Find the clusters of some rows, counted from 0: null where a value is lacking."""
        labels, tally = self.labeller(points_of(batch, self.columns, self.dtype))
        return pa.array(labels - 1, mask=labels == 0), tally


def _gathered(stream: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Put batches together that make a row group."""
    group: list[pa.RecordBatch] = []
    rows = n_bytes = 0
    for batch in stream:
        group.append(batch)
        rows, n_bytes = rows + batch.num_rows, n_bytes + batch.nbytes
        if rows >= _GROUP_ROWS or n_bytes >= _GROUP_BYTES:
            yield group
            group, rows, n_bytes = [], 0, 0
    if group:
        yield group
