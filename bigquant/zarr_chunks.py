"""The chunks of a Zarr v2 array, encoded and written by the task that holds their pixels.

Specification: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Version 2 has no shards:
each chunk is a file. Blosc, because viewers in Java and JavaScript have known it for longest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from bigquant.tiles import cut

#: For an array's metadata, what `write_chunks` writes.
COMPRESSOR = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)


def write_chunks(
    folder: Path, block: NDArray[Any], inner: tuple[int, int], first: tuple[int, int]
) -> None:
    """Write the chunks of a block as files ROW/COLUMN; the folders of the rows are there.

    Parameters
    ----------
    folder : Path
    block : ndarray, (y, x) or (y, x, channel)
        The latter for a (c, y, x) array.
    inner : (int, int)
        Height and width of a chunk; chunks that stick out of the block are filled with zeros.
    first : (int, int)
        Row and column of the first chunk of the block.
    """
    block = block.astype(block.dtype.newbyteorder("<"), copy=False)
    for row, column, tile in cut(block, inner, "constant"):
        pixels = tile if tile.ndim == 2 else np.ascontiguousarray(np.moveaxis(tile, 2, 0))
        path = folder / str(first[0] + row) / str(first[1] + column)
        path.write_bytes(COMPRESSOR.encode(pixels))
