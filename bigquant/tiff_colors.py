"""Stored samples of a TIFF -> gray, RGB or bands: palettes, CMYK, YCbCr, inverted and few bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ImageCms

from bigquant import cmyk
from bigquant.errors import DamagedError, InputError
from bigquant.nodata import find_nodata

#: Pixels that are converted at once: what is in between needs much more memory.
_BAND_PIXELS = 1 << 20

Convert = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class SampleRule:
    """How stored samples become those of the raster; what is large stays in the file.

    Parameters
    ----------
    kind : {"plain", "scaled", "palette", "cmyk", "ycbcr"}
    base : int
        Samples that make the colour; others follow it.
    white : int
        Greatest value that a stored sample can have.
    top : int
        Greatest value that a converted one can have.
    inverted : bool
        Whether 0 is white.
    profiled : bool
        Whether a colour profile in the file tells how CMYK looks.
    luma : tuple of float
        Of YCbCr: the shares of red, green, blue; then black and white of each sample.
    nodata : float, optional
        Stored value of pixels where one more sample, the last, is 0; 1 everywhere else.
    bands : tuple of int
        Stored samples that nodata is looked for in.
    """

    kind: str = "plain"
    base: int = 1
    white: int = 255
    top: int = 255
    inverted: bool = False
    profiled: bool = False
    luma: tuple[float, ...] = ()
    nodata: float | None = None
    bands: tuple[int, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of converted samples; plain ones keep theirs."""
        return np.dtype(np.uint8 if self.top <= 255 else np.uint16)


def make_converter(path: str, rule: SampleRule, tables: tifffile.TiffPage) -> Convert | None:
    """Make the function that converts stored samples; None where they stay as they are.

    Parameters
    ----------
    path : str
    rule : SampleRule
    tables : TiffPage
        Has the palette or the colour profile.
    """
    convert = _make_color_converter(path, rule, tables)
    nodata = rule.nodata
    if convert is None or nodata is None:
        return convert

    def convert_and_mark(stored: NDArray[Any]) -> NDArray[Any]:
        samples, seen = convert(stored), ~find_nodata(stored, rule.bands, nodata)
        return np.concatenate([samples, seen[..., None].astype(samples.dtype)], axis=2)

    return convert_and_mark


def _make_color_converter(path: str, rule: SampleRule, tables: tifffile.TiffPage) -> Convert | None:
    if rule.kind == "plain":
        return (lambda stored: _invert(stored, rule)) if rule.inverted else None
    if rule.kind == "scaled":
        return lambda stored: _invert(_scale(stored, rule), rule)
    color: Convert
    if rule.kind == "palette":
        colormap = read_colormap(path, tables)
        color = lambda stored: _look_up(path, colormap, stored)  # noqa: E731
    elif rule.kind == "cmyk":
        transform = make_transform(tables) if rule.profiled else None
        color = lambda stored: _cmyk_to_rgb(stored, rule, transform)  # noqa: E731
    else:
        color = lambda stored: _ycbcr_to_rgb(stored, rule)  # noqa: E731

    def convert_band(stored: NDArray[Any]) -> NDArray[Any]:
        parts = [color(stored[..., : rule.base]), _scale(stored[..., rule.base :], rule)]
        return np.concatenate(parts, axis=2)

    def convert(stored: NDArray[Any]) -> NDArray[Any]:
        rows = max(1, _BAND_PIXELS // max(1, stored.shape[1]))
        bands = range(0, max(1, stored.shape[0]), rows)
        return np.concatenate([convert_band(stored[y : y + rows]) for y in bands])

    return convert


def _scale(stored: NDArray[Any], rule: SampleRule) -> NDArray[Any]:
    """Bring samples to the range and type of converted ones."""
    if rule.white == rule.top and stored.dtype == rule.dtype:
        return stored
    if stored.itemsize == 1:
        table = np.minimum(np.arange(256) * rule.top // rule.white, rule.top).astype(rule.dtype)
        return table[stored.view(np.uint8)]
    scaled: NDArray[Any] = (stored.astype(np.uint32) * rule.top // rule.white).astype(rule.dtype)
    return scaled


def _invert(samples: NDArray[Any], rule: SampleRule) -> NDArray[Any]:
    if not rule.inverted:
        return samples
    top = samples.dtype.type(rule.top)
    gray = top - np.minimum(samples[..., :1], top)
    return np.concatenate([gray, samples[..., 1:]], axis=2)


def read_colormap(path: str, page: tifffile.TiffPage) -> NDArray[np.uint8]:
    """Read a page's palette, (n, 3); some files hold 8-bit values where 16 bits belong."""
    colormap = page.colormap
    if not isinstance(colormap, np.ndarray) or colormap.ndim != 2 or colormap.shape[0] != 3:
        raise InputError(f"{path}: is a palette image without a colour map: it is damaged")
    return colors_of(colormap)


def colors_of(colormap: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Bring the ColorMap tag, (3, n), to colours (n, 3)."""
    wide = colormap.size > 0 and colormap.max() > 255
    return np.ascontiguousarray((colormap >> 8 if wide else colormap).T.astype(np.uint8))


def _look_up(path: str, colormap: NDArray[np.uint8], stored: NDArray[Any]) -> NDArray[np.uint8]:
    index = stored[..., 0]
    if index.dtype.kind == "b":
        index = index.view(np.uint8)
    try:
        colors: NDArray[np.uint8] = colormap[index]
    except IndexError as error:
        raise DamagedError(
            f"{path}: a pixel has colour {index.max()} of a palette of {len(colormap)}: "
            "it is damaged"
        ) from error
    return colors


def make_transform(page: tifffile.TiffPage) -> ImageCms.ImageCmsTransform | None:
    """Make the transform of CMYK to sRGB by a page's profile; None without a usable one."""
    return cmyk.make_transform(page.tags.valueof(34675))


def _cmyk_to_rgb(
    stored: NDArray[Any], rule: SampleRule, transform: ImageCms.ImageCmsTransform | None
) -> NDArray[Any]:
    if rule.top > 255:
        inks = stored.astype(np.uint32)
        light = rule.top - inks[..., 3:]
        rgb: NDArray[Any] = light - (inks[..., :3] * light + rule.top // 2) // rule.top
        return rgb.astype(rule.dtype)
    return cmyk.to_rgb(_scale(stored, rule), transform)


def _ycbcr_to_rgb(stored: NDArray[Any], rule: SampleRule) -> NDArray[Any]:
    """Convert by the formulas of TIFF 6.0, sections 20 (ReferenceBlackWhite) and 21 (YCbCr)."""
    red, green, blue = rule.luma[:3]
    black, white = np.array(rule.luma[3::2]), np.array(rule.luma[4::2])
    coding = np.array([rule.white, rule.white // 2, rule.white // 2])
    full = (stored - black) * (coding / (white - black))
    y, cb, cr = full[..., 0], full[..., 1], full[..., 2]
    r = cr * (2 - 2 * red) + y
    b = cb * (2 - 2 * blue) + y
    g = (y - blue * b - red * r) / green
    rgb = np.stack([r, g, b], axis=2) * (rule.top / rule.white)
    return np.floor(np.clip(rgb, 0, rule.top) + 0.5).astype(rule.dtype)
