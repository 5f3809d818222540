"""Colours that a palette lacks, shown as mixtures of two that it has.

What a pixel becomes depends on its colour, the palette, and its row and column in the whole image:
no error is handed on from pixel to pixel, so there are no seams, whatever the chunks are.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorspace import points_of
from bigquant.jit import jit
from bigquant.mixing import LEVELS, Cells, list_cells, mix, sort_partners
from bigquant.thresholds import thresholds

#: Most colours of a palette: the labels of both parts of a mixture have 8 bits each.
MOST_COLORS = 256
#: Pixels that are labelled before new colours among them are mixed.
_SLICE = 1 << 17
#: What makes a colour bright, in thousandths of red, green and blue.
_LUMA = (299, 587, 114)
#: Mixtures are words: that one is there, steps of the second colour, the second, the first.
_KNOWN, _STEPS, _SECOND = 1 << 31, 16, 8
_STEPS_MASK, _COLOR_MASK = np.uint32(0x7FFF), np.uint32(0xFF)

_Parts = tuple[NDArray[np.float32], NDArray[np.int32], Cells | None]

_lock = threading.Lock()


def dither_block(
    pixels: NDArray[np.uint8],
    colors: NDArray[np.uint8],
    space: str,
    first_label: int,
    dither: str,
    row: int,
    column: int,
) -> NDArray[Any]:
    """Label one block (y, x, channel) in mixtures; transparent pixels get label 0.

    Parameters
    ----------
    pixels : ndarray, (y, x, channels [+ alpha]), uint8
    colors : ndarray, (k, channels), uint8
        Gray or RGB, 256 at most.
    space : {"srgb", "linear", "oklab", "lab"}
        Where colours are mixed.
    first_label : {0, 1}
    dither : {"bayer", "blue-noise"}
    row, column : int
        Where in the image the block begins.
    """
    height, width, _ = pixels.shape
    labels = np.empty((height, width), np.min_scalar_type(first_label + len(colors) - 1))
    matrix = _rolled(dither, column)
    with _lock:  # all threads fill the same table
        table, parts = _mixtures(colors.tobytes(), colors.shape, space)
    rows = max(1, _SLICE // max(1, width))
    missing = np.empty(rows * width, np.int64)
    for top in range(0, height, rows):
        part = np.require(pixels[top : top + rows], np.uint8, ["C", "W"])
        place = table, matrix, row + top, first_label, labels[top : top + rows]
        n = choose(part, colors.shape[1], *place, missing)
        if n:
            wanted = part.reshape(-1, part.shape[2])[missing[:n], : colors.shape[1]]
            mixed = mix(_points(wanted, space), *parts)
            enter(wanted, *mixed, _brightness(colors), table)
            choose_again(wanted, *place, missing[:n])
    return labels


@functools.lru_cache(maxsize=8)  # what nobody has touched of a table takes no memory
def _mixtures(data: bytes, shape: tuple[int, int], space: str) -> tuple[NDArray[np.uint32], _Parts]:
    """Get the table of a palette's mixtures by colour code, which fills as colours turn up.

    With it comes what `mix` makes them of. Threads need no lock to fill the table together:
    whoever mixes a colour writes the same word.
    """
    centers = _points(np.frombuffer(data, np.uint8).reshape(shape), space)
    cells = list_cells(centers) if space == "srgb" else None
    return np.zeros(256 ** shape[1], np.uint32), (centers, sort_partners(centers), cells)


def _points(colors: NDArray[np.uint8], space: str) -> NDArray[np.float32]:
    found: NDArray[Any] = colors if space == "srgb" else points_of(colors, space)
    return found.astype(np.float32)


def _rolled(dither: str, column: int) -> NDArray[np.uint16]:
    """Bring the threshold of a block's first column to the front."""
    matrix = thresholds(dither)
    return np.ascontiguousarray(np.roll(matrix, -(column % len(matrix)), axis=1))


def _brightness(colors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Tell how bright palette colours (k, 1 or 3) are; no two are alike."""
    luma = (np.broadcast_to(colors, (len(colors), 3)) * np.array(_LUMA)).sum(axis=1)
    ranked: NDArray[np.int64] = luma * len(colors) + np.arange(len(colors))
    return ranked


@jit
def enter(
    colors: NDArray[np.uint8],  # IN  (n, channels)
    nearest: NDArray[np.int32],  # IN  (n,) of `mix`
    other: NDArray[np.int32],  # IN  (n,)
    steps: NDArray[np.int32],  # IN  (n,)
    bright: NDArray[np.int64],  # IN  (k,) of `_brightness`
    table: NDArray[np.uint32],  # OUT (256 ** channels,)
) -> None:
    """Enter mixtures into a table, each as one word, the darker colour first.

    So, where one mixture follows on another over a picture, bright pixels stand where they stood.
    """
    for i in range(colors.shape[0]):
        first, second, share = np.int64(nearest[i]), np.int64(other[i]), np.int64(steps[i])
        if bright[second] < bright[first]:
            first, second, share = second, first, LEVELS - share
        word = _KNOWN | (share << _STEPS) | (second << _SECOND) | first
        table[_code(colors[i])] = np.uint32(word)


@jit
def _code(color: NDArray[np.uint8]) -> int:
    code = np.int64(color[0])
    for channel in range(1, color.size):
        code = (code << 8) | np.int64(color[channel])
    return code  # type: ignore[return-value]


@jit
def choose_again(
    colors: NDArray[np.uint8],  # IN  (n, channels) of the pixels
    table: NDArray[np.uint32],  # IN  (256 ** channels,) their mixtures are known now
    matrix: NDArray[np.uint16],  # IN  as of `choose`
    row: int,
    first_label: int,
    labels: NDArray[Any],  # OUT (rows, columns)
    which: NDArray[np.int64],  # IN  (n,) pixels, by number
) -> None:
    """Choose as `choose` does, for those pixels for which it could not."""
    side, columns = matrix.shape[0], labels.shape[1]
    for i in range(which.size):
        y, x = which[i] // columns, which[i] % columns
        word, threshold = table[_code(colors[i])], matrix[(row + y) % side, x % side]
        labels[y, x] = _color(word, threshold) + first_label


@jit
def choose(
    pixels: NDArray[np.uint8],  # IN  (rows, columns, channels [+ alpha])
    channels: int,
    table: NDArray[np.uint32],  # IN  (256 ** channels,) mixtures by code, 0 where not known
    matrix: NDArray[np.uint16],  # IN  (side, side) thresholds, of the first column first
    row: int,  # of the first pixel in the image
    first_label: int,
    labels: NDArray[Any],  # OUT (rows, columns)
    missing: NDArray[np.int64],  # OUT pixels whose mixture is not known, by number
) -> int:
    """Choose one colour of each pixel's mixture; tell of how many pixels none is known.

    Words are looked up for a row of pixels, and then the processor chooses several at a time.
    """
    rows, columns, depth = pixels.shape
    side, n = matrix.shape[0], 0
    words = np.empty(columns, np.uint32)
    for y in range(rows):
        _look_up(pixels[y], channels, table, words)
        thresholds_of_row = matrix[(row + y) % side]
        for left in range(0, columns, side):
            end = min(left + side, columns)
            part = words[left:end], thresholds_of_row, first_label, labels[y, left:end]
            if _choose(*part) < end - left:
                for x in range(left, end):
                    missing[n] = y * columns + x
                    n += words[x] == 0
        if depth > channels:
            for x in range(columns):
                labels[y, x] = 0 if pixels[y, x, channels] == 0 else labels[y, x]
    return n


@jit
def _look_up(
    pixels: NDArray[np.uint8],
    channels: int,
    table: NDArray[np.uint32],
    words: NDArray[np.uint32],
) -> None:
    """Look the mixtures of a row up; transparent pixels have one that nobody looks at."""
    has_alpha = pixels.shape[1] > channels
    for x in range(words.size):
        code = np.int64(pixels[x, 0])
        if channels > 1:
            code = (code << 8) | np.int64(pixels[x, 1])
        if channels > 2:
            code = (code << 8) | np.int64(pixels[x, 2])
        words[x] = table[code]
        if has_alpha and pixels[x, channels] == 0:
            words[x] = _KNOWN


@jit
def _choose(
    words: NDArray[np.uint32],
    thresholds_of_row: NDArray[np.uint16],
    first_label: int,
    labels: NDArray[Any],
) -> int:
    """Choose one colour of each mixture, and tell how many mixtures are known."""
    n_known = 0
    for i in range(words.size):
        word = words[i]
        n_known += word != 0
        labels[i] = _color(word, thresholds_of_row[i]) + first_label
    return n_known


@jit
def _color(word: np.uint32, threshold: np.uint16) -> np.uint32:
    """Take the second colour where the threshold lies below its steps."""
    is_second = np.uint32(threshold) < ((word >> np.uint32(_STEPS)) & _STEPS_MASK)
    return (word >> np.uint32(_SECOND) if is_second else word) & _COLOR_MASK
