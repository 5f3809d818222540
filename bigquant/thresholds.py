"""What a pixel's place says: thresholds that repeat over an image, to be dithered by."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigquant.mixing import LEVELS

#: How pixels can be dithered; without "none", by what they are held against.
DITHERS = ("none", "bayer", "blue-noise")
_BAYER_SIDE = 16
_SIDE = 64


@functools.cache
def thresholds(dither: str) -> NDArray[np.uint16]:
    """Get the thresholds of pixels by their rows and columns, modulo 64, (64, 64).

    Of all values below a ratio there are as many, in any part of the matrix, as the ratio says,
    nearly: so the pixels of a mixture are spread evenly.
    """
    return _bayer() if dither == "bayer" else _blue_noise()


def _bayer() -> NDArray[np.uint16]:
    """Make the matrix of B. E. Bayer, "An optimum method for two-level rendition" (1973)."""
    ranks = np.zeros((1, 1), np.uint16)
    while len(ranks) < _BAYER_SIDE:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    step, times = LEVELS // ranks.size, _SIDE // _BAYER_SIDE
    return np.tile((ranks * step + step // 2).astype(np.uint16), (times, times))


def _blue_noise() -> NDArray[np.uint16]:
    """Read ranks that were made by `tests/blue_noise.py`, as no two machines round alike."""
    ranks: NDArray[np.uint16] = np.load(Path(__file__).with_name("blue_noise.npy"))
    return ranks
