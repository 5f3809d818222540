"""Labels -> colours, one block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def paint_block(labels: NDArray[Any], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour labels by a table.

    Parameters
    ----------
    labels : ndarray, (y, x), uint8 or uint16
        Below n.
    table : ndarray, (n, channels), uint8
        Colour of each label.

    Returns
    -------
    ndarray, (y, x, channels), uint8
        A view of (channels, y, x) planes, which is how they are made fastest and stored.
    """
    planes = np.empty((table.shape[1], *labels.shape), np.uint8)
    for plane, values in zip(planes, table.T, strict=True):
        # NumPy fills `out` without a buffer in this mode only; no label is out of range
        np.take(np.ascontiguousarray(values), labels, out=plane, mode="clip")
    return np.moveaxis(planes, 0, 2)
