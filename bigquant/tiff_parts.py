"""Encoded tiles on their way into a TIFF. Knows nothing of Dask, and nothing of directories.

Tasks encode the tiles of their block into a part file of their own; at the end the tiles are
copied, in order, into the TIFF. So memory stays flat with any scheduler, and the file's
bytes do not depend on who was ready first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from bigquant.pyramid import Block
from bigquant.tiles import cut
from bigquant.tiling import Level

#: TIFF's number of each compression, and its encoder.
COMPRESSIONS: dict[str, tuple[int, Callable[[bytes], bytes | bytearray]]] = {
    "deflate": (8, lambda tile: imagecodecs.deflate_encode(tile, 6)),
    "zstd": (50000, lambda tile: imagecodecs.zstd_encode(tile, 9)),
    "lzw": (5, lambda tile: imagecodecs.lzw_encode(tile)),
    "none": (1, bytes),
}
_SIZE = np.dtype("<u8")
#: GDAL's frame of a tile: its size before it, its last bytes again after it.
LEADER = TRAILER = 4


@dataclass(frozen=True)
class Sink:
    """Encodes blocks into part files of a folder.

    Parameters
    ----------
    folder : str
    levels : tuple of Level
    compression : str
        One of `COMPRESSIONS`.
    framed : bool
        Whether tiles stand in GDAL's frames.
    """

    folder: str
    levels: tuple[Level, ...]
    compression: str = "deflate"
    framed: bool = False

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""
        parts = cut(_samples(block), self.levels[level].inner, "edge")
        encode = COMPRESSIONS[self.compression][1]
        tiles = [encode(tile.tobytes()) for _, _, tile in parts]
        write_part(self.part(level, row, column), tiles, self.framed)

    def part(self, level: int, row: int, column: int) -> Path:
        """Name the part file of a block."""
        return Path(self.folder) / f"{level}-{row}-{column}.part"

    def files(self, level: int, row: int, column: int) -> list[str]:
        """Name the file of a block."""
        return [str(self.part(level, row, column))]

    def missing(self) -> list[str]:
        """List the part files that are not there."""
        parts = (
            self.part(number, row, column)
            for number, level in enumerate(self.levels)
            for row, column in np.ndindex(level.grid)
        )
        return [part.name for part in parts if not part.is_file()]

    def stored(self, sizes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Bytes that tiles of given sizes take, with their frames."""
        return sizes + np.uint64((LEADER + TRAILER) * self.framed)

    def sizes(self, number: int) -> NDArray[np.uint64]:
        """Read the encoded size of each tile of a level, in the order of the image (y, x)."""
        level = self.levels[number]
        sizes = np.zeros(_n_tiles(level.shape, level.inner), _SIZE)
        for row, column in np.ndindex(level.grid):
            part, here = self.part(number, row, column), sizes[_tiles_of(level, row, column)]
            with part.open("rb") as file:
                head = file.read(here.nbytes)
                if len(head) == here.nbytes:
                    here[...] = np.frombuffer(head, _SIZE).reshape(here.shape)
                length = here.nbytes + int(self.stored(here).sum())
                if os.fstat(file.fileno()).st_size != length or not here.all():
                    raise OSError(errno.EIO, f"{part.name} is cut short")
        return sizes

    def copy(self, number: int, stored: NDArray[np.uint64], file: BinaryIO) -> None:
        """Append the tiles of a level to a file, in the order of the image.

        Part files are removed as they are copied. No more is in memory than a row of tiles of
        a block.
        """
        level = self.levels[number]
        for row in range(level.grid[0]):
            parts = [self.part(number, row, column) for column in range(level.grid[1])]
            tables = [stored[_tiles_of(level, row, c)] for c in range(level.grid[1])]
            for line in range(len(tables[0])):
                for part, table in zip(parts, tables, strict=True):
                    with part.open("rb") as tiles:
                        tiles.seek(table.size * _SIZE.itemsize + int(table[:line].sum()))
                        file.write(tiles.read(int(table[line].sum())))
            for part in parts:
                part.unlink()


def write_part(path: Path, tiles: list[bytes | bytearray], framed: bool) -> None:
    """Write a part file: sizes of the encoded tiles, tiles."""
    with path.open("wb") as file:
        file.write(np.array([len(tile) for tile in tiles], _SIZE).tobytes())
        file.writelines(map(_frame, tiles) if framed else tiles)


def _samples(block: Block) -> NDArray[Any]:
    """Make the pixels (y, x) or (y, x, sample) of a block; the last sample is alpha if any."""
    if block.colors is None:
        assert block.labels is not None
        return block.labels
    if block.valid is not None:
        return np.dstack([block.colors, block.valid * np.uint8(255)])
    return block.colors[..., 0] if block.colors.shape[2] == 1 else block.colors


def _frame(tile: bytes | bytearray) -> bytes:
    last = bytes(tile[-TRAILER:]).rjust(TRAILER, b"\0")
    return b"".join([len(tile).to_bytes(LEADER, "little"), tile, last])


def _n_tiles(shape: tuple[int, ...], tile: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // tile[0]), -(-shape[1] // tile[1])


def _tiles_of(level: Level, row: int, column: int) -> tuple[slice, slice]:
    """Find the tiles of a block among those of its level."""
    down, across = _n_tiles(level.block, level.inner)
    return slice(row * down, (row + 1) * down), slice(column * across, (column + 1) * across)
