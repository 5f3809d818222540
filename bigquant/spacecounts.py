"""`SpaceHistogram`: counted 8-bit colours as points of a space. Knows nothing of Dask."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.binkeys import spreading
from bigquant.bintree import BinTree
from bigquant.colorcounts import ColorHistogram
from bigquant.colorspace import points_of
from bigquant.nearcolors import label_by_points, label_colors

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpaceHistogram:
    """Distinct colours and their counts, where distances are measured in a space.

    Only colours travel; their points are made where they are wanted.

    Parameters
    ----------
    counted : ColorHistogram
        Of gray or RGB of 8 bits.
    space : {"linear", "oklab", "lab"}

    Examples
    --------
    >>> image = np.array([[[0], [0], [255]]], np.uint8)
    >>> histogram = SpaceHistogram(ColorHistogram.create(1).add(image), "oklab")
    >>> histogram.gather_masses(np.array([[0.9, 0.0, 0.0], [0.2, 0.0, 0.0]])).tolist()
    [1, 2]
    """

    counted: ColorHistogram
    space: str

    @property
    def n_colors(self) -> int:
        """Number of distinct colours."""
        return self.counted.n_colors

    @property
    def channels(self) -> int:
        """Coordinates of a point."""
        return 3

    @property
    def fingerprint(self) -> str:
        """Of what was counted, whatever the space."""
        return self.counted.fingerprint

    @functools.cached_property
    def tree(self) -> BinTree:
        """The points as a tree of boxes, made once: in the order of a Z-curve through RGB.

        Colours that are near in one space are near in the others.
        """
        colors = self.counted.colors
        spread, keys = spreading(colors.shape[1]), np.zeros(len(colors), np.uint64)
        for band in colors.T:
            keys = keys << np.uint64(1) | spread[band]
        order = np.argsort(keys, kind="stable")
        weights = self.counted.counts[order].astype(np.float64)
        points = points_of(colors[order], self.space)
        return BinTree.grow(keys[order], points, weights, np.zeros(len(order)))

    def n_centers(self, most: int, kept: Floats) -> int:
        """Count the centres that a fit of at most so many has: no more than there are colours.

        Kept points (m, 3) are among them, whether a pixel has them or not.
        """
        if self.n_colors >= most:
            return most
        points = points_of(self.counted.colors, self.space)
        return min(most, len({*map(tuple, points.tolist()), *map(tuple, kept.tolist())}))

    def gather_masses(self, centers: Floats) -> NDArray[np.int64]:
        """Count the pixels whose point is nearest to each centre (k, 3), (k,)."""
        labels = np.empty(self.n_colors, np.int32)
        label_by_points(self.counted.colors, centers, self.space, 0, labels)
        return self._masses(labels, len(centers))

    def measure(self, colors: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
        """Count the pixels nearest to each colour (k, channels) in the space.

        Returns
        -------
        counts : ndarray, (k,), int64
        inertia : int
            Sum of their squared errors in 8-bit values.
        """
        own, counts = self.counted.colors, self.counted.counts.astype(np.int64)
        labels = np.empty(len(own), np.int32)
        label_colors(own, colors, self.space, 0, labels)
        squares = np.zeros(len(own), np.int64)
        for band, column in zip(colors.T.astype(np.int64), own.T, strict=True):
            squares += (column - band[labels]) ** 2
        return self._masses(labels, len(colors)), int((squares * counts).sum())

    def _masses(self, labels: NDArray[np.int32], k: int) -> NDArray[np.int64]:
        """Count the pixels of each label."""
        masses = np.zeros(k, np.int64)
        np.add.at(masses, labels, self.counted.counts.astype(np.int64))
        return masses

    def __sizeof__(self) -> int:
        """Tell schedulers and workers what it takes to hold or to move it."""
        return object.__sizeof__(self) + self.counted.__sizeof__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel small, without the tree."""
        return SpaceHistogram, (self.counted, self.space)
