"""Which of some 8-bit colours is nearest to others, in whatever space: exactly, ties to the first.

Nearest in a space are the points that `colorspace` makes of both, by the kernels of `rowlabels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorspace import points_of
from bigquant.nearest import fill_table
from bigquant.rowlabels import label_rows

#: Rows whose points are made at once: many enough for lists of candidates to pay.
_SLICE = 1 << 15


def label_colors(
    rows: NDArray[Any],
    colors: NDArray[Any],
    space: str,
    first_label: int,
    labels: NDArray[Any],
) -> None:
    """Give every row the label of its nearest colour.

    Parameters
    ----------
    rows : ndarray, (n, channels [+ alpha])
    colors : ndarray, (k, channels)
        Both of one type: gray or RGB of uint8 in other spaces than "srgb".
    space : {"srgb", "linear", "oklab", "lab"}
    first_label : int
        Label of the first colour; rows whose alpha is 0 get label 0.
    labels : ndarray, (n,), uint8, uint16 or int32
        Filled.
    """
    channels = colors.shape[1]
    if space == "srgb":
        factors = np.ones(channels)
        label_rows(rows, channels, colors * factors, factors, first_label, labels)
        return
    label_by_points(rows[:, :channels], points_of(colors, space), space, first_label, labels)
    if rows.shape[1] > channels:
        labels[rows[:, -1] == 0] = 0


def label_by_points(
    rows: NDArray[np.uint8],
    centers: NDArray[np.float64],
    space: str,
    first_label: int,
    labels: NDArray[Any],
) -> None:
    """Give every row (n, channels) the label of the nearest of some points of a space, (k, 3)."""
    for start in range(0, len(rows), _SLICE):
        points = points_of(rows[start : start + _SLICE], space)
        part = labels[start : start + len(points)]
        label_rows(points, 3, centers, np.ones(3), first_label, part)


def label_table(colors: NDArray[np.uint8], space: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make the table that gives every 8-bit colour, by its code, the index of its nearest one.

    Of gray (256,), of RGB (2**24,); `colors` are distinct.
    """
    values = np.arange(256, dtype=np.uint8)
    if colors.shape[1] == 1:
        table = np.empty(256, dtype)
        label_colors(values[:, None], colors, space, 0, table)
        return table
    table = np.empty(1 << 24, dtype)
    if space == "srgb":
        fill_table(colors.astype(np.float64), 0, table)
        return table
    rows = np.empty((1 << 16, 3), np.uint8)
    rows[:, 1], rows[:, 2] = np.repeat(values, 256), np.tile(values, 256)
    for red, part in enumerate(table.reshape(256, -1)):
        rows[:, 0] = red
        label_colors(rows, colors, space, 0, part)
    return table
