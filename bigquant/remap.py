"""Dask image and palette -> labels, by look-up, block by block."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant import kernels
from bigquant.dither import dither_block
from bigquant.nearcolors import label_colors, label_table
from bigquant.nearest import nearest_of_all
from bigquant.painting import paint_block
from bigquant.palette import Palette, label_dtype
from bigquant.planes import map_pixels
from bigquant.rowlabels import label_rows, tally_rows

#: Up to so many distances, of so many pixels, an image is labelled in less time than a table is
#: made.
_FEW_DISTANCES, _FEW_PIXELS = 1 << 26, 1 << 22
#: Where another space tells what is nearest, so many pixels are: a table has as many entries.
_FEW_POINTS = 1 << 24

#: Pixels that are compared at once: what they take stays in the cache.
_SLICE = 1 << 15
#: Pixels that are labelled and then counted, while they are in the second cache.
_TALLIED = 1 << 17

_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Labeller:
    """Labels the blocks of an image. It travels to the workers: only a palette, no table.

    Parameters
    ----------
    palette : Palette
    few : bool
        Whether the pixels are so few that 8-bit colours are labelled in less time than a table
        is made.
    dither : {"none", "bayer", "blue-noise"}
        Of `quantize`.
    """

    palette: Palette
    few: bool = False
    dither: str = "none"

    def __call__(self, pixels: NDArray[Any], row: int = 0, column: int = 0) -> NDArray[Any]:
        """Label one block (y, x, channel); pixels that are no part of the image get label 0.

        The block begins at this row and column of the image.
        """
        palette = self.palette
        if self.dither != "none":
            return dither_labels(pixels, palette, self.dither, row, column)
        if not has_table(palette):
            return compare_rows(pixels, palette)
        return (compare_block if self.few else label_block)(pixels, palette)

    def tally(
        self, pixels: NDArray[Any], row: int = 0, column: int = 0
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Label one block, and count what `Palette.with_tally` wants to know, (1, 1, n)."""
        palette, counts = self.palette, np.zeros(tally_length(self.palette), np.int64)
        if has_table(palette):
            labels = np.empty(pixels.shape[:2], palette.label_dtype)
            height = max(1, _TALLIED // max(1, pixels.shape[1]))
            for top in range(0, len(pixels), height):
                part = np.require(pixels[top : top + height], np.uint8, ["C", "W"])
                found = labels[top : top + height]
                found[:] = self(part, row + top, column)
                reserved = bool(palette.first_label)
                counts[-1] += kernels.tally(part, found, palette.table, reserved, counts[:-1])
        else:
            labels = self(pixels, row, column)
            counts[-2:] = tally_rows(
                _as_rows(pixels),
                palette.channels,
                labels.reshape(-1),
                palette.colors * palette.factors,
                palette.factors,
                palette.first_label,
                palette.error_unit,
                counts[:-2],
            )
        return labels, counts[None, None]


def has_table(palette: Palette) -> bool:
    """Tell if labels are looked up in a table of all colours: for 8-bit gray and RGB."""
    return palette.dtype == np.uint8 and palette.channels in (1, 3) and palette.scale == "none"


def tally_length(palette: Palette) -> int:
    """Tell how many numbers `Labeller.tally` counts."""
    return palette.first_label + palette.k + (1 if has_table(palette) else 2)


def remap(image: da.Array, palette: Palette) -> da.Array:
    """Plan to label every pixel with its nearest palette colour (ties: the lower label).

    Parameters
    ----------
    image : dask.array.Array, (y, x, channel)
        With the bands of the palette, and perhaps alpha.
    palette : Palette
        Where the image has alpha, or is of floats, its label 0 must be reserved.

    Returns
    -------
    dask.array.Array, (y, x), uint8 or uint16
        Same chunks; reads nothing before it is computed.
    """
    return map_pixels(
        labeller(image, palette), image, token="remap-block", dtype=palette.label_dtype
    )


def remap_and_tally(
    image: da.Array, palette: Palette, dither: str = "none"
) -> tuple[da.Array, da.Array]:
    """Plan labels, dithered perhaps, and what `Palette.with_tally` wants to know of them.

    One task makes both of a block, so what reads both reads the image once.

    Returns
    -------
    labels : dask.array.Array, (y, x), uint8 or uint16
    tally : dask.array.Array, (row, column, n), int64
        Of each chunk: pixels of every label, and last the sum of their squared errors, in one
        number or two. Whole numbers, so their sum is the same for any chunks.
    """
    pairs = map_pixels(
        labeller(image, palette, dither).tally,
        image,
        token="remap-block",
        dtype=object,
        placed=dither != "none",
    )
    dtype, length = palette.label_dtype, tally_length(palette)
    labels = pairs.map_blocks(
        itemgetter(0), token="labels-block", dtype=dtype, meta=np.empty((0, 0), dtype)
    )
    tallies = pairs.map_blocks(
        itemgetter(1),
        token="tally-block",
        dtype=np.int64,
        new_axis=2,
        chunks=(*((1,) * n for n in pairs.numblocks), (length,)),
        meta=np.empty((0, 0, 0), np.int64),
    )
    return labels, tallies


def paint(labels: da.Array, palette: Palette) -> da.Array:
    """Plan to turn labels (y, x) into colours (y, x, channel); a reserved label 0 is 0, or NaN."""
    table = palette.table
    return labels.map_blocks(
        paint_block,
        table,
        token="paint-block",
        dtype=table.dtype,
        new_axis=2,
        chunks=(*labels.chunks, (table.shape[1],)),
        meta=np.empty((0, 0, 0), table.dtype),
    )


def labeller(image: da.Array, palette: Palette, dither: str = "none") -> Labeller:
    """Choose how to label the blocks of an image."""
    n_pixels = image.shape[0] * image.shape[1]
    few = n_pixels <= _FEW_PIXELS and n_pixels * palette.k <= _FEW_DISTANCES
    if palette.space != "srgb":  # it takes longest to find out where a colour lies
        few = n_pixels <= _FEW_POINTS and palette.channels == 3
    return Labeller(palette.bare(), few, dither)


def label_block(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[Any]:
    """Label one block (y, x, channel) by look-up; transparent pixels get label 0."""
    table = lookup_table(palette)
    labels = np.empty(pixels.shape[:2], table.dtype)
    block = np.require(pixels, np.uint8, ["C", "W"])
    kernels.apply_table(block, palette.channels, table, labels)
    return labels


def compare_block(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[Any]:
    """Label one block as `label_block` does, without a table, which takes long to make.

    Squared distances of 8-bit colours are whole numbers that single precision holds exactly.
    """
    if palette.space != "srgb":
        return compare_rows(pixels, palette)
    colors, channels, first_label = palette.colors, palette.channels, palette.first_label
    rows = pixels[..., :channels].reshape(-1, channels)
    centers = colors.astype(np.float32)
    labels = np.empty(pixels.shape[:2], label_dtype(len(colors), first_label))
    nearest, distances = np.empty(_SLICE, np.int32), np.empty(_SLICE, np.float32)
    for start in range(0, len(rows), _SLICE):
        part = np.ascontiguousarray(rows[start : start + _SLICE])
        nearest_of_all(part, centers, nearest[: len(part)], distances[: len(part)])
        labels.reshape(-1)[start : start + len(part)] = nearest[: len(part)] + first_label
    if pixels.shape[2] > channels:
        labels[pixels[..., -1] == 0] = 0
    return labels


def dither_labels(
    pixels: NDArray[np.uint8], palette: Palette, dither: str, row: int, column: int
) -> NDArray[Any]:
    """Label one block that begins at a row and column in mixtures of a palette's colours."""
    mixed = palette.colors, palette.space, palette.first_label
    return dither_block(pixels, *mixed, dither, row, column)


def compare_rows(pixels: NDArray[Any], palette: Palette) -> NDArray[Any]:
    """Label one block of any type and bands, exactly."""
    labels = np.empty(pixels.shape[:2], palette.label_dtype)
    rows = _as_rows(pixels)
    if palette.space != "srgb":
        chosen = palette.colors, palette.space, palette.first_label
        label_colors(rows, *chosen, labels.reshape(-1))
        return labels
    label_rows(
        rows,
        palette.channels,
        palette.colors * palette.factors,
        palette.factors,
        palette.first_label,
        labels.reshape(-1),
    )
    return labels


def _as_rows(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring a block to rows that kernels know, (n, depth)."""
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    return np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1])


def lookup_table(palette: Palette) -> NDArray[Any]:
    """Get the label of every possible colour, by its code.

    It is built once in each process, from the palette; only palettes travel.
    """
    with _lock:  # a second thread waits for the table rather than building another
        colors, first_label, space = palette.colors, palette.first_label, palette.space
        return _build_table(colors.tobytes(), colors.shape, first_label, space)


@functools.lru_cache(maxsize=2)
def _build_table(data: bytes, shape: tuple[int, int], first_label: int, space: str) -> NDArray[Any]:
    colors = np.frombuffer(data, np.uint8).reshape(shape)
    dtype = label_dtype(len(colors), first_label)
    # a colour that comes again has no pixels, as ties go to the lowest label: it would cost time
    firsts = np.sort(np.unique(colors, axis=0, return_index=True)[1])
    labels = (firsts + first_label).astype(dtype)
    table: NDArray[Any] = labels[label_table(colors[firsts], space, dtype)]
    return table
