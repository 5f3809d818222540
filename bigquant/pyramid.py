"""Halving a block of an image for the next level of a pyramid. Knows nothing of Dask.

A level is made from the one before it: labels by the mode of 2 x 2 (a mean of labels means
nothing), colours by the rounded mean. At an odd last row or column there is less to halve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit


@dataclass(frozen=True, eq=False)
class Block:
    """What is known of a block at one level of the pyramid.

    Parameters
    ----------
    labels : ndarray, (y, x), uint8 or uint16, optional
    colors : ndarray, (y, x, channels), uint8, optional
    valid : ndarray, (y, x), uint8, optional
        1 where `colors` hold any pixel that is part of the image; everywhere without it.
    nodata : bool
        Whether label 0 means that a pixel is no part of the image.
    """

    labels: NDArray[Any] | None
    colors: NDArray[np.uint8] | None
    valid: NDArray[np.uint8] | None
    nodata: bool

    def halve(self) -> Block:
        """Make the block of the next level: half as high and wide, rounded up."""
        labels = colors = valid = None
        if self.labels is not None:
            labels = np.empty(_half(self.labels.shape), self.labels.dtype)
            halve_labels(self.labels, self.nodata, labels)
        if self.colors is not None:
            half = _half(self.colors.shape)
            colors = np.empty((*half, self.colors.shape[2]), np.uint8)
            if self.valid is None:
                halve_colors(self.colors, colors)
            else:
                valid = np.empty(half, np.uint8)
                halve_valid_colors(self.colors, self.valid, colors, valid)
        return Block(labels, colors, valid, self.nodata)

    def stack(self) -> NDArray[Any]:
        """Pack the block into one array (y, x, layer), of the labels' type where there are any."""
        layers = [layer for layer in (self.labels, self.colors, self.valid) if layer is not None]
        return np.dstack(layers)

    @classmethod
    def unstack(cls, layers: NDArray[Any], *, labels: bool, channels: int, nodata: bool) -> Block:
        """Make a block of what `stack` packed; `channels` is 0 where there are no colours."""
        rest = layers[..., int(labels) :]
        return cls(
            np.ascontiguousarray(layers[..., 0]) if labels else None,
            np.ascontiguousarray(rest[..., :channels], np.uint8) if channels else None,
            np.ascontiguousarray(rest[..., channels], np.uint8) if channels and nodata else None,
            nodata,
        )


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


@jit
def halve_labels(
    labels: NDArray[Any],  # IN  (y, x)
    nodata: bool,
    halved: NDArray[Any],  # OUT (ceil(y / 2), ceil(x / 2))
) -> None:
    """Take the most frequent of 2 x 2 labels; of equally frequent ones the lowest.

    With `nodata`, label 0 is taken only where it is more than half: it would else eat what
    lies beside it, level by level, wherever the labels there differ.
    """
    height, width = labels.shape
    for y in range(halved.shape[0]):
        top, bottom = 2 * y, min(2 * y + 1, height - 1)
        for x in range(halved.shape[1]):
            # a last row or column counts twice, which changes no majority and no tie
            left, right = 2 * x, min(2 * x + 1, width - 1)
            a, b = np.int32(labels[top, left]), np.int32(labels[top, right])
            c, d = np.int32(labels[bottom, left]), np.int32(labels[bottom, right])
            ab, ac, ad = np.int32(a == b), np.int32(a == c), np.int32(a == d)
            bc, bd, cd = np.int32(b == c), np.int32(b == d), np.int32(c == d)
            # how often a label occurs, less the label: the largest such number wins
            votes_a, votes_b = ((ab + ac + ad) << 18) - a, ((ab + bc + bd) << 18) - b
            votes_c, votes_d = ((ac + bc + cd) << 18) - c, ((ad + bd + cd) << 18) - d
            if nodata:  # one and a half votes less: twice 0 loses to anything, three times wins
                votes_a -= (np.int32(a == 0) * 3) << 17
                votes_b -= (np.int32(b == 0) * 3) << 17
                votes_c -= (np.int32(c == 0) * 3) << 17
                votes_d -= (np.int32(d == 0) * 3) << 17
            most = max(max(votes_a, votes_b), max(votes_c, votes_d))
            halved[y, x] = -most & 0xFFFF


@jit
def halve_colors(
    colors: NDArray[np.uint8],  # IN  (y, x, channels)
    halved: NDArray[np.uint8],  # OUT (ceil(y / 2), ceil(x / 2), channels)
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
    colors: NDArray[np.uint8],  # IN  (y, x, channels)
    valid: NDArray[np.uint8],  # IN  (y, x) 0 or 1
    halved: NDArray[np.uint8],  # OUT (ceil(y / 2), ceil(x / 2), channels)
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
