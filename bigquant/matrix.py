"""Whatever dask-ml takes -> a Dask matrix of a type that kernels know, its values as they are."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from bigquant.errors import InputError

#: Of blocks that data in memory is cut into: some for every core.
_BLOCK_BYTES = 16 << 20


def as_rows(X: Any) -> da.Array:
    """Bring data to a Dask matrix (n_samples, n_features), each block with all features.

    Parameters
    ----------
    X : ndarray, dask.array.Array, DataFrame of pandas or Dask, or what NumPy makes an array of

    Raises
    ------
    InputError
        If it is no matrix of real numbers.
    """
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array(lengths=True)
    elif not isinstance(X, da.Array):
        X = np.asarray(X)
    if X.ndim != 2:
        raise InputError(f"data of shape {X.shape} is no matrix (n_samples, n_features)")
    if X.dtype.kind not in "buif":
        raise InputError(f"data of type {X.dtype} is not real numbers: convert it first")
    if not isinstance(X, da.Array):
        rows = max(1, _BLOCK_BYTES // max(1, X[:1].nbytes))
        X = da.from_array(X, chunks=(rows, -1), name=False)
    if any(np.isnan(n) for n in X.shape):
        X = X.compute_chunk_sizes()
    # kernels know the machine's own byte order, and no floats of other than 4 or 8 bytes
    dtype = X.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return X.astype(dtype).rechunk({1: -1})


def as_weights(sample_weight: Any, rows: da.Array) -> da.Array:
    """Bring a weight for each row, array or Series, to a Dask array of float64."""
    if hasattr(sample_weight, "to_dask_array"):
        weights = sample_weight.to_dask_array(lengths=True).astype(np.float64)
    elif isinstance(sample_weight, da.Array):
        weights = sample_weight.astype(np.float64)
    else:
        weights = da.asarray(np.asarray(sample_weight, np.float64))
    if weights.shape != rows.shape[:1]:
        raise InputError(f"sample_weight of shape {weights.shape} fits no {len(rows)} samples")
    return weights
