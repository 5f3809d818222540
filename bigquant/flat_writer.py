"""Flat files of labels, ``.npy`` and PNG, from blocks written apart. Knows nothing of Dask.

Both hold the image row after row. So tasks write their block into a part file of its own, and
at the end the rows are copied, in order: memory stays flat, and no two machines ever write
into one file. numpy and Pillow write the structure.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import PngImagePlugin

from bigquant.errors import InputError
from bigquant.pyramid import Block
from bigquant.source import Source
from bigquant.tiling import Level

#: Pixels of a PNG: one process encodes them, one after another, and viewers hold them all.
MAX_PIXELS = 1 << 30
#: Height and width that libpng, and with it nearly every program, reads at most.
MAX_SIDE = 1_000_000
_BAND_BYTES = 16 << 20


def check_room(
    path: str, format_: str | None, shape: tuple[int, int], n_labels: int, content: str
) -> None:
    """Find out, before any work, if a flat file can hold an image.

    Parameters
    ----------
    path : str
        Name of the output in errors.
    format_ : {"png", "npy"} or any other
        Of `inputs.format_of`; others hold everything.
    shape : (int, int)
        Height and width.
    n_labels : int
        With the reserved one.
    content : {"both", "image", "labels"}
        A PNG is image and labels in one; a ``.npy`` holds labels only.

    Raises
    ------
    InputError
        If it cannot.
    """
    height, width = shape
    if format_ == "npy" and content == "image":
        raise InputError(f"{path}: a .npy holds labels, not the image: write .png, .tif or .zarr")
    if format_ != "png":
        return
    if n_labels > 256:
        raise InputError(
            f"{path}: {n_labels} labels, of at most 256 that a PNG has colours for (one is for "
            "pixels that are left out, if any can be): choose a smaller k, or write .tif or .zarr"
        )
    if height * width > MAX_PIXELS or max(shape) > MAX_SIDE:
        raise InputError(
            f"{path}: {width} x {height} pixels, of at most {MAX_PIXELS} in all and {MAX_SIDE} "
            "a side that a PNG is written with: write .tif or .zarr"
        )


@dataclass(frozen=True)
class Sink:
    """Writes blocks of labels into part files of a folder.

    Parameters
    ----------
    folder : str
    level : Level
        How the labels are cut.
    dtype : dtype
        Of the labels in the file: little-endian.
    """

    folder: str
    level: Level
    dtype: np.dtype[Any]

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store a block, by its place in the grid of blocks; there is but one level."""
        assert level == 0
        assert block.labels is not None
        write_part(self.part(row, column), np.ascontiguousarray(block.labels, self.dtype))

    def part(self, row: int, column: int) -> Path:
        """Name the part file of a block."""
        return Path(self.folder) / f"{row}-{column}.part"

    def files(self, level: int, row: int, column: int) -> list[str]:
        """Name the file of a block; there is but one level."""
        assert level == 0
        return [str(self.part(row, column))]

    def shape(self, row: int, column: int) -> tuple[int, int]:
        """Height and width of a block."""
        (height, width), (y, x) = self.level.shape, self.level.block
        return min(y, height - row * y), min(x, width - column * x)

    def missing(self) -> list[str]:
        """List the part files that are not there, or not whole."""
        return [
            self.part(row, column).name
            for row, column in np.ndindex(self.level.grid)
            if not self._is_whole(row, column)
        ]

    def _is_whole(self, row: int, column: int) -> bool:
        height, width = self.shape(row, column)
        path = self.part(row, column)
        return path.is_file() and path.stat().st_size == height * width * self.dtype.itemsize

    def read(self, row: int, column: int, first: int, count: int) -> NDArray[Any]:
        """Read `count` rows of a block, from its row `first` on."""
        width = self.shape(row, column)[1]
        path = self.part(row, column)
        offset = first * width * self.dtype.itemsize
        found = np.fromfile(path, self.dtype, count * width, offset=offset)
        if found.size != count * width:
            raise OSError(errno.EIO, f"{path.name} is cut short")
        return found.reshape(count, width)


def write_part(path: Path, labels: NDArray[Any]) -> None:
    """Write the labels of a block as they are."""
    with path.open("wb") as file:
        file.write(labels.data)


def assemble(path: Path, sink: Sink) -> None:
    """Write the ``.npy`` file, of version 1.0, of the part files of a sink.

    Parameters
    ----------
    path : Path
    sink : Sink
        Its part files are removed as they are copied.
    """
    height, width = sink.level.shape
    header = {"descr": sink.dtype.str, "fortran_order": False, "shape": (height, width)}
    step = max(1, _BAND_BYTES // (width * sink.dtype.itemsize))
    columns = range(sink.level.grid[1])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in range(sink.level.grid[0]):
            rows = sink.shape(row, 0)[0]
            for first in range(0, rows, step):
                count = min(step, rows - first)
                parts = [sink.read(row, column, first, count) for column in columns]
                file.write(np.concatenate(parts, axis=1).data)
            for column in columns:
                sink.part(row, column).unlink()


def save_png(
    path: Path,
    stored: Path,
    *,
    table: NDArray[np.uint8],
    transparent: bool,
    description: Mapping[str, Any],
    source: Source,
) -> None:
    """Write an indexed PNG of the labels in a ``.npy`` file, which is mapped, not read.

    Parameters
    ----------
    path, stored : Path
        The PNG, and the labels (y, x), uint8.
    table : ndarray, (n, 1 or 3), uint8
        Colour of each label: the PNG's palette.
    transparent : bool
        Whether label 0 is.
    description : Mapping
        Stored in a text chunk "bigquant", as JSON.
    source : Source
        Its resolution and, if it is one of RGB, its colour profile are kept.
    """
    labels = np.load(stored, mmap_mode="r")
    height, width = labels.shape
    picture = pillow.frombuffer("P", (width, height), labels, "raw", "P", 0, 1)
    picture.putpalette(np.broadcast_to(table, (len(table), 3)).tobytes())
    facts = PngImagePlugin.PngInfo()
    facts.add_text("bigquant", json.dumps(description), zip=True)
    options: dict[str, Any] = {"pnginfo": facts, "dpi": _dots_per_inch(source)}
    if transparent:
        options["transparency"] = 0
    profile = source.profile_of("RGB")  # a palette's colours are RGB, of gray images too
    if profile:
        options["icc_profile"] = profile
    picture.save(path, "PNG", **options)


def _dots_per_inch(source: Source) -> tuple[float, float] | None:
    """Pixels per inch along x and y; None if it is not known, or a PNG cannot say it."""
    if source.pixel_size is None or source.resolution is None:
        return None
    factor = 2.54 if source.unit == "centimeter" else 1.0
    x, y = (factor * value for value in source.resolution)
    return (x, y) if all(1 <= value / 0.0254 + 0.5 < 2**31 for value in (x, y)) else None
