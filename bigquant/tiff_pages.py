"""The pages of TIFFs that a process holds open, a few at a time. Knows nothing of Dask.

tifffile parses the file and decodes single tiles or strips; only the choice of those that a
window needs is ours. (Its own Zarr store cannot be pickled, and decodes in one thread.)
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.bytesource import ByteSource
from bigquant.errors import DamagedError, one_line
from bigquant.tiff_bands import StoredBands
from bigquant.tiff_colors import make_converter
from bigquant.tiff_decoder import decoder_of
from bigquant.tiff_page import PlaneFacts, layer_starts, open_file, parse_page
from bigquant.tiff_tags import decoder_options, segment_shape

_OPEN_PAGES = 32

Box = tuple[int, int, int, int]


class OpenPage:
    """One process's hold on a page: a file descriptor, the places of tiles, the decoder."""

    def __init__(self, facts: PlaneFacts) -> None:
        plane = facts.plane
        self.path, self.depth, self.number = plane.path, plane.depth, facts.number
        facts.fingerprint.check(plane.path)
        self.bytes = ByteSource(plane.path, facts.fingerprint)
        with open_file(self.bytes) as tif:
            page = parse_page(tif, plane)
            tables = page if facts.tables == plane else parse_page(tif, facts.tables)
            self.page = page
            self.layers = [plane.skip + start for start in layer_starts(page)]
            self.decode = decoder_of(page)
            self.options = decoder_options(page)
            self.convert = make_converter(plane.path, facts.rule, tables)
        self.dtype = page.dtype.newbyteorder("=")
        self.offsets = np.array(page.dataoffsets, np.uint64)
        self.offsets[self.offsets > 0] += np.uint64(plane.skip)
        self.counts = np.array(page.databytecounts, np.uint64)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Read a window of stored samples (y, x, sample)."""
        if self.layers:
            return self._read_rows(y0, y1, x0, x1)
        samples = np.empty((y1 - y0, x1 - x0, self.page.samplesperpixel), self.dtype)
        if samples.size:
            for batch in self._batches(y0, y1, x0, x1):
                ranges = [(int(self.offsets[i]), int(self.counts[i])) for i in batch]
                stored = iter(self.bytes.read([r for r in ranges if all(r)]))
                for index, place in zip(batch, ranges, strict=True):
                    data = next(stored) if all(place) else None
                    self._place_segment(index, data, samples, (y0, y1, x0, x1))
        return samples

    def bands(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode all of the page in bands of so many rows, the last perhaps lower, converted."""
        bands = StoredBands(
            self.page, self.number, self.bytes, self.offsets, self.counts, self.decode
        )
        for band in bands(rows):
            yield band if self.convert is None else self.convert(band)

    def _batches(self, y0: int, y1: int, x0: int, x1: int) -> Iterator[list[int]]:
        """List the tiles or strips of a window, not more at once than memory should hold."""
        page = self.page
        height, width = segment_shape(page)
        down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        thick = page.tiledepth if page.is_tiled else 1
        deep = -(-page.imagedepth // thick)
        batch: list[int] = []
        size = 0
        for plane in range(planes):
            layer = plane * deep + self.depth // thick
            for row in range(y0 // height, -(-y1 // height)):
                for column in range(x0 // width, -(-x1 // width)):
                    index = (layer * down + row) * across + column
                    if batch and size + int(self.counts[index]) > self.bytes.batch_bytes:
                        yield batch
                        batch, size = [], 0
                    batch.append(index)
                    size += int(self.counts[index])
        yield batch

    def _place_segment(
        self, index: int, data: bytes | None, samples: NDArray[Any], window: Box
    ) -> None:
        y0, y1, x0, x1 = window
        try:
            segment, (plane, z, y, x, _), shape = self.decode(data, index, **self.options)
            top, bottom = max(y0, y), min(y1, y + shape[1])
            left, right = max(x0, x), min(x1, x + shape[2])
            target = samples[top - y0 : bottom - y0, left - x0 : right - x0]
            if self.page.planarconfig == 2:
                target = target[..., plane : plane + 1]
            if segment is None:  # a sparse file's empty tile
                target[...] = self.page.nodata
            else:
                target[...] = segment[self.depth - z, top - y : bottom - y, left - x : right - x]
        except Exception as error:  # codecs raise what they like
            reason = str(error) if isinstance(error, DamagedError) else one_line(error)
            raise DamagedError(
                f"{self.path}: tile or strip {index} is damaged ({reason})"
            ) from error

    def _read_rows(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        page: tifffile.TiffPage = self.page
        planes, deep, _, width, depth = page.shaped
        stored = self.dtype.newbyteorder(page.parent.byteorder)
        row_bytes = width * depth * stored.itemsize
        layers = self.layers[self.depth :: deep]
        starts = [start + y0 * row_bytes for start in layers]
        parts = [
            np.frombuffer(data, stored).reshape(y1 - y0, width, depth)[:, x0:x1]
            for data in self.bytes.read([(start, (y1 - y0) * row_bytes) for start in starts])
        ]
        samples = parts[0] if planes == 1 else np.concatenate(parts, axis=2)
        return samples.astype(self.dtype, copy=False)


_lock = threading.Lock()
_pages: collections.OrderedDict[PlaneFacts, OpenPage] = collections.OrderedDict()


def open_page(facts: PlaneFacts) -> OpenPage:
    """Open a page, or find it open still."""
    with _lock:
        if facts not in _pages:
            _pages[facts] = OpenPage(facts)
            while len(_pages) > _OPEN_PAGES:
                _pages.popitem(last=False)  # closed when the last reader lets go of it
        _pages.move_to_end(facts)
        return _pages[facts]
