"""A small copy of an image of any size: of a pyramid level, or of every n-th pixel."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.histogram import thumbnail_starts, thumbnail_step
from bigquant.image import Image
from bigquant.nearest import assign
from bigquant.palette import Palette


def thumbnail(image: Image, side: int = 512) -> NDArray[Any]:
    """Read an image so coarsely that neither side exceeds `side`, (y, x, channel).

    Parameters
    ----------
    image : Image
        Of a file with a pyramid the smallest level that has enough is read. Otherwise every
        n-th pixel along both axes, for which all blocks are read, one after the other.
    side : int
    """
    level = _level_for(image, side)
    step = thumbnail_step(level.shape, side)
    row, column = thumbnail_starts(level.shape, step)
    thinned = level[row::step, column::step] if step > 1 else da.asarray(level)
    # copied: a view would hold its whole block
    pixels: NDArray[Any] = thinned.map_blocks(np.array, dtype=image.dtype).compute()
    return pixels


def in_colors(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Put pixels (y, x, channel) into the nearest colours of a palette; alpha is kept."""
    channels, has_alpha = split_channels(pixels.shape[2])
    colors = palette.colors
    if channels < colors.shape[1]:
        pixels = np.dstack([pixels[..., :1]] * 3 + [pixels[..., 1:]])
        channels = 3
    elif channels > colors.shape[1]:
        colors = palette.rgb
    labels, _ = assign(pixels[..., :channels].reshape(-1, channels), colors.astype(np.float64))
    painted: NDArray[np.uint8] = colors[labels].reshape(*pixels.shape[:2], channels)
    return np.dstack([painted, pixels[..., channels:]]) if has_alpha else painted


def _level_for(image: Image, side: int) -> Image:
    """Find the smallest level of a file's pyramid whose longer side is at least `side`."""
    best = image
    for level in image.smaller():
        if max(level.shape[:2]) < side:
            break
        best = level
    return best
