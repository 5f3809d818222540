"""A small copy of an image of any size: of a pyramid level, or of every n-th pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant.histogram import thumbnail_starts, thumbnail_step
from bigquant.image import Image
from bigquant.palette import Palette
from bigquant.remap import compare_rows, dither_labels


def thumbnail(image: Image, side: int = 512) -> NDArray[Any]:
    """Read an image so coarsely that neither side exceeds `side`, (y, x, channel).

    Parameters
    ----------
    image : Image
        Of a file with a pyramid the smallest level that has enough is read. Otherwise every
        n-th pixel along both axes, for which all blocks are read, one after the other.
    side : int
    """
    return thinned(_level_for(image, side), side)


def thinned(image: Image, side: int) -> NDArray[Any]:
    """Read every n-th pixel of an image, for which all blocks are read, one after the other."""
    step = thumbnail_step(image.shape, side)
    row, column = thumbnail_starts(image.shape, step)
    few = image[row::step, column::step] if step > 1 else da.asarray(image)
    # copied: a view would hold its whole block
    pixels: NDArray[Any] = few.map_blocks(np.array, dtype=image.dtype).compute()
    return pixels


def as_shown(pixels: NDArray[Any], channels: int, palette: Palette) -> NDArray[np.uint8]:
    """Show pixels (y, x, channels [+ alpha]) as gray or RGB, uint8, by the rule of a palette.

    Alpha, 0 or 255, follows where any pixel can be no part of the image. Gray joins RGB, and a
    palette of gray an image of RGB.
    """
    pixels, palette = _joined(pixels, channels, palette)
    rows = pixels[..., : palette.channels].reshape(-1, palette.channels)
    shown = palette.display.rgb(rows).reshape(*pixels.shape[:2], -1)
    return _with_alpha(shown, pixels, palette.channels)


def in_colors(
    pixels: NDArray[Any], channels: int, palette: Palette, dither: str = "none"
) -> NDArray[np.uint8]:
    """Put pixels into the colours of a palette, and show them as `as_shown` does.

    They are dithered as an image of their own: of one that is dithered every n-th pixel would
    show what its pattern and n have in common.
    """
    pixels, palette = _joined(pixels, channels, palette)
    palette = replace(palette, first_label=1)  # whatever it reserves, pixels may be masked
    if dither == "none":
        labels = compare_rows(pixels, palette)
    else:
        labels = dither_labels(pixels, palette, dither, 0, 0)
    return _with_alpha(palette.shown_table[labels], pixels, palette.channels)


def _joined(pixels: NDArray[Any], channels: int, palette: Palette) -> tuple[NDArray[Any], Palette]:
    """Bring gray pixels to a palette of RGB, or the palette to pixels of RGB."""
    if channels == 1 < palette.channels:
        pixels = np.dstack([pixels[..., :1]] * palette.channels + [pixels[..., 1:]])
    return pixels, palette.as_rgb() if channels > palette.channels else palette


def _with_alpha(shown: NDArray[np.uint8], pixels: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Add alpha to what is shown of pixels, where some of them can be masked."""
    has_alpha = pixels.shape[2] > channels
    if not has_alpha and pixels.dtype.kind != "f":
        return shown
    is_shown = np.isfinite(pixels[..., :channels]).all(axis=2)
    if has_alpha:
        is_shown &= pixels[..., channels] > 0
    return np.dstack([shown, np.where(is_shown, np.uint8(255), np.uint8(0))])


def _level_for(image: Image, side: int) -> Image:
    """Find the smallest level of a file's pyramid whose longer side is at least `side`."""
    best = image
    for level in image.smaller():
        if max(level.shape[:2]) < side:
            break
        best = level
    return best
