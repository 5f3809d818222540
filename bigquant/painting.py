"""Labels -> colours, one block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit


def paint_block(labels: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """Colour labels by a table.

    Parameters
    ----------
    labels : ndarray, (y, x), uint8 or uint16
        Below n.
    table : ndarray, (n, channels), of any type of real numbers
        Colour of each label.

    Returns
    -------
    ndarray, (y, x, channels), of the table's type
    """
    colors = np.empty((*labels.shape, table.shape[1]), table.dtype)
    bits = np.dtype(f"u{table.itemsize}")  # copied as they are: one kernel for types of a size
    fill_colors(labels, np.ascontiguousarray(table).view(bits), colors.view(bits))
    return colors


@jit
def fill_colors(
    labels: NDArray[Any],  # IN  (y, x) below n
    table: NDArray[Any],  # IN  (n, channels)
    colors: NDArray[Any],  # OUT (y, x, channels)
) -> None:
    """Look every label's colour up."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            for channel in range(colors.shape[2]):
                colors[y, x, channel] = table[label, channel]
