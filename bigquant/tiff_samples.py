"""What the samples of a TIFF's page mean: colour model, alpha, range, nodata."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tifffile

from bigquant.errors import InputError
from bigquant.nodata import fit_nodata
from bigquant.tiff_colors import SampleRule, make_transform, read_colormap
from bigquant.tiff_tags import JPEG

_APERIO_YCBCR = 33003
_CCITT = {2, 3, 4}
_MIN_IS_WHITE, _RGB, _PALETTE, _CMYK, _YCBCR, _MOSAIC, _LINEAR_RAW = 0, 2, 3, 5, 6, 32803, 34892
_BASE = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _LINEAR_RAW: 3}
_UNREAD = {8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32844: "LogL", 32845: "LogLuv"}
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Samples:
    """What the samples of a page mean, and how to get them.

    Parameters
    ----------
    rule : SampleRule
    depth : int
        Samples after conversion.
    dtype : dtype
        Type after conversion.
    colors, alpha, premultiplied, nodata, marks, valid_range
        As in `Raster` and `Source`.
    tables_in_base : bool
        Whether the palette or colour profile is that of the page at full resolution.
    """

    rule: SampleRule
    depth: int
    dtype: np.dtype[Any]
    colors: tuple[int, ...] | None
    alpha: int | None
    premultiplied: bool
    nodata: float | None
    marks: int | None
    valid_range: tuple[float, float] | None
    tables_in_base: bool


def describe_samples(
    path: str,
    page: tifffile.TiffPage,
    base: tifffile.TiffPage,
    *,
    is_mask: bool = False,
    nodata: float | None = None,
    bits: int | None = None,
) -> Samples:
    """Find out what the samples of a page mean.

    Parameters
    ----------
    path : str
    page : TiffPage
    base : TiffPage
        The page at full resolution, which has what a reduced one may lack.
    is_mask : bool
        Whether it marks pixels with 0, whatever it says of its colours.
    nodata : float, optional
        Instead of the value that the file gives.
    bits : int, optional
        How many bits of an unsigned sample are used, where a text in the file says so.

    Raises
    ------
    InputError
        If they are no colours that are supported.
    """
    photometric = 1 if is_mask else _photometric(page)
    if photometric in _UNREAD:
        raise InputError(
            f"{path}: its colours are {_UNREAD[photometric]}, which is not read: convert it to "
            "RGB first, e.g. vips colourspace IN OUT.tif srgb"
        )
    if photometric == _MOSAIC:
        raise InputError(
            f"{path}: holds the mosaic of a camera's sensor (CFA), each pixel of one colour only: "
            "develop it to RGB first, e.g. with dcraw -T"
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        raise InputError(
            f"{path}: samples of type {page.dtype or page.bitspersample} are no colours: convert "
            "it first, complex numbers e.g. to their magnitude"
        )
    depth = int(page.samplesperpixel)
    n_base = min(_BASE.get(photometric, 1), depth)
    alpha, premultiplied = _find_alpha(page, n_base)
    colors = _find_colors(photometric, depth, alpha)
    limits = _valid_range(page, bits)
    rule = _rule(path, page, base, photometric, int(limits[1]) if limits else 255)
    rule = replace(rule, inverted=photometric == _MIN_IS_WHITE and _is_inverted(page, colors))
    nodata = fit_nodata(parse_nodata(base) if nodata is None else nodata, page.dtype)
    marks = None
    if nodata is not None and (rule.kind != "plain" or rule.inverted):
        bands = tuple(sample for sample in range(depth) if sample != alpha)
        rule = replace(rule, nodata=nodata, bands=bands)
    if rule.kind in ("palette", "cmyk", "ycbcr"):
        shift = 3 - rule.base
        depth, colors = depth + shift, (0, 1, 2)
        alpha = None if alpha is None else alpha + shift
    if rule.nodata is not None:
        marks, depth = depth, depth + 1
    if rule.kind == "plain":
        dtype = page.dtype.newbyteorder("=")
    else:
        limits, dtype = (0, rule.top), rule.dtype
    in_base = rule.kind == "cmyk" or (rule.kind == "palette" and page.colormap is None)
    return Samples(rule, depth, dtype, colors, alpha, premultiplied, nodata, marks, limits, in_base)


def _photometric(page: tifffile.TiffPage) -> int:
    """Tell the colour model; without the tag, guess as libtiff does (tif_getimage.c)."""
    if 262 in page.tags or page.compression == 6:
        return int(page.photometric)
    if page.samplesperpixel - len(page.extrasamples) >= 3:
        return _RGB
    return _MIN_IS_WHITE if page.compression in _CCITT else 1


def _find_alpha(page: tifffile.TiffPage, n_base: int) -> tuple[int | None, bool]:
    """Find alpha among the extra samples, which are the last ones, and how colours depend on it."""
    count = page.samplesperpixel - n_base
    extras = tuple(map(int, page.extrasamples))[-count:] if count else ()
    first = page.samplesperpixel - len(extras)
    for i, extra in enumerate(extras):
        if extra in (1, 2):
            return first + i, extra == 1
    return None, False


def _find_colors(photometric: int, depth: int, alpha: int | None) -> tuple[int, ...] | None:
    """Tell which samples are colours; two bands or more of which nothing is said are none."""
    if photometric in (_RGB, _YCBCR, _LINEAR_RAW) and depth >= 3:
        return (0, 1, 2)
    return (0,) if depth == 1 or (depth == 2 and alpha == 1) else None


def _is_inverted(page: tifffile.TiffPage, colors: tuple[int, ...] | None) -> bool:
    return colors == (0,) and page.dtype is not None and page.dtype.kind in "bu"


def _rule(
    path: str, page: tifffile.TiffPage, base: tifffile.TiffPage, photometric: int, white: int
) -> SampleRule:
    depth, dtype = page.samplesperpixel, page.dtype
    by_decoder = page.compression in JPEG and page.planarconfig == 1 and not page.extrasamples
    unsigned = dtype.kind in "bu" and dtype.itemsize <= 2
    stored = _white(page)
    top = max(255, stored)
    if photometric == _PALETTE:
        read_colormap(path, page if page.colormap is not None else base)
        return SampleRule("palette", 1, stored)
    if photometric == _CMYK and depth >= 4 and _is_cmyk(page):
        _check_deep(path, page, unsigned)
        profiled = make_transform(base) is not None
        return SampleRule("cmyk", 4, stored, 255 if profiled else top, profiled=profiled)
    is_ycbcr = (photometric == _YCBCR and not by_decoder) or page.compression == _APERIO_YCBCR
    if is_ycbcr and depth >= 3:
        _check_deep(path, page, unsigned)
        return SampleRule("ycbcr", 3, stored, top, luma=_luma(page, stored))
    if dtype.kind == "b" or (dtype == np.uint8 and stored < 255):
        return SampleRule("scaled", white=stored)
    return SampleRule(white=white, top=white)


def _check_deep(path: str, page: tifffile.TiffPage, unsigned: bool) -> None:
    if not unsigned:
        raise InputError(
            f"{path}: {tifffile.PHOTOMETRIC(page.photometric).name} samples of type {page.dtype} "
            "are not read: convert it to RGB first"
        )


def _white(page: tifffile.TiffPage) -> int:
    """Greatest value of an unsigned sample; RGB of 5, 6 and 5 bits is decoded to 8."""
    bits = page.bitspersample
    return (1 << (bits if isinstance(bits, int) else page.dtype.itemsize * 8)) - 1


def _valid_range(page: tifffile.TiffPage, bits: int | None) -> tuple[float, float] | None:
    """Tell what samples can be, by their bits, or by what the file says where that is sane."""
    if page.dtype.kind in "bu":
        white = _white(page) if bits is None else min(_white(page), (1 << bits) - 1)
        said = max(_numbers(page, 281), default=0)  # 12 bits in 16, say, not a statistic
        if 255 < said < white and (int(said) + 1).bit_count() == 1:
            white = int(said)
        return 0, max(255, white)
    low, high = _numbers(page, 340), _numbers(page, 341)
    if low and high and min(low) < max(high):
        return min(low), max(high)
    return None


def _numbers(page: tifffile.TiffPage, code: int) -> list[float]:
    value = page.tags.valueof(code)
    values = value if isinstance(value, tuple) else (value,)
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def _is_cmyk(page: tifffile.TiffPage) -> bool:
    """Tell CMYK from other inks: by InkSet and NumberOfInks."""
    ink_set, n_inks = page.tags.valueof(332, default=1), page.tags.valueof(334, default=4)
    return bool(ink_set == 1 and n_inks == 4)


def _luma(page: tifffile.TiffPage, white: int) -> tuple[float, ...]:
    """Read what YCbCr is made of; the defaults are those of libtiff."""
    half = (white + 1) // 2
    shares = _ratios(page, 529, _LUMA)
    limits = _ratios(page, 532, (0, white, half, white, half, white))
    return (*shares, *limits)


def _ratios(page: tifffile.TiffPage, code: int, default: tuple[float, ...]) -> tuple[float, ...]:
    values = page.tags.valueof(code)
    if not isinstance(values, tuple) or len(values) != 2 * len(default) or 0 in values[1::2]:
        return default
    ratios = tuple(a / b for a, b in zip(values[::2], values[1::2], strict=True))
    pairs = zip(ratios[::2], ratios[1::2], strict=False)
    sane = all(ratios) if code == 529 else all(black < white for black, white in pairs)
    return ratios if sane else default


def parse_nodata(page: tifffile.TiffPage) -> float | None:
    """Read GDAL's nodata, as an integer where it is one: floats cannot hold all of 64 bits."""
    text = page.tags.valueof(42113)
    if not isinstance(text, str):
        return None
    text = text.strip("\0 \n").replace(",", ".")
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return None
