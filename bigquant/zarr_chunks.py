"""The chunks of a Zarr v2 array, encoded by the task that holds their pixels.

Specification: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Version 2 has no shards:
each chunk is a file. Blosc, because viewers in Java and JavaScript have known it for longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from bigquant.tiles import cut

#: For an array's metadata, what `encode_chunks` makes.
COMPRESSOR = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)


def encode_chunks(block: NDArray[Any], inner: tuple[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """Encode the chunks of a block.

    Parameters
    ----------
    block : ndarray, (y, x) or (y, x, channel)
        The latter for a (c, y, x) array.
    inner : (int, int)
        Height and width of a chunk; chunks that stick out of the block are filled with zeros.

    Yields
    ------
    row, column : int
        Place in the grid of the block's chunks.
    data : bytes
    """
    block = block.astype(block.dtype.newbyteorder("<"), copy=False)
    for row, column, tile in cut(block, inner, "constant"):
        pixels = tile if tile.ndim == 2 else np.ascontiguousarray(np.moveaxis(tile, 2, 0))
        yield row, column, COMPRESSOR.encode(pixels)
