"""PNG, JPEG, WebP, JPEG 2000, BMP, GIF: decoded from their beginning. Knows nothing of Dask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import cmyk
from bigquant.errors import InputError
from bigquant.fingerprint import Fingerprint
from bigquant.flat_header import FlatHeader, find_format, read_header
from bigquant.flat_pixels import FlatPixels
from bigquant.raster import Raster, Selection
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiling import BLOCK_BYTES, plan_tiles

_MOST_AT_ONCE = 2 << 30
#: JPEG 2000 takes six times the memory of the picture.
_MOST_OF_FORMAT = {"JPEG 2000": 512 << 20, "lossless JPEG": 1 << 30}
_MODES = ("L", "LA", "RGB", "RGBA", "CMYK")


@dataclass(frozen=True)
class FlatWindows:
    """A file that is decoded at once whenever a window of it is read."""

    pixels: FlatPixels
    fingerprint: Fingerprint

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.pixels.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        with self.fingerprint.held(self.pixels.path):
            return self.pixels.whole()[key]


def is_flat(head: bytes) -> bool:
    """Tell by its first 16 bytes whether a file is of these formats."""
    return find_format(head) is not None


def open_flat(path: str, head: bytes, selection: Selection) -> Raster:
    """Plan to decode a file: at once, or where it is large, once into a temporary Zarr.

    Raises
    ------
    InputError
        If its header is damaged or lies, the picture is of no kind that is read, or another of
        several is chosen.
    """
    format_ = find_format(head)
    assert format_ is not None
    _refuse_choices(path, format_, selection)
    try:
        fingerprint = Fingerprint.take(path)
        header = read_header(path, format_)
    except Exception as error:  # damaged headers raise nearly anything
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise InputError(f"{path}: not a readable image ({reason})") from error
    pixels = _plan_pixels(path, header)
    raw = math.prod(pixels.shape) * pixels.dtype.itemsize
    large = raw > BLOCK_BYTES
    if large:
        _check_size(path, header, fingerprint.size, raw)
    n_colors = 3 if header.mode == "CMYK" else len(header.mode.rstrip("A"))
    has_alpha = pixels.shape[2] > n_colors
    windows: FlatWindows | StagedWindows = FlatWindows(pixels, fingerprint)
    block = pixels.shape[:2]
    if large:
        windows = StagedWindows(path, fingerprint, pixels, pixels.shape, pixels.dtype)
        height, width, depth = pixels.shape
        block = plan_tiles((height, width, depth * pixels.dtype.itemsize), windows.chunk)
    return Raster(
        windows=windows,
        block=block,
        source=_describe(path, header),
        colors=tuple(range(n_colors)),
        alpha=n_colors if has_alpha else None,
        orientation=header.orientation,
    )


def _refuse_choices(path: str, format_: str, selection: Selection) -> None:
    """Refuse a choice: of a file with several pictures the first is read."""
    given = {"series": selection.series, "page": selection.page, "level": selection.level or None}
    given |= selection.planes
    for name, number in given.items():
        if number is not None:
            raise InputError(
                f"{path}: of a {format_} the first picture is read, and there is no {name} to "
                f"choose from ({name}={number}): leave it out"
            )


def _plan_pixels(path: str, header: FlatHeader) -> FlatPixels:
    width, height = header.size
    if header.mode not in _MODES or header.bits > 16 or min(width, height) < 1:
        raise InputError(
            f"{path}: {width} x {height} pixels of {header.bits}-bit {header.mode} are not "
            "supported: convert it to gray or RGB of 8 or 16 bits first"
        )
    if (header.mode == "CMYK" or header.subsampled) and header.bits != 8:
        raise InputError(
            f"{path}: {header.mode} of {header.bits} bits"
            f"{', subsampled' if header.subsampled else ''}, is not supported: convert it to "
            "RGB of 8 or 16 bits first"
        )
    depth = 3 if header.mode == "CMYK" else len(header.mode)
    dtype = np.dtype(np.uint16 if header.bits > 8 else np.uint8)
    return FlatPixels(
        path=path,
        format=header.format,
        mode=header.mode,
        shape=(height, width, depth),
        dtype=dtype,
        bits=header.bits,
        subsampled=header.subsampled,
    )


def _check_size(path: str, header: FlatHeader, size: int, raw: int) -> None:
    """Believe no header: a large picture must fit the file, and memory if it is not streamed."""
    width, height = header.size
    if header.pixels_per_byte and width * height > size * header.pixels_per_byte:
        raise InputError(
            f"{path}: is damaged: its header says {width} x {height} pixels, which {size} bytes "
            "cannot hold"
        )
    limit = _MOST_OF_FORMAT.get(header.format, _MOST_AT_ONCE)
    if header.at_once and raw > limit:
        raise InputError(
            f"{path}: {width} x {height} pixels decode to {raw >> 20} MiB at once "
            f"(limit {limit >> 20}): convert it to a tiled TIFF first, e.g. with "
            "gdal_translate -co TILED=YES"
        )


def _describe(path: str, header: FlatHeader) -> Source:
    dpi = header.dpi
    # all of them also where a PNG's sBIT says fewer: its samples are scaled up
    full = 2**header.bits - 1 if header.bits > 8 else 255
    details = {"photometric": header.photometric}
    if header.mode == "CMYK":
        profile = header.info.get("icc_profile")
        details["cmyk"] = cmyk.told(cmyk.make_transform(profile) is not None)
    return Source(
        path=path,
        format="JPEG" if header.format == "lossless JPEG" else header.format,
        resolution=dpi,
        unit="inch" if dpi else None,
        # a profile of CMYK is of no use to RGB
        icc_profile=None if header.mode == "CMYK" else header.info.get("icc_profile") or None,
        valid_range=(0, full),
        details=details,
    )
