"""Labels -> colours, one block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit


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
    fill_planes(labels, table, planes)
    return np.moveaxis(planes, 0, 2)


@jit
def fill_planes(
    labels: NDArray[Any],  # IN  (y, x) below n
    table: NDArray[np.uint8],  # IN  (n, channels)
    planes: NDArray[np.uint8],  # OUT (channels, y, x)
) -> None:
    """Look every label's colour up."""
    for y in range(labels.shape[0]):
        for channel in range(planes.shape[0]):
            for x in range(labels.shape[1]):
                planes[channel, y, x] = table[labels[y, x], channel]
