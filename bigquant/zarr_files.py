"""The chunk files of a Zarr array on a disk: noticing that they change under a run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zarr

from bigquant.errors import BigquantError


@dataclass(frozen=True)
class ChunkFiles:
    """The files of an array as they were when it was opened.

    What is known of each of a million files would not fit into a task. That none has been
    written since then is told of those that a window touches, by their times and those of the
    folders they lie in, which change when files are added, replaced or removed. Times in the
    future tell nothing. What goes unnoticed: files that are overwritten in place with an old
    time (``cp -p``), and those of the first moments on a disk whose clock is wrong.

    Parameters
    ----------
    folder : str
        Of the array.
    opened_ns : int
        Nanoseconds since the epoch.
    """

    folder: str
    opened_ns: int = field(default_factory=time.time_ns, compare=False)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.folder  # the same in a run that goes on with another

    def check(self, array: zarr.Array[Any], key: tuple[slice | int, ...], name: str) -> None:
        """Raise a `BigquantError` if files that a window touches were written since the opening.

        Parameters
        ----------
        array : zarr.Array
        key : tuple
            The window: for each axis a slice without step, or a number.
        name : str
            Of the array, for errors.
        """
        files = [Path(self.folder, file) for file in _files_of(array, key)]
        times = map(_written, itertools.chain(files, {file.parent for file in files}))
        now = time.time_ns()
        if any(self.opened_ns < written <= now for written in times):
            raise BigquantError(f"{name}: its chunks have changed since it was opened: run again")


def _files_of(array: zarr.Array[Any], key: tuple[slice | int, ...]) -> Iterator[str]:
    """Name the files, in the array's folder, of the chunks or shards that a window touches."""
    ranges = []
    for part, length, size in zip(key, array.shape, array.shards or array.chunks, strict=True):
        start, stop = (part, part + 1) if isinstance(part, int) else part.indices(length)[:2]
        ranges.append(range(start // size, -(-stop // size)))
    return map(array.metadata.encode_chunk_key, itertools.product(*ranges))


def _written(path: Path) -> int:
    """Tell when a file or folder was written; of one that is not there, the folder above it."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return _written(path.parent)
    except OSError:  # forbidden: whoever reads it says so
        return 0
