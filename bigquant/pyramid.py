"""Halving a block of an image for the next level of a pyramid. Knows nothing of Dask.

A level is made from the one before it: labels by the mode of 2 x 2 (a mean of labels means
nothing), colours by the mean. At an odd last row or column there is less to halve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.halving import halve_means
from bigquant.jit import jit


@dataclass(frozen=True)
class Layers:
    """What a block holds of each pixel.

    Parameters
    ----------
    labels : dtype, optional
        Type of the labels, where there are any.
    colors : dtype, optional
        Type of the colours, where there are any.
    channels : int
        How many values a colour has.
    nodata : bool
        Whether label 0 means that a pixel is no part of the image.
    """

    labels: np.dtype[Any] | None = None
    colors: np.dtype[Any] | None = None
    channels: int = 0
    nodata: bool = False

    @property
    def label_bytes(self) -> int:
        """Bytes that labels take of a pixel."""
        return self.labels.itemsize if self.labels is not None else 0

    @property
    def color_bytes(self) -> int:
        """Bytes that colours take of a pixel."""
        return self.channels * self.colors.itemsize if self.colors is not None else 0

    @property
    def bytes(self) -> int:
        """Bytes of a pixel that a block is packed to; whether it is valid takes one."""
        return self.label_bytes + self.color_bytes + self.marks_valid

    @property
    def marks_valid(self) -> bool:
        """Whether colours that are no part of the image are told apart."""
        return self.nodata and self.colors is not None


@dataclass(frozen=True, eq=False)
class Block:
    """What is known of a block at one level of the pyramid.

    Parameters
    ----------
    labels : ndarray, (y, x), uint8 or uint16, optional
    colors : ndarray, (y, x, channels), optional
    valid : ndarray, (y, x), uint8, optional
        1 where `colors` hold any pixel that is part of the image; everywhere without it.
    nodata : bool
        Whether label 0 means that a pixel is no part of the image.
    """

    labels: NDArray[Any] | None
    colors: NDArray[Any] | None
    valid: NDArray[np.uint8] | None
    nodata: bool

    def halve(self) -> Block:
        """Make the block of the next level: half as high and wide, rounded up."""
        labels = colors = valid = None
        if self.labels is not None:
            labels = np.empty(_half(self.labels.shape), self.labels.dtype)
            halve_labels(self.labels, self.nodata, labels)
        if self.colors is not None:
            colors, valid = halve_means(self.colors, self.valid)
        return Block(labels, colors, valid, self.nodata)

    def stack(self) -> NDArray[np.uint8]:
        """Pack the block into one array (y, x, bytes of a pixel): layers differ in type."""
        layers = [layer for layer in (self.labels, self.colors, self.valid) if layer is not None]
        return np.dstack([_as_bytes(layer) for layer in layers])

    @classmethod
    def unstack(cls, packed: NDArray[np.uint8], layers: Layers) -> Block:
        """Make a block of what `stack` packed of such layers."""
        first, last = layers.label_bytes, layers.label_bytes + layers.color_bytes
        labels = colors = valid = None
        if layers.labels is not None:
            labels = _from_bytes(packed[..., :first], layers.labels)[..., 0]
        if layers.colors is not None:
            colors = _from_bytes(packed[..., first:last], layers.colors)
        if layers.marks_valid:
            valid = np.ascontiguousarray(packed[..., last])
        return cls(labels, colors, valid, layers.nodata)


def _as_bytes(layer: NDArray[Any]) -> NDArray[np.uint8]:
    rows = np.ascontiguousarray(layer).reshape(*layer.shape[:2], -1)
    return rows.view(np.uint8)


def _from_bytes(packed: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(packed).view(dtype)


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
