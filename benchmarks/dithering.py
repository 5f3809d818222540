"""Dithering: what mixtures cost beside the nearest colours, and what they gain."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from skimage.filters import gaussian

import bigquant
from bigquant.palette import Palette
from bigquant.planes import map_pixels
from bigquant.remap import labeller

from . import images
from .report import Row
from .timing import take_turns

TITLE = "Dithering"
NOTES = (
    "Labels of a photo of 100 megapixels with sensor noise, in memory, by threads. Each round has "
    "a palette of its own, so that tables are made anew. Counting is of the pixels of each colour "
    "and of their error: dithered outputs do it while they are written, and so does `apply`. The "
    "local error is the root mean square, over the channels, between the photo and its copy, "
    "both blurred by a Gaussian of 2 pixels."
)
_WAYS = ("none", "bayer", "blue-noise")
_ROUNDS, _BLUR, _CHUNK = 3, 2.0, 2048
_turns = itertools.count()


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on an image of `scale` times the size; `folder` is not needed."""
    del folder
    pixels, small = images.photo(100 * scale), images.photo(1)
    lazy = da.from_array(pixels, chunks=(_CHUNK, _CHUNK, 3), name=False)
    n_pixels = pixels.shape[0] * pixels.shape[1]
    rows: list[Row] = []
    for k in (8, 32, 256):
        palette = bigquant.quantize(small, k).palette
        running = {
            (way, counted): _labels_of(lazy, palette, way, counted)
            for way in _WAYS
            for counted in (False, True)
        }
        for contender in running.values():
            contender()  # compiles
        timed = take_turns(
            {f"{way} {counted}": run for (way, counted), run in running.items()}, _ROUNDS
        )
        plain = timed["none False"].seconds
        for way in _WAYS:
            alone, counted = (timed[f"{way} {each}"].seconds for each in (False, True))
            rows.append(
                {
                    "": f"k={k}, {way}",
                    "ns per pixel": alone / n_pixels * 1e9,
                    "times plain": alone / plain,
                    "counted, ns per pixel": counted / n_pixels * 1e9,
                    "times plain, counted": counted / timed["none True"].seconds,
                    "local error": _local_error(small, palette, way),
                }
            )
    return rows


def _labels_of(image: da.Array, palette: Palette, dither: str, counted: bool) -> Callable[[], Any]:
    """Plan to label an image; of a block no more than a label is kept."""

    def run() -> Any:
        # in another order, colours are another palette, for which tables are made
        turned = np.random.default_rng(next(_turns)).permutation(palette.colors)
        chosen = labeller(image, Palette.from_colors(turned), dither)

        def label(block: Any, row: int, column: int) -> Any:
            labels = chosen.tally(block, row, column)[0] if counted else chosen(block, row, column)
            return labels[:1, :1]

        planned = map_pixels(label, image, token="label", dtype=palette.label_dtype, placed=True)
        return dask.compute(*planned.to_delayed().ravel(), scheduler="threads")

    return run


def _local_error(pixels: images.Pixels, palette: Palette, dither: str) -> float:
    painted = np.asarray(palette.apply(pixels, dither=dither))
    soft = [gaussian(i.astype(float), _BLUR, channel_axis=2) for i in (pixels, painted)]
    return float(np.sqrt(((soft[0] - soft[1]) ** 2).sum(axis=2).mean()))
