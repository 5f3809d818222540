"""Tiled BigTIFF from tiles that were encoded elsewhere. Knows nothing of Dask.

Tasks encode the tiles of their block into a part file of their own; at the end the tiles are
copied, in order, into the TIFF. So memory stays flat with any scheduler, and the file's
bytes do not depend on who was ready first. tifffile writes the structure.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.pyramid import Block
from bigquant.tiles import cut
from bigquant.tiling import Level

_LEVEL = 6
_SIZE = np.dtype("<u8")


@dataclass(frozen=True)
class Sink:
    """Encodes blocks into part files of a folder.

    Parameters
    ----------
    folder : str
    levels : tuple of Level
    """

    folder: str
    levels: tuple[Level, ...]

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""
        pixels = block.labels
        if block.colors is not None:
            pixels = block.colors[..., 0] if block.colors.shape[2] == 1 else block.colors
        assert pixels is not None
        encode_part(self.part(level, row, column), pixels, self.levels[level].inner)

    def part(self, level: int, row: int, column: int) -> Path:
        """Name the part file of a block."""
        return Path(self.folder) / f"{level}-{row}-{column}.part"

    def missing(self) -> list[str]:
        """List the part files that are not there."""
        parts = (
            self.part(number, row, column)
            for number, level in enumerate(self.levels)
            for row, column in np.ndindex(level.grid)
        )
        return [part.name for part in parts if not part.is_file()]


def encode_part(path: Path, block: NDArray[Any], tile: tuple[int, int]) -> None:
    """Encode a block, (y, x) or (y, x, sample), into a part file: sizes of the tiles, tiles.

    The block starts on a tile border; tiles that stick out repeat its last row and column.
    """
    parts = cut(block, tile, "edge")
    tiles = [imagecodecs.deflate_encode(part.tobytes(), _LEVEL) for _, _, part in parts]
    with path.open("wb") as file:
        file.write(np.array([len(data) for data in tiles], _SIZE).tobytes())
        file.writelines(tiles)


def assemble(
    path: str,
    sink: Sink,
    *,
    dtype: np.dtype[Any],
    depth: tuple[int, ...] = (),
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
    resolution: tuple[float, float] | None = None,
    unit: str | None = None,
    icc_profile: bytes | None = None,
    tags: Sequence[tuple[int, int, int, Any]] = (),
) -> None:
    """Write the TIFF of the part files of a sink: the image, and its overviews after it.

    Parameters
    ----------
    path : str
    sink : Sink
        Its part files are removed as they are copied.
    dtype : dtype
    depth : (), (3,)
        Samples of a pixel.
    colormap : ndarray, (3, 256), uint16, optional
        Makes it a palette image.
    description : str, optional
        ASCII text for tag 270.
    resolution, unit
        Pixels per unit along x and y; "inch" or "centimeter".
    icc_profile : bytes, optional
    tags : sequence
        (code, type, count, value) of further tags.
    """
    common: dict[str, Any] = {"photometric": "rgb" if depth else "minisblack"}
    if colormap is not None:
        common = {"photometric": "palette", "colormap": colormap}
    first: dict[str, Any] = {"description": description, "iccprofile": icc_profile}
    if resolution:
        first["resolution"] = resolution
        first["resolutionunit"] = {"inch": 2, "centimeter": 3}.get(unit or "", 1)
    first["extratags"] = [(*tag, True) for tag in tags]
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for number, level in enumerate(sink.levels):
            tif.write(
                _tiles(sink, number),
                shape=(*level.shape, *depth),
                dtype=dtype,
                tile=level.inner,
                compression="zlib",
                software="bigquant",
                metadata=None,
                subfiletype=1 if number else 0,  # 1: of reduced resolution
                **common,
                **({} if number else first),
            )


def colormap_of(table: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Make the ColorMap tag, (3, 256) with 16-bit entries, of label colours (n, 1 or 3)."""
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, : len(table)] = np.broadcast_to(table, (len(table), 3)).T * np.uint16(257)
    return colormap


def _tiles(sink: Sink, number: int) -> Iterator[bytes]:
    """Read the tiles of a level in the order of the image, a row of tiles at a time."""
    level = sink.levels[number]
    for row in range(level.grid[0]):
        parts = [sink.part(number, row, column) for column in range(level.grid[1])]
        height = min(level.block[0], level.shape[0] - row * level.block[0])
        for line in range(-(-height // level.inner[0])):
            for column, part in enumerate(parts):
                width = min(level.block[1], level.shape[1] - column * level.block[1])
                across = -(-width // level.inner[1])
                down = -(-height // level.inner[0])
                yield from _read_line(part, line, across, across * down)
        for part in parts:
            part.unlink()


def _read_line(part: Path, line: int, across: int, n_tiles: int) -> Iterator[bytes]:
    """Read a row of tiles of a part file."""
    with part.open("rb") as file:
        sizes = np.frombuffer(file.read(n_tiles * _SIZE.itemsize), _SIZE)
        file.seek(int(sizes[: line * across].sum()), os.SEEK_CUR)
        for size in sizes[line * across : (line + 1) * across].tolist():
            data = file.read(size)
            if len(data) != size:
                raise OSError(errno.EIO, f"{part.name} is cut short")
            yield data
