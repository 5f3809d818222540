"""A stored image before it is a Dask array: samples by windows, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigquant.source import Source


class Windows(Protocol):
    """An image (y, x, sample) that reads what is sliced out of it, and pickles small.

    It tells what cannot be read by a `BigquantError` of one line that begins with the path.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples per pixel."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples, in the machine's byte order."""

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a window: three slices without steps, within the shape."""


@dataclass(frozen=True)
class Selection:
    """Which of several images in a file.

    Parameters
    ----------
    series : int, optional
        Of the images of different kinds or sizes in a file; the largest without it.
    page : int, optional
        Of a TIFF, counted over the whole file, instead of a series.
    level : int
        Of a pyramid; 0 is full resolution.
    planes : Mapping
        Index for each axis that is neither y, x nor channel: {"T": 0, "Z": 3}.
    """

    series: int | None = None
    page: int | None = None
    level: int = 0
    planes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Raster:
    """What a reader found in a file.

    Parameters
    ----------
    windows : Windows
        All samples, in the file's own order and type; a palette's indices, CMYK and the like
        are converted to RGB.
    block : (int, int)
        Height and width of blocks that suit the file's tiles.
    source : Source
    colors : tuple of int, optional
        Samples that are gray (one) or red, green and blue; None where the file does not
        say, and someone must choose.
    alpha : int, optional
        Sample that is alpha: where it is 0, a pixel is no part of the image.
    premultiplied : bool
        Whether the colours are multiplied by alpha.
    nodata : float, optional
        A pixel all of whose bands have this value, as the file stores them, is no part of the
        image.
    marks : int, optional
        Last sample, which is no band: 0 where a pixel is nodata. There is one where bands are
        converted, so that nodata cannot be looked for in them.
    mask : Windows, optional
        The file's own mask, of one sample: 0 where a pixel is no part of the image.
    orientation : int
        How to turn the stored image to see it upright: 1 to 8, as in TIFF's tag 274.
    """

    windows: Windows
    block: tuple[int, int]
    source: Source
    colors: tuple[int, ...] | None
    alpha: int | None = None
    premultiplied: bool = False
    nodata: float | None = None
    marks: int | None = None
    mask: Windows | None = None
    orientation: int = 1

    @property
    def n_bands(self) -> int:
        """Samples of a pixel without marks."""
        return self.windows.shape[2] - (self.marks is not None)
