"""A block of pixels -> tiles of one size, as files store them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def cut(
    block: NDArray[Any], size: tuple[int, int], fill: Literal["edge", "constant"]
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Cut a block, (y, x) or (y, x, channel), into tiles from its upper left corner on.

    Parameters
    ----------
    block : ndarray
    size : (int, int)
        Height and width of a tile.
    fill : {"edge", "constant"}
        What tiles that stick out are filled up with: the last row and column, or zeros.

    Yields
    ------
    row, column : int
        Place in the grid of tiles.
    tile : ndarray, contiguous
    """
    height, width = size
    for row in range(-(-block.shape[0] // height)):
        for column in range(-(-block.shape[1] // width)):
            tile = block[row * height : (row + 1) * height, column * width : (column + 1) * width]
            missing = [(0, height - tile.shape[0]), (0, width - tile.shape[1])]
            if any(after for _, after in missing):
                tile = np.pad(tile, missing + [(0, 0)] * (tile.ndim - 2), mode=fill)
            yield row, column, np.ascontiguousarray(tile)
