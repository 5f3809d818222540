"""Sample photos of any size, to try the main job on."""

from __future__ import annotations

import functools
import math
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from bigquant.errors import InputError
from bigquant.jit import jit
from bigquant.tiling import plan_tiles

#: Photos that come with scikit-learn.
NAMES = ("china", "flower")
#: Standard deviation of the noise, in units of the 8-bit scale.
_NOISE = 4.0
_TILE = 256
_MAX_MEGAPIXELS = 1_000_000


def sample_image(name: str = "china", megapixels: float | None = None) -> da.Array:
    """Plan a photo, as it is or enlarged with sensor noise.

    Parameters
    ----------
    name : {"china", "flower"}
        Photo of 640 x 427 pixels, bundled with scikit-learn.
    megapixels : float, optional
        Size to enlarge it to, up to a million. The noise at a pixel follows from its place,
        so the image is the same for any chunks.

    Returns
    -------
    dask.array.Array, (y, x, 3), uint8
        Blocks are made when they are computed, and the whole is never held.
    """
    if name not in NAMES:
        raise InputError(f"no sample image {name!r}: choose one of {', '.join(NAMES)}")
    height, width, _ = _photo(name).shape
    noise = 0.0
    if megapixels is not None:
        if not 0 < megapixels <= _MAX_MEGAPIXELS:
            raise InputError(f"megapixels={megapixels}: must be above 0, at most {_MAX_MEGAPIXELS}")
        scale = math.sqrt(megapixels * 1e6 / (height * width))
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        noise = _NOISE
    chunks = plan_tiles((height, width, 3), (_TILE, _TILE))
    plan = da.core.normalize_chunks((*chunks, 3), (height, width, 3))
    return da.map_blocks(
        _make_block,
        photo=name,
        size=(height, width),
        noise=noise,
        chunks=plan,
        dtype=np.uint8,
        meta=np.empty((0, 0, 0), np.uint8),
    )


@functools.lru_cache(maxsize=2)
def _photo(name: str) -> NDArray[np.uint8]:
    from sklearn.datasets import load_sample_image  # noqa: PLC0415 - takes a second

    return np.array(load_sample_image(f"{name}.jpg"))


def _make_block(
    photo: str, size: tuple[int, int], noise: float, block_info: Any = None
) -> NDArray[np.uint8]:
    (top, bottom), (left, right), _ = block_info[None]["array-location"]
    block = np.empty((bottom - top, right - left, 3), np.uint8)
    enlarge(_photo(photo), size, (top, left), noise, 255.0, True, block)
    return block


@jit
def enlarge(
    photo: NDArray[Any],  # IN  (rows, columns, channels)
    size: tuple[int, int],
    corner: tuple[int, int],
    noise: float,
    most: float,  # the least is 0
    whole: bool,  # whether values are whole numbers
    block: NDArray[Any],  # OUT (h, w, channels): the part of the large image from `corner` on
) -> None:
    """Interpolate linearly between the photo's pixels, and add noise by place."""
    rows, columns, channels = photo.shape
    for i in range(block.shape[0]):
        y = min(max((corner[0] + i + 0.5) * rows / size[0] - 0.5, 0.0), rows - 1.0)
        y0 = min(int(y), max(rows - 2, 0))
        fy = y - y0
        for j in range(block.shape[1]):
            x = min(max((corner[1] + j + 0.5) * columns / size[1] - 0.5, 0.0), columns - 1.0)
            x0 = min(int(x), max(columns - 2, 0))
            fx = x - x0
            for channel in range(channels):
                upper = photo[y0, x0, channel] * (1 - fx) + photo[y0, x0 + 1, channel] * fx
                lower = photo[y0 + 1, x0, channel] * (1 - fx) + photo[y0 + 1, x0 + 1, channel] * fx
                value = upper * (1 - fy) + lower * fy
                if noise:
                    number = (corner[1] + j) * max(4, channels) + channel
                    value += noise * _normal(corner[0] + i, number)
                if whole:
                    value = np.rint(value)
                block[i, j, channel] = 0.0 if value < 0.0 else most if value > most else value


@jit
def _normal(y: int, number: int) -> float:
    """Draw a nearly normal number (mean 0, variance 1) that belongs to a value of a row.

    The sum of four uniform ones, from the bits of SplitMix64 (Steele et al., 2014).
    """
    z = np.uint64(y) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(number)
    z = (z + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    total = 0.0
    for shift in range(0, 64, 16):
        total += np.float64((z >> np.uint64(shift)) & np.uint64(0xFFFF)) / 65535.0 - 0.5
    return total * 1.7320508075688772
