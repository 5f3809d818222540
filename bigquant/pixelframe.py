"""The pixels of an image as a Dask DataFrame, one a row, with their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant.bands import channel_names, css_colors, split_channels
from bigquant.palette import Palette
from bigquant.remap import labeller


def frame_pixels(image: da.Array, palette: Palette) -> Any:
    """Plan a dask.dataframe.DataFrame with a row for each pixel, one partition a block.

    Pixels that are no part of the image are left out. Each block is read once.

    Parameters
    ----------
    image : dask.array.Array, (y, x, channel), uint8
    palette : Palette
        Of as many channels.
    """
    import dask.dataframe as dd  # noqa: PLC0415 - takes a second to import

    chosen = labeller(image, palette)
    words = np.array(css_colors(palette.table), object)
    blocks = image.rechunk({2: -1}).to_delayed()
    rows, columns = (np.cumsum((0, *lengths[:-1])) for lengths in image.chunks[:2])
    frame = dask.delayed(_frame_block, pure=False)
    parts = [
        frame(blocks[i, j, 0], rows[i], columns[j], chosen, palette.colors, words)
        for i, j in np.ndindex(*blocks.shape[:2])
    ]
    one = np.zeros((1, 1, image.shape[2]), image.dtype)
    empty = _frame_block(one, 0, 0, chosen, palette.colors, words).iloc[:0]
    return dd.from_delayed(parts, meta=empty, verify_meta=False)


def _frame_block(
    pixels: NDArray[np.uint8],
    row: int,
    column: int,
    chosen: Callable[..., NDArray[Any]],
    colors: NDArray[np.uint8],
    words: NDArray[Any],
) -> Any:
    """Make the rows of one block, whose first pixel stands at this row and column."""
    import pandas as pd  # noqa: PLC0415

    channels, has_alpha = split_channels(pixels.shape[2])
    shown = pixels[..., -1] > 0 if has_alpha else np.ones(pixels.shape[:2], np.bool_)
    y, x = np.nonzero(shown)
    labels = chosen(pixels, colors, len(words) - len(colors))[shown]
    return pd.DataFrame(
        {
            "y": y + row,
            "x": x + column,
            **{
                band: pixels[..., number][shown]
                for number, band in enumerate(channel_names(channels))
            },
            "cluster": labels,
            "color": pd.Series(words[labels], dtype="str"),
        }
    )
