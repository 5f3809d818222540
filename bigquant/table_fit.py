"""A table -> the same with a cluster for each of its rows: what `fit` does with tables."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bigquant.clusters import Clusters
from bigquant.errors import InputError
from bigquant.inputs import is_table
from bigquant.parameters import check_k, read_fitting
from bigquant.pointfit import Points
from bigquant.table_output import check_table_output, write_table
from bigquant.table_rows import plan_points
from bigquant.tables import Table, open_table
from bigquant.ways import HISTOGRAM, LLOYD, SCALES, choose_way

_ALGORITHMS = ("auto", HISTOGRAM, LLOYD)


@dataclass(frozen=True)
class TableJob:
    """A table that is open, and where it goes with its clusters.

    Parameters
    ----------
    table : Table
    output : str
    overwrite : bool
    n_clusters : int
    scale : {"none", "range", "std"}
    algorithm : str
    random_state : int
    """

    table: Table
    output: str
    overwrite: bool
    n_clusters: int
    scale: str
    algorithm: str
    random_state: int

    def run(self) -> Clustered:
        """Fit, and write."""
        start = time.perf_counter()
        model = _fit(self)
        fitted = time.perf_counter()
        clusters, parts = write_table(self.output, self.table, model, self.overwrite)
        seconds = {"fit": fitted - start, "write": time.perf_counter() - fitted}
        return Clustered(clusters, parts, seconds)

    def notes(self, clusters: Clusters) -> list[str]:
        """Say if there are fewer clusters than were asked for."""
        k, wanted = clusters.k, self.n_clusters
        few = f"k={k}, not {wanted}: the rows have only {k} distinct point{'s' * (k > 1)}"
        return [few] if k < wanted else []


@dataclass(frozen=True)
class Clustered:
    """What came of a job.

    Parameters
    ----------
    clusters : Clusters
    parts : int
        Files of the output.
    seconds : Mapping
        Wall time of the stages "fit" and "write".
    """

    clusters: Clusters
    parts: int
    seconds: Mapping[str, float]


def cluster_table(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n_clusters: int = 32,
    *,
    columns: Sequence[str] | None = None,
    scale: str = "none",
    algorithm: str = "auto",
    random_state: int = 0,
    overwrite: bool = False,
) -> Clusters:
    """Cluster the rows of a Parquet table, and write it with a column ``cluster``.

    It takes flat memory: a few row groups at a time are read, by whatever Dask scheduler is
    current. A row without a value in one of the columns, or with NaN or infinity there, takes no
    part, and its cluster is null.

    Parameters
    ----------
    path : path
        A ``.parquet`` file, or a folder of such, as Dask, Spark and pandas write them.
    output : path
        ``OUT.parquet``: a folder of parts that have all rows and columns of the table, and the
        clusters counted from 0, the largest first. What was fitted is in the metadata of their
        schema under "bigquant", and beside it as ``OUT.parquet.clusters.json``.
    n_clusters : int
    columns : sequence of str, optional
        Numeric columns that make a point of each row; all of them by default.
    scale : {"none", "range", "std"}
        For columns of different units: by what distances in each are measured.
    algorithm : str
        As for `KMeans`.
    random_state : int
        Seed of the fit.
    overwrite : bool
        Whether a table of that name may be replaced.

    Returns
    -------
    Clusters
        Fewer than `n_clusters` if the rows have fewer distinct points.

    Raises
    ------
    InputError
        If the table or its columns cannot be used, or the output cannot be written.
    """
    job = open_job(
        path,
        output,
        n_clusters,
        columns=columns,
        scale=scale,
        algorithm=algorithm,
        random_state=random_state,
        overwrite=overwrite,
    )
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - takes a while

    clusters = job.run().clusters
    for note in job.notes(clusters):
        warnings.warn(note, ConvergenceWarning, stacklevel=2)
    return clusters


def open_job(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n_clusters: int,
    *,
    columns: Sequence[str] | None,
    scale: str,
    algorithm: str,
    random_state: int,
    overwrite: bool,
) -> TableJob:
    """Open a table, and find out before any work what of `cluster_table` cannot be done."""
    output = os.fspath(output).rstrip(os.sep)
    if not is_table(output):
        raise InputError(f"{output}: the output of a table is one: name OUT.parquet")
    check_k(n_clusters)
    if scale not in SCALES:
        raise InputError(f"scale={scale!r}: must be one of {SCALES}")
    if algorithm not in _ALGORITHMS:
        raise InputError(f"algorithm={algorithm!r}: for a table must be one of {_ALGORITHMS}")
    read_fitting("auto", random_state)
    table = open_table(path, columns)
    n = len(table.columns)
    if algorithm == HISTOGRAM and choose_way(table.dtype, n, algorithm) == LLOYD:
        raise InputError(
            f"{n} columns are too many for a histogram, which takes up to 4: use the algorithm "
            "'lloyd', or choose columns"
        )
    check_table_output(output, table.path, overwrite)
    return TableJob(table, output, overwrite, n_clusters, scale, algorithm, random_state)


def _fit(job: TableJob) -> Clusters:
    """Fit the clusters; of the rows it is not known yet how many are in each."""
    table = job.table
    points = Points(plan_points(table), len(table.columns))
    try:
        found = points.fit(
            job.n_clusters, scale=job.scale, algorithm=job.algorithm, seed=job.random_state
        )
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error
    none = np.zeros(len(found.centers), np.int64)
    fit = {"algorithm": found.way, "random_state": job.random_state}
    return Clusters(table.columns, found.centers, none, 0, 0.0, job.scale, found.factors, fit)
