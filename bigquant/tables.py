"""Parquet tables: what their footers say, and how their rows are cut into runs.

A table is a file, or a folder of files of one schema, as Dask, Spark and pandas write them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bigquant import remote
from bigquant.errors import InputError, one_line
from bigquant.fingerprint import Fingerprint
from bigquant.inputs import is_table

#: Name of the column that is added.
CLUSTER = "cluster"
#: Key of the model in the metadata of a table's schema.
MODEL_KEY = b"bigquant"
#: A row group is decoded anew for each run that it is cut into, from its beginning.
_MOST_CUTS = 64
_SHOWN = 12


@dataclass(frozen=True)
class Run:
    """Rows of a file that follow one another.

    Parameters
    ----------
    path : str
    name : str
        Of the file in its table's folder.
    fingerprint : Fingerprint
    groups : tuple of (int, int)
        The first row group, and the one after the last.
    start : int
        Rows of the first row group that come before.
    rows : int
    n_bytes : int
        What all columns of its row groups take before they are compressed, as the footer has it.
    """

    path: str
    name: str
    fingerprint: Fingerprint
    groups: tuple[int, int]
    start: int
    rows: int
    n_bytes: int


@dataclass(frozen=True)
class Table:
    """A table, and the columns whose values make a point of each row.

    Parameters
    ----------
    path : str
    groups : tuple of Run
        Every row group of every file, in order.
    columns : tuple of str
    dtype : dtype
        The common type of these columns.
    """

    path: str
    groups: tuple[Run, ...]
    columns: tuple[str, ...]
    dtype: np.dtype[Any]

    @property
    def n_rows(self) -> int:
        """All rows, also those that lack a value."""
        return sum(group.rows for group in self.groups)

    @property
    def depth(self) -> int:
        """Columns of the points as they are read: whole numbers have one more, as alpha."""
        return len(self.columns) + (self.dtype.kind != "f")

    @property
    def files(self) -> list[str]:
        """Paths of the files."""
        return list(dict.fromkeys(group.path for group in self.groups))

    def blocks(self, some_bytes: int, most_bytes: int) -> list[Run]:
        """Cut the table into runs whose points take so many bytes, some or the most.

        Row groups are joined to the former, and cut if they are beyond the latter.

        Raises
        ------
        InputError
            If a row group is so large that reading it in runs would take too long.
        """
        row_bytes = self.depth * self.dtype.itemsize
        joined = _join(self.groups, lambda run: run.rows * row_bytes, some_bytes)
        most = max(1, most_bytes // row_bytes)
        return [part for run in joined if run.rows for part in _cut(run, most)]

    def parts(self, most_bytes: int) -> list[Run]:
        """Join row groups of a file as long as all their columns take at most so many bytes."""
        return _join(self.groups, lambda run: run.n_bytes, most_bytes)


def _join(groups: Sequence[Run], weigh: Callable[[Run], int], most: int) -> list[Run]:
    runs: list[Run] = []
    for group in groups:
        last = runs[-1] if runs else group
        if runs and last.path == group.path and weigh(last) + weigh(group) <= most:
            runs[-1] = replace(
                last,
                groups=(last.groups[0], group.groups[1]),
                rows=last.rows + group.rows,
                n_bytes=last.n_bytes + group.n_bytes,
            )
        else:
            runs.append(group)
    return runs


def _cut(run: Run, most: int) -> list[Run]:
    if run.rows > most * _MOST_CUTS:
        raise InputError(
            f"{run.path}: row group {run.groups[0]} has {run.rows} rows, at most "
            f"{most * _MOST_CUTS} can be read of these columns: write it anew in smaller row "
            "groups, of a million rows"
        )
    starts = range(0, run.rows, most)
    return [replace(run, start=start, rows=min(most, run.rows - start)) for start in starts]


def open_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Table:
    """Read the footers of a table, and find the columns.

    Parameters
    ----------
    path : path
        A ``.parquet`` file, or a folder of such.
    columns : sequence of str, optional
        Numeric columns; all of them without it, but those that are an index of pandas.

    Raises
    ------
    InputError
        If there is no such table or column, a file is damaged or of another schema than the
        first, there are no rows, a column is not numeric, or one is called ``cluster`` already.
    """
    path = os.fspath(path)
    if remote.is_url(path):
        raise InputError(f"{path}: tables are read from disks: copy it to one")
    first: pa.Schema | None = None
    groups: list[Run] = []
    for file, name in _files_of(path):
        schema, own = _read_footer(file, name)
        if first is None:
            first = schema
        elif not schema.equals(first):
            raise InputError(f"{file}: has other columns than {groups[0].path}: take it apart")
        groups += own
    assert first is not None
    if not any(group.rows for group in groups):
        raise InputError(f"{path}: has no rows")
    chosen = _choose(path, first, columns)
    return Table(path, tuple(groups), tuple(chosen), _common_type(first, chosen))


def _files_of(path: str) -> list[tuple[str, str]]:
    """List the files of a table and their names in it, in the order of their rows.

    part.10 comes after part.2.
    """
    if not os.path.isdir(path):
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file")
        return [(path, Path(path).name)]
    found: list[str] = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name[0] not in "._"]  # of Spark, and our own
        found += [os.path.join(folder, name) for name in names if name[0] not in "._"]
    found = [name for name in found if is_table(name)]
    if not found:
        raise InputError(f"{path}: a folder without .parquet files")
    return [(name, os.path.relpath(name, path)) for name in sorted(found, key=_by_number)]


def _by_number(name: str) -> list[Any]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _read_footer(path: str, name: str) -> tuple[pa.Schema, list[Run]]:
    """Read the schema and the row groups of a file."""
    try:
        fingerprint = Fingerprint.take(path)
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            # its columns are not asked for: of damaged ones arrow ends the process
            sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a table that can be read ({one_line(error)})") from error
    if min((number for size in sizes for number in size), default=0) < 0:
        raise InputError(f"{path}: is damaged: its footer has row groups of less than nothing")
    if not groups:
        return schema, [Run(path, name, fingerprint, (0, 0), 0, 0, 0)]
    return schema, [
        Run(path, name, fingerprint, (i, i + 1), 0, rows, n_bytes)
        for i, (rows, n_bytes) in enumerate(sizes)
    ]


def _choose(path: str, schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    if CLUSTER in schema.names:
        raise InputError(f"{path}: has a column {CLUSTER!r} already: rename it, or leave it out")
    twice = [name for name, times in Counter(schema.names).items() if times > 1]
    if twice:
        raise InputError(f"{path}: has several columns {twice[0]!r}: rename them")
    if columns is None:
        index = (schema.pandas_metadata or {}).get("index_columns", ())
        chosen = [f.name for f in schema if _is_numeric(f.type) and f.name not in index]
        if not chosen:
            raise InputError(f"{path}: has no numeric column")
        return chosen
    if not columns:
        raise InputError("columns=[]: name one at least, or leave it out for all that are numeric")
    for name, times in Counter(columns).items():
        if name not in schema.names:
            known = ", ".join(schema.names[:_SHOWN]) + ", ..." * (len(schema.names) > _SHOWN)
            raise InputError(f"{path}: has no column {name!r}: it has {known}")
        if not _is_numeric(schema.field(name).type):
            raise InputError(f"{path}: column {name!r} is no number but {schema.field(name).type}")
        if times > 1:
            raise InputError(f"column {name!r} is named {times} times: name each once")
    return list(columns)


def _is_numeric(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _common_type(schema: pa.Schema, columns: Sequence[str]) -> np.dtype[Any]:
    types = [np.dtype(schema.field(name).type.to_pandas_dtype()) for name in columns]
    common = np.result_type(*types)
    return np.dtype(np.float32) if common == np.float16 else common  # kernels know no halves
