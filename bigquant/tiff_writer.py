"""Tiled BigTIFF from tiles that were encoded elsewhere. Knows nothing of Dask.

Tasks encode the tiles of their block into a part file of their own; at the end the tiles are
copied, in order, into the TIFF. So memory stays flat with any scheduler, and the file's
bytes do not depend on who was ready first. tifffile writes the structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

_LEVEL = 6


@dataclass(frozen=True)
class Part:
    """The encoded tiles of one block: where they lie and how long each is.

    Parameters
    ----------
    path : str
        File of the tiles, one after the other, row by row.
    sizes : tuple of tuple of int
        Bytes of every tile, (tile rows, tile columns).
    """

    path: str
    sizes: tuple[tuple[int, ...], ...]


def encode_part(path: str, block: NDArray[Any], tile: tuple[int, int]) -> Part:
    """Encode a block, (y, x) or (y, x, sample), into the part file `path`.

    The block starts on a tile border; tiles that stick out repeat its last row and column.
    """
    height, width = tile
    down, across = -(-block.shape[0] // height), -(-block.shape[1] // width)
    sizes = []
    with open(path, "wb") as file:
        for row in range(down):
            line = []
            for column in range(across):
                part = block[row * height :, column * width :][:height, :width]
                missing = [(0, height - part.shape[0]), (0, width - part.shape[1])]
                if any(after for _, after in missing):
                    part = np.pad(part, missing + [(0, 0)] * (part.ndim - 2), mode="edge")
                data = imagecodecs.deflate_encode(part.tobytes(), _LEVEL)
                line.append(file.write(data))
            sizes.append(tuple(line))
    return Part(path, tuple(sizes))


def assemble(
    path: str,
    parts: Sequence[Sequence[Part]],
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    tile: tuple[int, int],
    colormap: NDArray[np.uint16] | None = None,
    description: str | None = None,
    resolution: tuple[float, float] | None = None,
    unit: str | None = None,
    icc_profile: bytes | None = None,
    tags: Sequence[tuple[int, int, int, Any]] = (),
) -> None:
    """Write the TIFF from its parts, a grid (block rows, block columns).

    Parameters
    ----------
    path : str
    parts : grid of Part
    shape : tuple
        (y, x) or (y, x, 3).
    dtype : dtype
    tile : (int, int)
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
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    extra: dict[str, Any] = {}
    if colormap is not None:
        photometric, extra["colormap"] = "palette", colormap
    if resolution:
        extra["resolution"] = resolution
        extra["resolutionunit"] = {"inch": 2, "centimeter": 3}.get(unit or "", 1)
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(
            _tiles(parts),
            shape=shape,
            dtype=dtype,
            tile=tile,
            photometric=photometric,
            compression="zlib",
            description=description,
            software="bigquant",
            iccprofile=icc_profile,
            extratags=[(*tag, True) for tag in tags],
            metadata=None,
            **extra,
        )


def colormap_of(table: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Make the ColorMap tag, (3, 256) with 16-bit entries, of label colours (n, 1 or 3)."""
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, : len(table)] = np.broadcast_to(table, (len(table), 3)).T * np.uint16(257)
    return colormap


def _tiles(parts: Sequence[Sequence[Part]]) -> Iterator[bytes]:
    """Read the tiles of all parts in the order of the image, a row of tiles at a time."""
    for line in parts:
        files = [Path(part.path).open("rb") for part in line]  # noqa: SIM115
        try:
            for row in range(len(line[0].sizes)):
                for file, part in zip(files, line, strict=True):
                    for size in part.sizes[row]:
                        yield file.read(size)
        finally:
            for file in files:
                file.close()
