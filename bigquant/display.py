"""How values of any type and number of bands are shown: which bands, and from black to bright.

A rule that is kept with a palette: whoever shows the image, its colours or its labels shows
them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of the values of a band, in percent, what is shown as black and what as bright: QGIS's.
PERCENTILES = (2.0, 98.0)

_FINITE = (np.finfo(np.float64).min, np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Display:
    """Bands that are shown, and the window of values of each band.

    Parameters
    ----------
    bands : tuple of int
        Counted from 0: one is shown as gray, three as red, green and blue. A band may be shown
        twice: two bands are shown as magenta and green.
    windows : ndarray, (c, 2), float64
        Of each band of the image the value that is shown as 0, and that which is shown as 255.

    Examples
    --------
    >>> display = Display((2, 1, 0), np.array([[0, 10000]] * 4))
    >>> display.rgb(np.array([[0, 2000, 10000, 7]], np.uint16)).tolist()
    [[255, 51, 0]]
    """

    bands: tuple[int, ...]
    windows: NDArray[np.float64]

    @classmethod
    def plain(cls, channels: int) -> Display:
        """Show bytes as they are."""
        return cls(_first_bands(channels), np.array([[0.0, 255.0]] * channels))

    def rgb(self, colors: NDArray[Any]) -> NDArray[np.uint8]:
        """Show values (..., c) as gray or RGB (..., 1 or 3); NaN is black."""
        chosen = list(self.bands)
        low, high = self.windows[chosen].T
        with np.errstate(all="ignore"):  # infinity is as bright or dark as it gets
            shown = np.rint((colors[..., chosen].astype(np.float64) - low) / (high - low) * 255)
        return np.where(np.isnan(shown), 0, shown.clip(0, 255)).astype(np.uint8)

    def as_json(self) -> dict[str, Any]:
        """Describe it in JSON's types, with bands counted from 1."""
        return {"bands": [band + 1 for band in self.bands], "windows": self.windows.tolist()}

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> Display:
        """Build what `as_json` described."""
        bands = tuple(band - 1 for band in model["bands"])
        return cls(bands, np.array(model["windows"], np.float64))

    def as_rgb(self) -> Display:
        """Show an image of three bands that was one of a single band as that was."""
        return Display((0, 1, 2), np.repeat(self.windows, 3, axis=0))


def choose_display(
    dtype: np.dtype[Any],
    channels: int,
    *,
    declared: bool,
    ranges: NDArray[np.float64],
    percentiles: Callable[[Sequence[float]], NDArray[np.float64]] | NDArray[np.float64],
    valid_range: tuple[float, float] | None = None,
) -> Display:
    """Choose how an image is shown.

    Parameters
    ----------
    dtype : numpy.dtype
        Bytes that are gray or three bands are shown as they are.
    channels : int
        The first three are shown as red, green and blue; of two the first as magenta.
    declared : bool
        Whether the file says that the bands are colours, of which one value means the same in
        all: they have one window. Others have one each, from percentile to percentile.
    ranges : ndarray, (c, 2), float64
        Least and greatest value of each band.
    percentiles : ndarray, (2, c), or callable
        Values of each band at `PERCENTILES`, or what tells them of these.
    valid_range : (float, float), optional
        What the file says that the values can be; of unsigned declared colours it is the window.
    """
    if dtype == np.uint8 and (declared or channels in (1, 3)):
        return Display.plain(channels)
    if declared:
        window = _window_of_colors(dtype, ranges, valid_range)
        windows = np.tile(np.array(window, np.float64), (channels, 1))
    else:
        windows = np.transpose(percentiles(PERCENTILES) if callable(percentiles) else percentiles)
    return Display(_first_bands(channels), _opened(windows))


def _first_bands(channels: int) -> tuple[int, ...]:
    return {1: (0,), 2: (0, 1, 0)}.get(channels, (0, 1, 2))


def _window_of_colors(
    dtype: np.dtype[Any], ranges: NDArray[np.float64], valid_range: tuple[float, float] | None
) -> tuple[float, float]:
    """Choose one window for all: that which the values' kind suggests, not their accidents."""
    least, greatest = float(ranges[:, 0].min()), float(ranges[:, 1].max())
    if valid_range is not None and dtype.kind == "u":
        return valid_range
    if dtype.kind == "f" and least >= 0 and greatest <= 1:
        return 0.0, 1.0
    if dtype.kind != "u":  # heights, temperatures
        return least, greatest
    # of as many bits as the greatest value takes: cameras store 10, 12 or 14 in words of 16
    return 0.0, 2.0 ** max(8, int(greatest).bit_length()) - 1


def _opened(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give windows of a single value some width: 1, or where floats are farther apart, that."""
    low, high = np.array(windows, np.float64).T
    with np.errstate(over="ignore"):  # of the greatest float, after which there is none
        wider = low + np.maximum(1.0, np.spacing(np.abs(low)))
    opened: NDArray[np.float64] = np.column_stack([low, np.where(high > low, high, wider)])
    return np.clip(opened, *_FINITE)
