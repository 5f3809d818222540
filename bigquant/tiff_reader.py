"""Windows of a TIFF, read and decoded by whoever asks for them. Knows nothing of Dask.

tifffile parses the file and decodes single tiles or strips; only the choice of those that a
window needs is ours. (Its own Zarr store cannot be pickled, and decodes in one thread.)
What travels to workers is a `TiffWindows` of about a kilobyte; each process opens the file
for itself and keeps a few files open.
"""

from __future__ import annotations

import collections
import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.errors import BigquantError, InputError

#: GeoTIFF's tags, and the orientation. Not GDAL's nodata (42113): labels have their own.
_COPIED_TAGS = (274, 33550, 33922, 34264, 34735, 34736, 34737)
_JPEG = {6, 7, 33007, 34892}
_MAX_SEGMENT_BYTES = 1 << 30
_OPEN_FILES = 8


@dataclass(frozen=True)
class ColorRule:
    """How the samples of a page become gray or RGB, with alpha perhaps.

    Parameters
    ----------
    channels : int
        Colour channels, which come first; 1 or 3.
    alpha : int, optional
        Sample that holds alpha.
    premultiplied : bool
        Whether the colours are multiplied by alpha.
    inverted : bool
        Whether 0 is white.
    colormap : bytes, optional
        Palette of the page, RGB triples.
    """

    channels: int
    alpha: int | None = None
    premultiplied: bool = False
    inverted: bool = False
    colormap: bytes | None = None

    @property
    def depth(self) -> int:
        """Channels of the image that the rule makes."""
        return (3 if self.colormap else self.channels) + (self.alpha is not None)

    def apply(self, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn samples (y, x, sample) into an image (y, x, channel)."""
        colors = samples[..., : self.channels]
        if self.colormap:
            colors = np.frombuffer(self.colormap, np.uint8).reshape(-1, 3)[colors[..., 0]]
        if self.inverted:
            colors = 255 - colors
        if self.alpha is None:
            return np.ascontiguousarray(colors)
        alpha = samples[..., self.alpha, None]
        if self.premultiplied:
            raised = (colors.astype(np.uint32) * 255 + alpha // 2) // np.maximum(alpha, 1)
            colors = np.minimum(raised, 255).astype(np.uint8)
        return np.concatenate([colors, alpha], axis=2)


@dataclass(frozen=True)
class TiffWindows:
    """A page of a TIFF as an array (y, x, channel) that reads what is sliced out of it.

    Size and modification time tell if the file has changed since it was planned.
    """

    path: str
    page: int
    size: int
    mtime_ns: int
    shape: tuple[int, int, int]
    rule: ColorRule

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.uint8]:
        rows, columns, channels = key
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        samples = _open_page(self).read(y0, y1, x0, x1)
        return self.rule.apply(samples)[:, :, channels]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.path, self.page, self.size, self.mtime_ns)


def describe_page(path: str) -> tuple[TiffWindows, tifffile.TiffPage]:
    """Choose a TIFF's first full-resolution image and check that it can be read.

    Raises
    ------
    InputError
        If the file is no TIFF, is cut short, or holds what is not supported.
    """
    try:
        status = os.stat(path)
        with tifffile.TiffFile(path) as tif:
            page = _main_page(path, tif)
            rule = _color_rule(path, page)
            _check_extent(path, page, status.st_size)
    except InputError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"{path}: not a readable TIFF ({_one_line(error)})") from error
    shape = (page.imagelength, page.imagewidth, rule.depth)
    return TiffWindows(path, page.index, status.st_size, status.st_mtime_ns, shape, rule), page


def copied_tags(page: tifffile.TiffPage) -> tuple[tuple[int, int, int, Any], ...]:
    """Collect the tags that every output inherits, as tifffile's ``extratags`` take them."""
    tags = []
    for code in _COPIED_TAGS:
        tag = page.tags.get(code)
        if tag is not None and not (code == 274 and tag.value == 1):
            count = 0 if isinstance(tag.value, str) else tag.count
            value = int(tag.value) if isinstance(tag.value, int) else tag.value
            tags.append((code, int(tag.dtype), count, value))
    return tuple(tags)


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of the page's tiles or strips."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _main_page(path: str, tif: tifffile.TiffFile) -> tifffile.TiffPage:
    if not tif.pages or not tif.series:
        raise InputError(f"{path}: contains no image (an unfinished file?)")
    series = max(tif.series, key=lambda s: s.keyframe.imagelength * s.keyframe.imagewidth)
    page = series.keyframe
    if not page.shape or not page.dataoffsets:
        raise InputError(f"{path}: contains no image data (an unfinished file?)")
    planes = {a: n for a, n in zip(series.axes, series.shape, strict=True) if a in "CTZ" and n > 1}
    if planes:
        raise InputError(
            f"{path}: has several planes (axes {series.axes}, shape {series.shape}), "
            "which are not supported yet: save the one you want as its own TIFF"
        )
    return page


def _color_rule(path: str, page: tifffile.TiffPage) -> ColorRule:
    kind = tifffile.PHOTOMETRIC(page.photometric)
    if page.dtype != np.uint8 or (kind.name != "PALETTE" and page.bitspersample != 8):
        raise InputError(
            f"{path}: has {page.bitspersample}-bit samples of type {page.dtype}; only 8-bit "
            "images are supported yet: convert it first, e.g. gdal_translate -ot Byte -scale"
        )
    if page.imagedepth > 1:
        raise InputError(f"{path}: is a volume of {page.imagedepth} planes, not an image")
    extras = tuple(int(extra) for extra in page.extrasamples)
    channels = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}.get(kind.name)
    converted = kind.name != "YCBCR" or page.compression in _JPEG  # JPEG decodes to RGB
    if channels is None or page.samplesperpixel - len(extras) != channels or not converted:
        raise InputError(
            f"{path}: {page.samplesperpixel} samples of photometric {kind.name} are not "
            "supported; gray, RGB and palette images are: convert it first"
        )
    alpha = next((channels + i for i, extra in enumerate(extras) if extra in (1, 2)), None)
    premultiplied = alpha is not None and extras[alpha - channels] == 1
    colormap = None
    if kind.name == "PALETTE":
        if page.colormap is None:
            raise InputError(f"{path}: is a palette image without a colour map")
        colormap = (page.colormap.T >> 8).astype(np.uint8).tobytes()
    return ColorRule(channels, alpha, premultiplied, kind.name == "MINISWHITE", colormap)


def _check_extent(path: str, page: tifffile.TiffPage, size: int) -> None:
    """Believe no header: every tile must lie in the file, and be of a sane size."""
    height, width = segment_shape(page)
    per_plane = 1 if page.planarconfig == 2 else page.samplesperpixel
    raw = height * width * per_plane
    if raw > _MAX_SEGMENT_BYTES and not _is_raw(page):
        raise InputError(
            f"{path}: one {'tile' if page.is_tiled else 'compressed strip'} decodes to "
            f"{raw >> 20} MiB (limit {_MAX_SEGMENT_BYTES >> 20}), too large to read in parts: "
            "rewrite it in tiles, e.g. gdal_translate -co TILED=YES"
        )
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = -(-page.imagelength // height) * -(-page.imagewidth // width) * planes
    offsets = np.array(page.dataoffsets, np.uint64)
    if _is_raw(page):
        ends = offsets + np.uint64(page.imagelength * page.imagewidth * page.samplesperpixel)
    elif len(offsets) < expected or len(page.databytecounts) < expected:
        raise InputError(f"{path}: has {len(offsets)} tiles or strips of {expected}: it is damaged")
    else:
        ends = offsets[:expected] + np.array(page.databytecounts[:expected], np.uint64)
    if int(ends.max()) > size:
        raise InputError(
            f"{path}: is truncated: its pixels end at byte {int(ends.max())}, the file at {size}: "
            "copy or write it again"
        )


def _is_raw(page: tifffile.TiffPage) -> bool:
    """Whether the pixels lie uncompressed in one piece, so that any row can be read."""
    return (
        not page.is_tiled
        and len(page.dataoffsets) == 1
        and page.compression == 1
        and page.predictor == 1
        and page.fillorder == 1
        and not page.is_subsampled
        and page.bitspersample == 8
    )


class _OpenPage:
    """One process's hold on a page: a file descriptor, the places of tiles, the decoder."""

    def __init__(self, windows: TiffWindows) -> None:
        self.path = windows.path
        try:
            status = os.stat(windows.path)
        except OSError as error:
            raise BigquantError(
                f"{windows.path}: cannot be opened ({error.strerror}): "
                "every worker must see the file under this path"
            ) from error
        if (status.st_size, status.st_mtime_ns) != (windows.size, windows.mtime_ns):
            raise BigquantError(
                f"{windows.path}: has changed since it was opened "
                f"({windows.size} bytes then, {status.st_size} now): run again"
            )
        with tifffile.TiffFile(windows.path) as tif:
            page = tif.pages[windows.page]
            self.page = page
            self.raw = _is_raw(page)
            self.decode = page.decode
            self.options: dict[str, Any] = {}
            if page.compression in _JPEG:
                self.options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self.offsets = np.array(page.dataoffsets, np.uint64)
        self.counts = np.array(page.databytecounts, np.uint64)
        self.fd = os.open(windows.path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        """Read a window of samples (y, x, sample)."""
        if self.raw:
            return self._read_rows(y0, y1, x0, x1)
        page = self.page
        samples = np.empty((y1 - y0, x1 - x0, page.samplesperpixel), np.uint8)
        height, width = segment_shape(page)
        down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        for plane in range(planes):
            for row in range(y0 // height, -(-y1 // height)):
                for column in range(x0 // width, -(-x1 // width)):
                    index = (plane * down + row) * across + column
                    self._place_segment(index, samples, (y0, y1, x0, x1))
        return samples

    def _place_segment(
        self, index: int, samples: NDArray[np.uint8], window: tuple[int, int, int, int]
    ) -> None:
        y0, y1, x0, x1 = window
        offset, count = int(self.offsets[index]), int(self.counts[index])
        data = self._read_bytes(offset, count) if offset and count else None
        try:
            segment, (plane, _, y, x, _), shape = self.decode(data, index, **self.options)
        except Exception as error:  # codecs raise what they like
            raise BigquantError(
                f"{self.path}: tile or strip {index} is damaged ({_one_line(error)})"
            ) from error
        top, bottom = max(y0, y), min(y1, y + shape[1])
        left, right = max(x0, x), min(x1, x + shape[2])
        target = samples[top - y0 : bottom - y0, left - x0 : right - x0]
        if self.page.planarconfig == 2:
            target = target[..., plane : plane + 1]
        if segment is None:  # a sparse file's empty tile
            target[...] = 0
        else:
            target[...] = segment[0, top - y : bottom - y, left - x : right - x]

    def _read_rows(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        page = self.page
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        depth = page.samplesperpixel // planes
        row_bytes = page.imagewidth * depth
        parts = []
        for plane in range(planes):
            start = int(self.offsets[0]) + (plane * page.imagelength + y0) * row_bytes
            data = self._read_bytes(start, (y1 - y0) * row_bytes)
            rows = np.frombuffer(data, np.uint8).reshape(y1 - y0, page.imagewidth, depth)
            parts.append(rows[:, x0:x1])
        return parts[0] if planes == 1 else np.concatenate(parts, axis=2)

    def _read_bytes(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        missing = count
        while missing:  # one call reads 2 GiB at most
            part = os.pread(self.fd, missing, offset + count - missing)
            if not part:
                raise BigquantError(
                    f"{self.path}: is truncated: wanted {count} bytes at {offset}, "
                    f"got {count - missing}"
                )
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


_lock = threading.Lock()
_pages: collections.OrderedDict[TiffWindows, _OpenPage] = collections.OrderedDict()


def _open_page(windows: TiffWindows) -> _OpenPage:
    with _lock:
        if windows not in _pages:
            _pages[windows] = _OpenPage(windows)
            while len(_pages) > _OPEN_FILES:
                _pages.popitem(last=False)  # closed when the last reader lets go of it
        _pages.move_to_end(windows)
        return _pages[windows]


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
