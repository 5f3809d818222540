"""Windows of a TIFF, read and decoded by whoever asks for them. Knows nothing of Dask.

tifffile parses the file and decodes single tiles or strips; only the choice of those that a
window needs is ours. (Its own Zarr store cannot be pickled, and decodes in one thread.)
What travels to workers is a `TiffWindows` of about a kilobyte; each process opens the file
for itself and keeps a few files open.
"""

from __future__ import annotations

import collections
import math
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.bytesource import ByteSource
from bigquant.errors import BigquantError
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Raster, Selection
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiff_page import JPEG, ColorRule, describe_page, is_raw, one_line, segment_shape
from bigquant.tiff_strip import StripBands
from bigquant.tiling import BLOCK_BYTES, plan_rows, plan_tiles

_OPEN_FILES = 8


def open_tiff(path: str, selection: Selection) -> Raster:
    """Find the image in a TIFF."""
    del selection
    page = describe_page(path)
    facts, shape = page.facts, page.shape
    windows: TiffWindows | StagedWindows
    windows = TiffWindows(path, page.index, page.fingerprint, shape, page.rule)
    block = plan_tiles(shape, facts.segment) if facts.tiled else plan_rows(shape, facts.segment[0])
    if page.single_strip and math.prod(shape) > BLOCK_BYTES:
        bands = ColorBands(StripBands(path, page.index), page.rule)
        windows = StagedWindows(path, page.fingerprint, bands, shape, windows.dtype)
        block = plan_tiles(shape, windows.chunk)
    source = Source(
        path=path,
        format="BigTIFF" if facts.big else "TIFF",
        resolution=facts.resolution,
        unit=facts.unit,
        icc_profile=facts.icc_profile,
        tags=facts.tags,
        valid_range=(0, 255),
        details={
            "compression": facts.compression,
            "photometric": facts.photometric,
            "tiles" if facts.tiled else "strips": f"{facts.segment[1]} x {facts.segment[0]}",
        },
    )
    has_alpha = page.rule.alpha is not None
    return Raster(
        windows=windows,
        block=block,
        source=source,
        colors=tuple(range(shape[2] - has_alpha)),
        alpha=shape[2] - 1 if has_alpha else None,
    )


@dataclass(frozen=True)
class TiffWindows:
    """A page of a TIFF as an array (y, x, channel) that reads what is sliced out of it.

    The fingerprint tells if the file has changed since it was planned.
    """

    path: str
    page: int
    fingerprint: Fingerprint
    shape: tuple[int, int, int]
    rule: ColorRule

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.uint8]:
        rows, columns, channels = key
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        page = _open_page(self)
        page.bytes.check()
        samples = page.read(y0, y1, x0, x1)
        return self.rule.apply(samples)[:, :, channels]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.path, self.page, astuple(self.fingerprint))


@dataclass(frozen=True)
class ColorBands:
    """Bands of a strip's samples as an image."""

    strip: StripBands
    rule: ColorRule

    def __call__(self, rows: int) -> Iterator[NDArray[np.uint8]]:
        """Decode in bands of so many rows, the last perhaps lower."""
        return map(self.rule.apply, self.strip(rows))


class _OpenPage:
    """One process's hold on a page: a file descriptor, the places of tiles, the decoder."""

    def __init__(self, windows: TiffWindows) -> None:
        self.path = windows.path
        self.bytes = ByteSource(windows.path, windows.fingerprint)
        with self.bytes.open() as file, tifffile.TiffFile(file) as tif:
            page = tif.pages[windows.page]
            self.page = page
            self.raw = is_raw(page)
            self.decode = page.decode
            self.options: dict[str, Any] = {}
            if page.compression in JPEG:
                self.options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self.offsets = np.array(page.dataoffsets, np.uint64)
        self.counts = np.array(page.databytecounts, np.uint64)

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
        data = self.bytes.read([(offset, count)])[0] if offset and count else None
        try:
            segment, (plane, _, y, x, _), shape = self.decode(data, index, **self.options)
        except Exception as error:  # codecs raise what they like
            raise BigquantError(
                f"{self.path}: tile or strip {index} is damaged ({one_line(error)})"
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
            data = self.bytes.read([(start, (y1 - y0) * row_bytes)])[0]
            rows = np.frombuffer(data, np.uint8).reshape(y1 - y0, page.imagewidth, depth)
            parts.append(rows[:, x0:x1])
        return parts[0] if planes == 1 else np.concatenate(parts, axis=2)


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
