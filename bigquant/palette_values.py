"""What a palette consists of, and what follows from that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.display import Display
from bigquant.metrics import psnr
from bigquant.palette_rows import RGBA

#: Most labels that 16 bits can hold beside the reserved one.
MAX_COLORS = 65535
#: So much finer than the largest squared error that an image can have is what is summed up.
_ERROR_BITS = 36


def label_dtype(k: int, first_label: int) -> np.dtype[Any]:
    """Choose the type of the labels of k colours: uint8 while they fit, else uint16."""
    return np.dtype(np.uint8 if first_label + k <= 256 else np.uint16)


def fields_of_bytes(channels: int) -> dict[str, Any]:
    """Tell what holds of the bands of all images of bytes, as fields of a palette."""
    return {
        "display": Display.plain(channels),
        "factors": np.ones(channels),
        "ranges": np.array([[0.0, 255.0]] * channels),
    }


@dataclass(frozen=True, eq=False)
class PaletteValues:
    """Colours in the order of their labels, most common first when they were fitted.

    Parameters
    ----------
    centers : ndarray, (k, channels), float64
        Centres of the clusters, in the image's own units.
    colors : ndarray, (k, channels)
        The centres rounded to the image's type: what is written. Gray, RGB, or whatever bands
        the image has.
    counts : ndarray, (k,), uint64
        Pixels nearest to each colour in the fitted image.
    display : Display
        How colours and image are shown.
    factors : ndarray, (channels,), float64
        What each band is multiplied by where distances are measured; 1 without a scale.
    ranges : ndarray, (channels, 2), float64
        Least and greatest value of each band of the fitted image; 0 and 255 for bytes.
    first_label : {0, 1}
        Label of the first colour; 1 where label 0 is kept for pixels that are no part of
        the image (transparent ones).
    inertia : int or float
        Sum over the fitted image's pixels of the squared distance to their colour.
    scale : {"none", "range", "std"}
        What the factors make equal: nothing, the ranges or the standard deviations of bands.
    space : {"srgb", "linear", "oklab", "lab"}
        Where distances are measured that tell which colour is nearest; other than "srgb", which
        is the values as they are, for gray and RGB of bytes only. The error is of the values.
    fit : Mapping
        How the palette was made: algorithm, random_state (the seed), distinct_colors,
        fingerprint (of the colours that were counted), sources (paths of the images),
        versions (of what fitted it), curve (the errors that k was chosen by).
    """

    centers: NDArray[np.float64]
    colors: NDArray[Any]
    counts: NDArray[np.uint64]
    display: Display
    factors: NDArray[np.float64]
    ranges: NDArray[np.float64]
    first_label: int = 0
    inertia: int | float = 0
    scale: str = "none"
    space: str = "srgb"
    fit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Number of colours."""
        return len(self.colors)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the colours, and of the images that they are for."""
        return self.colors.dtype

    @property
    def channels(self) -> int:
        """Number of bands of a colour."""
        return int(self.colors.shape[1])

    @property
    def n_pixels(self) -> int:
        """Pixels of the fitted image that are part of it."""
        return int(self.counts.sum())

    @property
    def is_exact(self) -> bool:
        """Whether the pixels and the error are those of a whole image, each pixel counted."""
        return self.n_pixels > 0 and isinstance(self.inertia, int)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Part of the pixels that each colour has, (k,), summing to 1."""
        return self.counts / max(1, self.n_pixels)

    @property
    def mse(self) -> float:
        """Squared error per pixel, summed over the channels."""
        return self.inertia / max(1, self.n_pixels)

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio per channel value in dB; infinite without an error.

        The peak of bytes is 255; of other values it is the range of the band with the largest.
        """
        peak = float(np.ptp(self.ranges * self.factors[:, None], axis=1).max())
        return psnr(self.mse, self.channels, peak or 1.0)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The colours as they are shown, as RGB (k, 3), gray ones too."""
        return np.broadcast_to(self.display.rgb(self.colors), (self.k, 3)).copy()

    @property
    def hex(self) -> list[str]:
        """The colours as they are shown, as ``#rrggbb``."""
        return ["#" + bytes(color).hex() for color in self.rgb]

    @property
    def table(self) -> NDArray[Any]:
        """Colour of every label, (first_label + k, channels); label 0 is 0 or NaN if reserved."""
        fill = np.nan if self.dtype.kind == "f" else 0
        reserved = np.full((self.first_label, self.channels), fill, self.dtype)
        return np.concatenate([reserved, self.colors])

    @property
    def shown_table(self) -> NDArray[np.uint8]:
        """Gray or RGB of every label as it is shown, (first_label + k, 1 or 3)."""
        shown = self.display.rgb(self.colors)
        return np.concatenate([np.zeros((self.first_label, shown.shape[1]), np.uint8), shown])

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """Type of the labels: uint8 while they fit, else uint16."""
        return label_dtype(self.k, self.first_label)

    @property
    def rows(self) -> list[RGBA]:
        """Red, green, blue, alpha of every label; alpha is 0 for label 0 if reserved, else 255."""
        reserved: list[RGBA] = [(0, 0, 0, 0)] * self.first_label
        return reserved + [(*color, 255) for color in self.rgb.tolist()]

    @property
    def error_unit(self) -> float:
        """What squared errors are rounded to before they are summed up, a power of two.

        So sums are of whole numbers, and the same in any order. It is 1, so that nothing is
        rounded, for whole numbers of up to 16 bits that are not scaled.
        """
        largest = float((np.ptp(self.ranges * self.factors[:, None], axis=1) ** 2).sum())
        unit = 2.0 ** (math.frexp(largest)[1] - _ERROR_BITS) if math.isfinite(largest) else 1.0
        return unit if self.scale != "none" or self.dtype.kind == "f" else max(1.0, unit)
