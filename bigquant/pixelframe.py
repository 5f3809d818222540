"""The pixels of an image as a Dask DataFrame, one a row, with their labels."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant.bands import channel_names, css_colors
from bigquant.palette import Palette
from bigquant.remap import Labeller, labeller


def frame_pixels(image: da.Array, palette: Palette, dither: str) -> Any:
    """Plan a dask.dataframe.DataFrame with a row for each pixel, one partition a block.

    Pixels that are no part of the image are left out. Each block is read once.

    Parameters
    ----------
    image : dask.array.Array, (y, x, channel)
    palette : Palette
        Of as many channels.
    dither : {"none", "bayer", "blue-noise"}
        Of `quantize`.
    """
    import dask.dataframe as dd  # noqa: PLC0415 - takes a second to import

    chosen = labeller(image, palette, dither)
    words = np.array(css_colors(palette.shown_table), object)
    blocks = image.rechunk({2: -1}).to_delayed()
    rows, columns = (np.cumsum((0, *lengths[:-1])) for lengths in image.chunks[:2])
    frame = dask.delayed(_frame_block, pure=False)
    parts = [
        frame(blocks[i, j, 0], rows[i], columns[j], chosen, words)
        for i, j in np.ndindex(*blocks.shape[:2])
    ]
    one = np.zeros((1, 1, image.shape[2]), image.dtype)
    empty = _frame_block(one, 0, 0, chosen, words).iloc[:0]
    return dd.from_delayed(parts, meta=empty, verify_meta=False)


def _frame_block(
    pixels: NDArray[Any],
    row: int,
    column: int,
    chosen: Labeller,
    words: NDArray[Any],
) -> Any:
    """Make the rows of one block, whose first pixel stands at this row and column."""
    import pandas as pd  # noqa: PLC0415

    channels, labels = chosen.palette.channels, chosen(pixels, row, column)
    shown = labels >= chosen.palette.first_label
    y, x = np.nonzero(shown)
    labels = labels[shown]
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
