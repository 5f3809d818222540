"""Real values -> the type that an image has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def round_to(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bring values to a type: to the nearest whole number, half to even, or the nearest float.

    What lies beyond the type becomes the greatest or least number that it has.
    """
    low, high = bounds(dtype)
    clipped = np.clip(values, low, high)
    if dtype.kind == "f":
        # no zero has a sign: equal values have equal bits
        floats: NDArray[Any] = clipped.astype(dtype) + dtype.type(0)
        return floats
    return np.rint(clipped).astype(dtype)


def bounds(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Tell the least and the greatest number of a type that float64 has too."""
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return float(limits.min), float(limits.max)
    whole = np.iinfo(dtype)
    high = float(whole.max)
    # 2**64 - 1 has no float64, and the next above it no uint64
    return float(whole.min), high if int(high) <= whole.max else float(np.nextafter(high, 0))
