"""Windows of stored arrays, ``.npy`` and Zarr, that pickle small. Knows nothing of Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bigquant.errors import BigquantError
from bigquant.fingerprint import Fingerprint


@dataclass(frozen=True)
class NpyWindows:
    """A ``.npy`` file as an array that maps what is sliced out of it."""

    path: str
    fingerprint: Fingerprint
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.fingerprint.check(self.path)
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[key])


@dataclass(frozen=True)
class ZarrWindows:
    """A Zarr array whose errors are one line that names it."""

    path: str
    array: zarr.Array[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.array[key])
        except Exception as error:  # codecs raise what they like
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BigquantError(f"{self.path}: a chunk is damaged ({reason})") from error
