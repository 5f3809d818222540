"""Stored samples -> the image that is quantized: its bands, upright, masked by alpha."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import InputError
from bigquant.nodata import find_nodata, fit_nodata
from bigquant.raster import Raster, Windows
from bigquant.source import Source

_ORIENTATION = 274
#: Orientation of TIFF and EXIF -> whether to swap the axes, then flip y, flip x.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_UPRIGHT = _TURNS[1]
#: Where the products of two unsigned samples have room.
_WIDE = {np.dtype(name): wide for name, wide in (("u1", "u4"), ("u2", "u8"), ("u4", "u8"))}


@dataclass(frozen=True)
class ChannelRule:
    """How samples become colours, with alpha perhaps: 0 where a pixel is no part of the image.

    Parameters
    ----------
    colors : tuple of int
        Samples that become the colours.
    alpha : int, optional
        Sample that marks pixels with 0.
    premultiplied : bool
        Whether the colours are multiplied by alpha.
    nodata : float, optional
        Marks pixels all of whose bands have this value.
    bands : tuple of int
        Samples that nodata is looked for in, whatever becomes of them.
    marks : int, optional
        Sample that is 0 where a pixel is nodata, for bands that do not show it any more.
    has_mask : bool
        Whether a mask marks pixels too.
    full : float, optional
        Greatest value of colours and alpha; without it that of their type, or 1.
    """

    colors: tuple[int, ...]
    alpha: int | None = None
    premultiplied: bool = False
    nodata: float | None = None
    bands: tuple[int, ...] = ()
    marks: int | None = None
    has_mask: bool = False
    full: float | None = None

    @property
    def has_alpha(self) -> bool:
        """Whether anything can mark pixels, so that there is an alpha channel."""
        return self.alpha is not None or self.has_nodata or self.has_mask

    @property
    def has_nodata(self) -> bool:
        """Whether a value marks pixels."""
        return self.nodata is not None or self.marks is not None

    @property
    def depth(self) -> int:
        """Channels of the image that the rule makes."""
        return len(self.colors) + self.has_alpha

    @property
    def span(self) -> tuple[int, int]:
        """First and last of the samples that are looked at."""
        others = (number for number in (self.alpha, self.marks) if number is not None)
        wanted = (*self.colors, *self.bands, *others)
        return min(wanted), max(wanted)

    def moved(self, first: int) -> ChannelRule:
        """Make the rule for samples whose first ones are missing."""
        return replace(
            self,
            colors=tuple(color - first for color in self.colors),
            bands=tuple(band - first for band in self.bands),
            alpha=None if self.alpha is None else self.alpha - first,
            marks=None if self.marks is None else self.marks - first,
        )

    def keeps(self, n_samples: int) -> bool:
        """Whether the channels are the samples, one for one."""
        wanted = self.colors if self.alpha is None else (*self.colors, self.alpha)
        made = self.premultiplied or self.has_nodata or self.has_mask
        return not made and wanted == tuple(range(n_samples))

    def apply(self, samples: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[Any]:
        """Turn samples (y, x, sample) and a mask (y, x, band) into an image (y, x, channel).

        A mask marks pixels all of whose bands are 0 in it.
        """
        if self.keeps(samples.shape[2]):
            return samples
        colors = samples[..., list(self.colors)]
        if not self.has_alpha:
            return colors
        full = np.array(_full(samples.dtype) if self.full is None else self.full, samples.dtype)
        alpha = np.full(samples.shape[:2], full)
        if self.alpha is not None:
            alpha = samples[..., self.alpha].copy()
            if self.premultiplied:
                colors = _divide(colors, alpha, full)
        if self.nodata is not None:
            alpha[find_nodata(samples, self.bands, self.nodata)] = 0
        if self.marks is not None:
            alpha[samples[..., self.marks] == 0] = 0
        if mask is not None:
            alpha[~mask.any(axis=2)] = 0
        return np.concatenate([colors, alpha[..., None]], axis=2)


def _full(dtype: np.dtype[Any]) -> float:
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


def _divide(colors: NDArray[Any], alpha: NDArray[Any], full: NDArray[Any]) -> NDArray[Any]:
    """Undo the multiplication by alpha, rounded to nearest."""
    alpha = alpha[..., None]
    if colors.dtype.kind == "f":
        return np.where(alpha > 0, colors / np.where(alpha > 0, alpha, 1), 0).astype(colors.dtype)
    wide = np.dtype(_WIDE.get(colors.dtype, object))
    raised = (colors.astype(wide) * full.astype(wide) + alpha // 2) // np.maximum(alpha, 1)
    straight: NDArray[Any] = np.minimum(raised, full).astype(colors.dtype)
    return straight


@dataclass(frozen=True)
class ChannelWindows:
    """Windows (y, x, channel) of stored samples by a rule, turned upright.

    Parameters
    ----------
    stored : Windows
    rule : ChannelRule
    mask : Windows, optional
        Of the stored image's height and width; where all its samples are 0, a pixel is out.
    turn : (bool, bool, bool)
        Whether to swap the axes, then flip y, flip x.
    """

    stored: Windows
    rule: ChannelRule
    mask: Windows | None = None
    turn: tuple[bool, bool, bool] = _UPRIGHT

    ndim = 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.stored.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        y, x = self.stored.shape[:2]
        return (x, y, self.rule.depth) if self.turn[0] else (y, x, self.rule.depth)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns, channels = key
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        swap, flip_y, flip_x = self.turn
        if flip_y:
            y0, y1 = self.shape[0] - y1, self.shape[0] - y0
        if flip_x:
            x0, x1 = self.shape[1] - x1, self.shape[1] - x0
        window = (slice(x0, x1), slice(y0, y1)) if swap else (slice(y0, y1), slice(x0, x1))
        first, last = self.rule.span
        samples = self.stored[(*window, slice(first, last + 1))]
        mask = None if self.mask is None else self.mask[(*window, slice(0, self.mask.shape[2]))]
        pixels = self.rule.moved(first).apply(samples, mask)
        if swap:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1, channels]
        return np.ascontiguousarray(pixels)


def stored_windows(windows: Windows) -> Iterator[Windows]:
    """Find what is read for the windows of an image and of its masks: those of files."""
    if isinstance(windows, ChannelWindows):
        yield from stored_windows(windows.stored)
        if windows.mask is not None:
            yield from stored_windows(windows.mask)
    else:
        yield windows


def choose_channels(
    name: str,
    depth: int,
    dtype: np.dtype[Any],
    *,
    colors: tuple[int, ...] | None,
    alpha: int | None = None,
    premultiplied: bool = False,
    nodata: float | None = None,
    marks: int | None = None,
    bands: tuple[int, ...] | None = None,
    masked: bool = True,
) -> ChannelRule:
    """Choose what of an image's samples is quantized.

    Parameters
    ----------
    name : str
        Of the image, for errors.
    depth : int
        Bands: samples of a pixel without marks.
    dtype : numpy.dtype
    colors, alpha, premultiplied, nodata, marks
        What is known of them, as in `Raster`.
    bands : tuple of int, optional
        Samples that are quantized, counted from 1, and none is alpha, whatever is known. Without
        it those that are known to be colours, or else all but alpha.
    masked : bool
        Whether alpha and nodata mark pixels that are no part of the image.

    Raises
    ------
    InputError
        If those chosen are not there.
    """
    if bands is not None:
        if not bands or not all(1 <= band <= depth for band in bands):
            shown = ",".join(map(str, bands)) or "()"
            raise InputError(f"{name}: bands {shown}: must be some of 1 to {depth}")
        colors, alpha = tuple(band - 1 for band in bands), None
    if colors is None:
        colors = tuple(band for band in range(depth) if band != alpha)
    if not masked:
        return ChannelRule(colors)
    premultiplied = premultiplied and alpha is not None
    nodata = fit_nodata(nodata, dtype)
    if marks is not None or nodata is None:
        return ChannelRule(colors, alpha, premultiplied, marks=marks)
    every = tuple(band for band in range(depth) if band != alpha)
    return ChannelRule(colors, alpha, premultiplied, nodata, every)


def compose(raster: Raster, rule: ChannelRule, mask: Windows | None = None) -> Raster:
    """Make the image that is quantized of a stored one: its bands, alpha perhaps, upright.

    The mask is of the image as it is stored.
    """
    turn = _turn_of(raster)
    rule = replace(rule, has_mask=mask is not None, full=_greatest(raster))
    windows = ChannelWindows(raster.windows, rule, mask, turn)
    as_stored = turn == _UPRIGHT and windows.rule.keeps(raster.windows.shape[2])
    n_colors = len(rule.colors)
    return replace(
        raster,
        windows=raster.windows if as_stored else windows,
        block=raster.block[::-1] if turn[0] else raster.block,
        source=_upright(raster.source, turn),
        colors=tuple(range(n_colors)),
        alpha=n_colors if windows.rule.has_alpha else None,
        premultiplied=False,
        nodata=None,
        marks=None,
        mask=None,
        orientation=1,
    )


def _greatest(raster: Raster) -> float | None:
    """Tell the greatest value of unsigned samples where it is less than their type's."""
    limits = raster.source.valid_range
    known = limits is not None and limits[0] == 0 and raster.windows.dtype.kind == "u"
    return limits[1] if known and limits else None


def _turn_of(raster: Raster) -> tuple[bool, bool, bool]:
    """Leave georeferenced images as they are stored, which is how GDAL takes them."""
    return _UPRIGHT if raster.source.tags else _TURNS[raster.orientation]


def _upright(source: Source, turn: tuple[bool, bool, bool]) -> Source:
    tags = (
        source.tags if turn == _UPRIGHT else tuple(t for t in source.tags if t[0] != _ORIENTATION)
    )
    resolution, tile = source.resolution, source.tile
    if turn[0]:
        resolution, tile = resolution and resolution[::-1], tile and tile[::-1]
    return replace(source, tags=tags, resolution=resolution, tile=tile)
