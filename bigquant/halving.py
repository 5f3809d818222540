"""Means of 2 x 2 pixels of any type: of whole numbers rounded half up, of floats as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit

_SIGN = np.uint64(1 << 63)


def halve_means(
    colors: NDArray[Any], valid: NDArray[np.uint8] | None
) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Halve colours by the mean of those of 2 x 2 pixels that are valid.

    Parameters
    ----------
    colors : ndarray, (y, x, channels), of any type of real numbers
    valid : ndarray, (y, x), uint8, optional
        0 or 1; without it all are.

    Returns
    -------
    colors : ndarray, (ceil(y / 2), ceil(x / 2), channels)
        0 where no pixel is valid, or NaN.
    valid : ndarray, (ceil(y / 2), ceil(x / 2)), uint8, optional
        Where any pixel is.
    """
    half = (-(-colors.shape[0] // 2), -(-colors.shape[1] // 2))
    halved = np.empty((*half, colors.shape[2]), colors.dtype)
    is_small = colors.dtype.kind in "iu" and colors.itemsize <= 2
    if valid is None and is_small:
        halve_colors(colors, halved)
        return halved, None
    every = np.ones(colors.shape[:2], np.uint8) if valid is None else valid
    halved_valid = np.empty(half, np.uint8)
    if is_small:
        halve_valid_colors(colors, every, halved, halved_valid)
    elif colors.dtype.kind == "f":
        # Numba knows no halves of float
        wide = colors.astype(np.promote_types(colors.dtype, np.float32), copy=False)
        means = halved if halved.dtype == wide.dtype else np.empty(halved.shape, wide.dtype)
        halve_floats(wide, every, means, halved_valid)
        halved[...] = means
    elif colors.dtype == np.uint64:
        # less 2**63 they are signed, and so are their means
        signed, means = (colors ^ _SIGN).view(np.int64), halved.view(np.int64)
        halve_wide(signed, every, np.int64(-(1 << 63)), means, halved_valid)
        halved ^= _SIGN
    else:
        halve_wide(colors, every, np.int64(0), halved, halved_valid)
    return halved, None if valid is None else halved_valid


@jit
def halve_colors(
    colors: NDArray[Any],  # IN  (y, x, channels) of up to 16 bits
    halved: NDArray[Any],  # OUT (ceil(y / 2), ceil(x / 2), channels)
) -> None:
    """Take the mean of 2 x 2 values, rounded half up."""
    height, width, channels = colors.shape
    for y in range(halved.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        for x in range(halved.shape[1]):
            left, right = 2 * x, min(2 * x + 1, width - 1)
            for channel in range(channels):
                upper = np.int32(colors[top, left, channel]) + colors[top, right, channel]
                lower = np.int32(colors[bottom, left, channel]) + colors[bottom, right, channel]
                halved[y, x, channel] = (upper + lower + 2) >> 2


@jit
def halve_valid_colors(
    colors: NDArray[Any],  # IN  (y, x, channels) of up to 16 bits
    valid: NDArray[np.uint8],  # IN  (y, x) 0 or 1
    halved: NDArray[Any],  # OUT (ceil(y / 2), ceil(x / 2), channels)
    halved_valid: NDArray[np.uint8],  # OUT (ceil(y / 2), ceil(x / 2))
) -> None:
    """Take the mean of the valid ones of 2 x 2 values, rounded half up; 0 where none is."""
    height, width = valid.shape
    for y in range(halved_valid.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        for x in range(halved_valid.shape[1]):
            left, right = 2 * x, min(2 * x + 1, width - 1)
            # a last row or column counts twice, which changes no mean
            a, b = np.int32(valid[top, left]), np.int32(valid[top, right])
            c, d = np.int32(valid[bottom, left]), np.int32(valid[bottom, right])
            n = a + b + c + d
            halved_valid[y, x] = n > 0
            for channel in range(colors.shape[2]):
                total = a * colors[top, left, channel] + b * colors[top, right, channel]
                total += c * colors[bottom, left, channel] + d * colors[bottom, right, channel]
                if n == 4:
                    halved[y, x, channel] = (total + 2) >> 2
                else:
                    halved[y, x, channel] = (2 * total + n) // (2 * n) if n else 0


@jit
def halve_wide(
    colors: NDArray[Any],  # IN  (y, x, channels) whole numbers that int64 has
    valid: NDArray[np.uint8],  # IN  (y, x) 0 or 1
    fill: np.int64,  # where none is valid
    halved: NDArray[Any],  # OUT (ceil(y / 2), ceil(x / 2), channels)
    halved_valid: NDArray[np.uint8],  # OUT (ceil(y / 2), ceil(x / 2))
) -> None:
    """Do the same with numbers whose sums may not fit: of parts of them, and of what remains."""
    height, width = valid.shape
    for y in range(halved_valid.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        for x in range(halved_valid.shape[1]):
            left, right = 2 * x, min(2 * x + 1, width - 1)
            n = np.int64(0)
            for row, column in ((top, left), (top, right), (bottom, left), (bottom, right)):
                n += np.int64(valid[row, column])
            halved_valid[y, x] = n > 0
            for channel in range(colors.shape[2]):
                whole, rest = np.int64(0), np.int64(0)
                for row, column in ((top, left), (top, right), (bottom, left), (bottom, right)):
                    if valid[row, column]:
                        part = np.int64(colors[row, column, channel]) // n
                        whole += part
                        rest += np.int64(colors[row, column, channel]) - part * n
                halved[y, x, channel] = whole + (2 * rest + n) // (2 * n) if n else fill


@jit
def halve_floats(
    colors: NDArray[Any],  # IN  (y, x, channels)
    valid: NDArray[np.uint8],  # IN  (y, x) 0 or 1
    halved: NDArray[Any],  # OUT (ceil(y / 2), ceil(x / 2), channels)
    halved_valid: NDArray[np.uint8],  # OUT (ceil(y / 2), ceil(x / 2))
) -> None:
    """Take the mean of the valid ones of 2 x 2 values; NaN where none is."""
    height, width = valid.shape
    for y in range(halved_valid.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        for x in range(halved_valid.shape[1]):
            left, right = 2 * x, min(2 * x + 1, width - 1)
            n = np.int64(0)
            for row, column in ((top, left), (top, right), (bottom, left), (bottom, right)):
                n += np.int64(valid[row, column])
            halved_valid[y, x] = n > 0
            for channel in range(colors.shape[2]):
                total = 0.0
                for row, column in ((top, left), (top, right), (bottom, left), (bottom, right)):
                    if valid[row, column]:
                        total += np.float64(colors[row, column, channel])
                halved[y, x, channel] = total / n if n else np.nan
