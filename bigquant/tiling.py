"""How images are cut into blocks: integers in, integers out.

Blocks to read lie on the file's own tiles, about 64 MiB each. Blocks to write are whole
shards: two tasks that wrote parts of one shard would lose each other's data, silently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

#: Bytes of pixels in a block.
BLOCK_BYTES = 64 << 20
#: Side of the small chunks (of a Zarr shard) or tiles (of a TIFF) that viewers load.
CHUNK = 512
#: TIFF demands that tile sides are multiples of this.
STEP = 16
#: Sides of a source's tiles that are kept.
_TILES = range(STEP, 4096 + 1, STEP)
#: Sides to choose from where the wanted one does not divide a block.
_SMALLEST, _LARGEST = 128, 1024
_SMALL_BLOCK = 1 << 20
#: Pixels of what tasks leave to the next tier of a pyramid: at most so many where blocks are
#: small enough to be halved no further, and put together to about so many, or to as many as
#: `BLOCK_BYTES` hold.
_TAIL, _GROUP = 1 << 20, 1 << 22


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


def align(
    chunks: tuple[tuple[int, ...], ...], tile: tuple[int, int] | None = None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose the blocks to write for an image that comes in given chunks.

    Parameters
    ----------
    chunks : tuple of tuple of int
        Dask's chunk sizes along y and x, of any kind.
    tile : (int, int), optional
        Small chunks or tiles to have if they suit, instead of 512 x 512.

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
    (y, inner_y), (x, inner_x) = (
        _align_axis(sizes, small, wanted)
        for sizes, wanted in zip(chunks[:2], _wanted(tile), strict=True)
    )
    return (y, x), (inner_y, inner_x)


def _wanted(tile: tuple[int, int] | None) -> tuple[int, int]:
    """Take tiles that suit: not huge, and of sides that TIFF allows."""
    if tile and all(side in _TILES for side in tile):
        return tile
    return CHUNK, CHUNK


def _align_axis(sizes: tuple[int, ...], small: bool, wanted: int) -> tuple[int, int]:
    total = sum(sizes)
    if len(sizes) == 1:
        return total, min(wanted, -(-total // STEP) * STEP)
    size = max(sizes)
    regular = set(sizes[:-1]) == {size}
    if small and size < _LARGEST:
        size *= -(-_LARGEST // size)
    inner = _divisor(size, wanted)
    if not inner or not (regular or small):
        size = -(-size // STEP) * STEP if size < wanted else round(size / wanted) * wanted
        inner = _divisor(size, wanted)
    if size >= total:
        return _align_axis((total,), small, wanted)
    return size, inner


def _divisor(size: int, wanted: int) -> int:
    """Find the divisor of `size` that is nearest to the side that is wanted; 0 where none does."""
    if size % STEP:
        return 0
    if size % wanted == 0:
        return wanted
    fitting = [d for d in range(_SMALLEST, _LARGEST + 1, STEP) if size % d == 0]
    if not fitting:
        return size if size < max(_SMALLEST, wanted) else 0
    return min(fitting, key=lambda d: abs(d - wanted))


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, and how it is cut.

    Parameters
    ----------
    shape : (int, int)
        Height and width: those of the level before, halved and rounded up.
    inner : (int, int)
        Chunk of a shard, or tile: multiples of 16.
    block : (int, int)
        What one task writes: a multiple of `inner` wherever there is more than one along
        an axis.
    """

    shape: tuple[int, int]
    inner: tuple[int, int]
    block: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Number of blocks along y and x."""
        return -(-self.shape[0] // self.block[0]), -(-self.shape[1] // self.block[1])

    @property
    def shard(self) -> tuple[int, int]:
        """Whole chunks that hold a block."""
        y, x = (-(-b // i) * i for b, i in zip(self.block, self.inner, strict=True))
        return y, x


def plan_pyramid(
    chunks: tuple[tuple[int, ...], ...],
    tile: tuple[int, int] | None = None,
    *,
    pixel_bytes: int = 1,
) -> list[list[Level]]:
    """Choose the levels to write, and which of them a task writes together.

    A task halves its block as long as the halves can be written as they are. What is left
    then is small; several of those are put together to a block of the next tier.

    Parameters
    ----------
    chunks : tuple of tuple of int
        Dask's chunk sizes along y and x, of any kind.
    tile : (int, int), optional
        Small chunks or tiles to have if they suit, instead of 512 x 512.
    pixel_bytes : int
        What a task hands on of a pixel.

    Returns
    -------
    list of list of Level
        Tiers, of at least one level each. The first level is the image as it is, in blocks
        as of `align`; the last level is at most 512 pixels high and wide.
    """
    wanted = _wanted(tile)
    block, inner = align(chunks, tile)
    level = Level((sum(chunks[0]), sum(chunks[1])), inner, block)
    tiers = [[level]]
    while max(level.shape) > CHUNK:
        halved = _halved(level, wanted)
        if halved:
            level = halved
            tiers[-1].append(level)
        else:
            level = _grouped(level, wanted, min(_GROUP, BLOCK_BYTES // pixel_bytes))
            tiers.append([level])
    return tiers


def plan_tiff(
    chunks: tuple[tuple[int, ...], ...], tile: tuple[int, int] | None
) -> list[list[Level]]:
    """Choose the levels of a TIFF, as `plan_pyramid` does, but so that no tile looks like a strip.

    Programs that check COGs, rio-cogeo for one, refuse tiles as wide as the image, where that is
    not small, and overviews that are no narrower than the image.
    """
    tiers = plan_pyramid(chunks, tile)
    if sum(chunks[1]) == 1:
        tiers = [tiers[0][:1]]
    first = tiers[0][0]
    height, width = first.inner
    if width == first.shape[1] and max(first.shape) > CHUNK:
        width = 2 * STEP if width == STEP else -(-width // 2 // STEP) * STEP
        tiers[0][0] = replace(first, inner=(height, width))
    return tiers


def _halved(level: Level, wanted: tuple[int, int]) -> Level | None:
    """Halve a level and its blocks; None where the half blocks could not be written."""
    (height, width), (y, x) = _half(level.shape), _half(level.block)
    axes = [axis for axis in (0, 1) if level.grid[axis] > 1]
    inner = _inner((height, width), (y, x), wanted)
    if 0 in inner:
        return None
    tiny = any((y, x)[axis] < _SMALLEST for axis in axes)
    if tiny and y * x <= _TAIL:
        return None
    return Level((height, width), inner, (y, x))


def _grouped(level: Level, wanted: tuple[int, int], n_pixels: int) -> Level:
    """Halve a level, and put its half blocks together until they have so many pixels."""
    shape, block = _half(level.shape), list(_half(level.block))
    while True:
        inner = _inner(shape, (block[0], block[1]), wanted)
        ragged = [axis for axis in (0, 1) if not inner[axis]]
        several = [axis for axis in (0, 1) if block[axis] < shape[axis]]
        if not ragged and (not several or block[0] * block[1] >= n_pixels):
            y, x = (min(b, side) for b, side in zip(block, shape, strict=True))
            return Level(shape, inner, (y, x))
        block[min(ragged or several, key=lambda axis: block[axis])] *= 2


def _inner(
    shape: tuple[int, int], block: tuple[int, int], wanted: tuple[int, int]
) -> tuple[int, int]:
    """Choose the chunk of a level; 0 along an axis where none divides the block."""
    y, x = (
        min(step, -(-side // STEP) * STEP) if size >= side else _divisor(size, step)
        for side, size, step in zip(shape, block, wanted, strict=True)
    )
    return y, x


def _half(sides: tuple[int, int]) -> tuple[int, int]:
    return -(-sides[0] // 2), -(-sides[1] // 2)
