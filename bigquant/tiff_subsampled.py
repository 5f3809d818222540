"""YCbCr with fewer samples of colour than of light, not in JPEG: pixels from decoded bytes.

A data unit of TIFF 6.0, section 21, is h x v samples of Y, then one of Cb and one of Cr.
tifffile decodes no such image; it is shown rows of units as rows of one-sample pixels, and
what it makes of these is put in place.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Decoder = Callable[..., tuple[Any, tuple[int, ...], tuple[int, ...]]]

_YCBCR = 6
#: None, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard: these keep bytes.
_BYTE_CODECS = {1, 5, 8, 32946, 32773, 34925, 50000}


def decoder_of_units(page: tifffile.TiffPage) -> Decoder:
    """Give tifffile's decoder of a page's tiles or strips; of these units what is made of it."""
    if not _is_subsampled(page):
        decode: Decoder = page.decode
        return decode
    across, down = page.subsampling or (2, 2)
    width, height = page.imagewidth, page.imagelength
    rows, columns = page.tilelength, page.tilewidth
    if not page.is_tiled:
        rows, columns = page.rowsperstrip, width
    n_across = -(-width // columns)
    decode_units = _show_units(page, (rows, columns), (across, down)).decode

    def decode_pixels(
        data: bytes | None, index: int
    ) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        units = decode_units(data, index)[0]
        y, x = index // n_across * rows, index % n_across * columns
        shape = (1, rows if page.is_tiled else min(rows, height - y), columns, 3)
        if units is not None:
            pixels = _place(units[0, :, :, 0], across, down)
            units = pixels[None, : shape[1], : shape[2]]
        return units, (0, 0, y, x, 0), shape

    return decode_pixels


def _is_subsampled(page: tifffile.TiffPage) -> bool:
    return bool(
        page.is_subsampled
        and page.photometric == _YCBCR
        and page.compression in _BYTE_CODECS
        and (page.planarconfig, page.imagedepth) == (1, 1)
        and (page.samplesperpixel, page.bitspersample, page.predictor) == (3, 8, 1)
        and all(factor in (1, 2, 4) for factor in page.subsampling or ())
    )


def _show_units(
    page: tifffile.TiffPage, segment: tuple[int, int], factors: tuple[int, int]
) -> tifffile.TiffPage:
    """Copy a page as one of data units instead of pixels."""
    (rows, columns), (across, down) = segment, factors
    shown = copy.copy(page)
    for name in list(vars(shown)):  # what was found out about the pixels
        if isinstance(getattr(type(shown), name, None), functools.cached_property):
            delattr(shown, name)
    height, width = -(-rows // down), -(-columns // across) * (across * down + 2)
    n_down, n_across = -(-page.imagelength // rows), -(-page.imagewidth // columns)
    last = page.imagelength - (n_down - 1) * rows
    shown.photometric, shown.subsampling = 1, (1, 1)
    shown.samplesperpixel, shown.extrasamples = 1, ()
    if page.is_tiled:
        shown.tilelength, shown.tilewidth = height, width
        last = rows
    else:
        shown.rowsperstrip = height
    shown.imagelength = (n_down - 1) * height + -(-last // down)
    shown.imagewidth = n_across * width
    shown.shape = shown.imagelength, shown.imagewidth
    shown.shaped = (1, 1, *shown.shape, 1)
    return shown


def _place(units: NDArray[np.uint8], across: int, down: int) -> NDArray[np.uint8]:
    """Make pixels (y, x, 3) of rows of units; each colour counts for all pixels of its unit."""
    parts = units.reshape(units.shape[0], -1, across * down + 2)
    rows, columns = parts.shape[:2]
    light = parts[..., :-2].reshape(rows, columns, down, across).transpose(0, 2, 1, 3)
    pixels = np.empty((rows, down, columns, across, 3), np.uint8)
    pixels[..., 0] = light
    pixels[..., 1:] = parts[:, None, :, None, -2:]
    return pixels.reshape(rows * down, columns * across, 3)
