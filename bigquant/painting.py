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
    """
    colors = np.empty((*labels.shape, table.shape[1]), np.uint8)
    fill_colors(labels, table, colors)
    return colors


@jit
def fill_colors(
    labels: NDArray[Any],  # IN  (y, x) below n
    table: NDArray[np.uint8],  # IN  (n, channels)
    colors: NDArray[np.uint8],  # OUT (y, x, channels)
) -> None:
    """Look every label's colour up."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            for channel in range(colors.shape[2]):
                colors[y, x, channel] = table[label, channel]
