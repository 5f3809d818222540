"""How images are cut into blocks: integers in, integers out.

Blocks to read lie on the file's own tiles, about 64 MiB each. Blocks to write are whole
shards: two tasks that wrote parts of one shard would lose each other's data, silently.
"""

from __future__ import annotations

import math

#: Bytes of pixels in a block.
BLOCK_BYTES = 64 << 20
#: Side of the small chunks (of a Zarr shard) or tiles (of a TIFF) that viewers load.
CHUNK = 512
#: TIFF demands that tile sides are multiples of this.
STEP = 16
_SMALLEST, _LARGEST = 128, 1024
_SMALL_BLOCK = 1 << 20


def plan_tiles(shape: tuple[int, int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Choose block height and width for an image stored in tiles.

    Parameters
    ----------
    shape : tuple
        Height, width, bytes per pixel.
    tile : tuple
        Height and width of the file's tiles.

    Returns
    -------
    tuple
        Multiples of the tile (or the whole side), a power of two of inner chunks, so that
        pyramid levels of whole blocks stay whole.
    """
    height, width, depth = shape
    side = math.isqrt(BLOCK_BYTES // depth)
    block_width = _blocks_of(tile[1], side)
    if block_width < width:
        return min(_blocks_of(tile[0], side), height), block_width
    rows = max(1, BLOCK_BYTES // (depth * width))
    return min(_blocks_of(tile[0], rows), height), width


def _blocks_of(tile: int, target: int) -> int:
    inner = tile * max(1, round(CHUNK / tile))
    if inner > target:
        return tile * max(1, target // tile)
    return inner << int(math.log2(target // inner))


def plan_rows(shape: tuple[int, int, int], rows_per_strip: int = 1) -> tuple[int, int]:
    """Choose block height and width for an image stored row by row: full-width bands.

    Bands that cut a few strips in two decode those twice, which costs less than bands that
    fit no shard; only tall strips are kept whole.
    """
    height, width, depth = shape
    rows = max(1, BLOCK_BYTES // (depth * width))
    for step in (CHUNK, 64, STEP):
        if rows >= step:
            rows -= rows % step
            break
    if rows_per_strip * 8 > rows:
        rows = rows_per_strip * max(1, rows // rows_per_strip)
    return min(rows, height), width


def align(chunks: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose the blocks to write for an image that comes in given chunks.

    Parameters
    ----------
    chunks : tuple of tuple of int
        Dask's chunk sizes along y and x, of any kind.

    Returns
    -------
    block : (int, int)
        Chunk size to bring the image to (the last along an axis may be smaller); the
        chunks' own where these can be written as they are.
    inner : (int, int)
        Height and width of the small chunks or tiles: multiples of 16 that divide the
        block wherever there is more than one along an axis.
    """
    small = max(chunks[0]) * max(chunks[1]) < _SMALL_BLOCK
    (y, inner_y), (x, inner_x) = (_align_axis(sizes, small) for sizes in chunks[:2])
    return (y, x), (inner_y, inner_x)


def _align_axis(sizes: tuple[int, ...], small: bool) -> tuple[int, int]:
    total = sum(sizes)
    if len(sizes) == 1:
        return total, min(CHUNK, -(-total // STEP) * STEP)
    size = max(sizes)
    regular = set(sizes[:-1]) == {size}
    if small and size < _LARGEST:
        size *= -(-_LARGEST // size)
    inner = _divisor(size)
    if not inner or not (regular or small):
        size = -(-size // STEP) * STEP if size < CHUNK else round(size / CHUNK) * CHUNK
        inner = _divisor(size)
    if size >= total:
        return _align_axis((total,), small)
    return size, inner


def _divisor(size: int) -> int:
    """Find the divisor of `size` that suits a chunk best; 0 where none does."""
    if size % STEP:
        return 0
    fitting = [d for d in range(_SMALLEST, _LARGEST + 1, STEP) if size % d == 0]
    if not fitting:
        return size if size < _SMALLEST else 0
    return min(fitting, key=lambda d: abs(d - CHUNK))
