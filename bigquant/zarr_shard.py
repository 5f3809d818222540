"""One shard of a Zarr v3 array, encoded by the task that holds its pixels.

Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/. zarr
itself encodes in one event loop and threads of its own, which several tasks at a time wait
for: it takes twice as long. What is made here is read by zarr, in the tests.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numcodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec

from bigquant.tiles import cut

_LEVEL = 3
#: Offset and size of a chunk that is not there.
_MISSING = 2**64 - 1


def codec(inner: tuple[int, int], depth: int | None) -> ShardingCodec:
    """Describe, for an array's metadata, what `encode_shard` makes.

    Parameters
    ----------
    inner : (int, int)
        Height and width of the chunks of a shard.
    depth : int, optional
        Channels of a (c, y, x) array; None for a (y, x) array.
    """
    inside: list[Any] = [BytesCodec(endian="little"), ZstdCodec(level=_LEVEL)]
    if depth is not None:
        # the bytes of a colour side by side: half as large as plane by plane, and faster
        inside.insert(0, TransposeCodec(order=(1, 2, 0)))
    return ShardingCodec(
        chunk_shape=inner if depth is None else (depth, *inner),
        codecs=inside,
        index_codecs=[BytesCodec(endian="little"), Crc32cCodec()],
        index_location="end",
    )


def encode_shard(
    block: NDArray[Any], inner: tuple[int, int], shard: tuple[int, int]
) -> list[bytes]:
    """Encode the shard of a block, as pieces of bytes that follow each other.

    Parameters
    ----------
    block : ndarray, (y, x) or (y, x, channel)
        At most a shard; the rest of the shard lies outside the array.
    inner : (int, int)
        Height and width of a chunk; chunks that stick out of the block are filled with zeros.
    shard : (int, int)
        Height and width of the shard, a multiple of `inner`.
    """
    encoder = numcodecs.Zstd(level=_LEVEL)
    block = block.astype(block.dtype.newbyteorder("<"), copy=False)
    index = np.full((shard[0] // inner[0], shard[1] // inner[1], 2), _MISSING, "<u8")
    pieces: list[bytes] = []
    offset = 0
    for row, column, tile in cut(block, inner, "constant"):
        data = encoder.encode(tile)
        index[row, column] = offset, len(data)
        offset += len(data)
        pieces.append(data)
    table = index.tobytes()
    return [*pieces, table, google_crc32c.value(table).to_bytes(4, "little")]
