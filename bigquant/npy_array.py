"""A ``.npy`` file as an array of which windows are read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import BigquantError
from bigquant.fingerprint import Fingerprint

#: What lies side by side in so many bytes is read at once, though not all of it is wanted.
_AT_ONCE = 64 << 10


@dataclass(frozen=True)
class NpyArray:
    """A ``.npy`` file as an array that reads what is sliced out of it.

    The file is not mapped: a map of one that shrinks would crash the process.

    Parameters
    ----------
    path : str
    fingerprint : Fingerprint
    shape : tuple of int
    dtype : numpy.dtype
    offset : int
        Bytes before the first value.
    by_columns : bool
        Whether the first axis varies fastest, as in Fortran.
    """

    path: str
    fingerprint: Fingerprint
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    by_columns: bool

    def __getitem__(self, key: tuple[slice | int, ...]) -> NDArray[Any]:
        window = [
            range(part, part + 1) if isinstance(part, int) else range(*part.indices(length))
            for part, length in zip(key, self.shape, strict=True)
        ]
        order = slice(None, None, -1 if self.by_columns else 1)
        with self.fingerprint.held(self.path), open(self.path, "rb") as file:
            found = self._read(file, window[order], self.shape[order])
        found = found.transpose() if self.by_columns else found
        return found[*(0 if isinstance(part, int) else slice(None) for part in key)]

    def _read(
        self, file: BinaryIO, window: Sequence[range], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Read a window of an array whose last axis varies fastest, run by run along one axis.

        The axes behind it are read whole, and a few of what it counts at a time if they are cut.
        """
        axis = len(shape) - 1
        while axis and math.prod(shape[axis:]) * self.dtype.itemsize <= _AT_ONCE:
            axis -= 1
        behind, size = shape[axis + 1 :], math.prod(shape[axis + 1 :])
        cuts = [slice(part.start, part.stop) for part in window[axis + 1 :]]
        found = np.empty([len(part) for part in window], self.dtype)
        if not found.size:
            return found
        is_cut = found.shape[axis + 1 :] != behind
        most = _AT_ONCE // (size * self.dtype.itemsize) if is_cut else len(window[axis])
        outers = itertools.product(*window[:axis])
        for place, outer in zip(np.ndindex(found.shape[:axis]), outers, strict=True):
            run = found[place]
            first = int(np.ravel_multi_index((*outer, window[axis].start), shape[: axis + 1]))
            for start in range(0, len(run), most):
                part = run[start : start + most]
                whole = np.empty((len(part), *behind), self.dtype) if is_cut else part
                self._fill(file, (first + start) * size, whole)
                if is_cut:
                    part[...] = whole[:, *cuts]
        return found

    def _fill(self, file: BinaryIO, first: int, values: NDArray[Any]) -> None:
        """Read the values that lie side by side from a place on."""
        file.seek(self.offset + first * self.dtype.itemsize)
        data = values.reshape(-1).view(np.uint8)
        if file.readinto(data) < data.size:  # type: ignore[attr-defined]
            raise BigquantError(f"{self.path}: is truncated")
