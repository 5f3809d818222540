"""Which way to a palette is taken: decided by the type of the values and the number of bands.

By these alone, so it is the same for any chunks, and known before a pixel is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Every distinct colour is counted: exact.
HISTOGRAM = "histogram"
#: Colours are counted in bins, as fine as memory allows, with their exact sums.
BINNED = "binned"
#: Lloyd's iteration runs over the pixels themselves, started from a sample.
LLOYD = "lloyd"

#: What can be asked for: one way or the other, or dask-ml's own fit.
ALGORITHMS = ("auto", "histogram", "lloyd", "dask-ml")
#: What each band is divided by before distances are taken.
SCALES = ("none", "range", "std")

#: Bits per pixel up to which every colour is counted.
_EXACT_BITS = 16
_MOST_BINNED = 4


def way_of(dtype: Any, channels: int) -> str:
    """Choose the way for so many bands of a type.

    Parameters
    ----------
    dtype : dtype
        Of whole or real numbers.
    channels : int
        At least 1.

    Returns
    -------
    {"histogram", "binned", "lloyd"}

    Examples
    --------
    >>> way_of("uint8", 3), way_of("uint16", 3), way_of("uint8", 6)
    ('histogram', 'binned', 'lloyd')
    """
    dtype = np.dtype(dtype)
    is_bytes = dtype in (np.uint8, np.bool_) and channels <= 3
    if is_bytes or (channels == 1 and 8 * dtype.itemsize <= _EXACT_BITS):
        return HISTOGRAM
    return BINNED if channels <= _MOST_BINNED else LLOYD


def choose_way(dtype: Any, channels: int, algorithm: str) -> str:
    """Choose the way that an algorithm of `ALGORITHMS` means for such bands.

    dask-ml's own fit goes its own; the colours are counted beside it where they can be.
    """
    return LLOYD if algorithm == LLOYD else way_of(dtype, channels)


def n_passes(
    dtype: Any, channels: int, algorithm: str = "auto", *, scaled: bool = False
) -> int | None:
    """Tell how often all pixels are read to fit and to write; None where data decides.

    Bins want the range of the values where the type does not tell it, or where `scaled` bands
    are to have bins of their own.
    """
    way = choose_way(dtype, channels, algorithm)
    if way == LLOYD or algorithm == "dask-ml":
        return None
    return 3 if way == BINNED and needs_range(dtype, scaled=scaled) else 2


def needs_range(dtype: Any, *, scaled: bool = False) -> bool:
    """Tell if values must be looked at for their range before they are counted in bins."""
    dtype = np.dtype(dtype)
    return scaled or dtype.kind == "f" or dtype.itemsize > 2
