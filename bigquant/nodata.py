"""The value that says of a pixel that it is no part of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fit_nodata(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Round nodata as samples of a type are; None where none can be equal to it, as in GDAL."""
    if nodata is None:
        return None
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            fitted = float(dtype.type(nodata))
        return None if math.isinf(fitted) and not math.isinf(nodata) else fitted
    if not math.isfinite(nodata) or nodata != int(nodata):
        return None
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return int(nodata) if low <= nodata <= high else None


def find_nodata(samples: NDArray[Any], bands: Sequence[int], nodata: float) -> NDArray[np.bool_]:
    """Find the pixels (y, x) all of whose bands have a value.

    Parameters
    ----------
    samples : ndarray, (y, x, sample)
    bands : sequence of int
        Samples that must have it.
    nodata : float
        Of `fit_nodata`.
    """
    found = np.ones(samples.shape[:2], np.bool_)
    for band in bands:
        values = samples[..., band]
        found &= np.isnan(values) if math.isnan(nodata) else values == nodata
    return found
