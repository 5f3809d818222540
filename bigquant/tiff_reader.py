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
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.bytesource import ByteSource
from bigquant.cmyk import told
from bigquant.errors import DamagedError, one_line
from bigquant.raster import Raster, Selection, Windows
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiff_colors import make_converter
from bigquant.tiff_page import (
    ImageFacts,
    PlaneFacts,
    describe_image,
    layer_starts,
    open_file,
    parse_page,
)
from bigquant.tiff_strip import StripBands
from bigquant.tiff_subsampled import decoder_of
from bigquant.tiff_tags import decoder_options, segment_shape
from bigquant.tiling import BLOCK_BYTES, plan_rows, plan_tiles

_OPEN_PAGES = 32

Box = tuple[int, int, int, int]


def open_tiff(
    path: str,
    selection: Selection,
    options: Mapping[str, Any] | None = None,
    nodata: float | None = None,
) -> Raster:
    """Find the image in a TIFF.

    Parameters
    ----------
    path : str
    selection : Selection
        Of several images, pyramid levels and planes.
    options : Mapping, optional
        For fsspec, where the path is a URL.
    nodata : float, optional
        Instead of the value that the file gives.

    Raises
    ------
    InputError
        If the file is damaged, not supported, or holds several images and none is chosen.
    """
    image = describe_image(path, selection, options, nodata)
    facts, samples, first = image.facts, image.samples, image.planes[0]
    windows: Windows = TiffWindows(first)
    colors, alpha = samples.colors, samples.alpha
    if len(image.planes) > 1:
        windows = StackedWindows(tuple(map(TiffWindows, image.planes)))
        colors, alpha = (0, 1, 2) if image.choice.rgb and samples.depth == 1 else None, None
    elif first.strip is not None and math.prod(first.shape) * first.dtype.itemsize > BLOCK_BYTES:
        windows = StagedWindows(
            path, first.fingerprint, ColorBands(first), first.shape, first.dtype
        )
    return Raster(
        windows=windows,
        block=_plan_block(windows, image),
        source=_source(path, image),
        colors=colors,
        alpha=alpha,
        premultiplied=samples.premultiplied and alpha is not None,
        nodata=samples.nodata,
        marks=samples.marks,
        mask=None if image.mask is None else TiffWindows(image.mask),
        orientation=facts.orientation,
    )


def _plan_block(windows: Windows, image: ImageFacts) -> tuple[int, int]:
    height, width, depth = windows.shape
    plane, segment = (height, width, depth * windows.dtype.itemsize), image.facts.segment
    if isinstance(windows, StagedWindows):
        return plan_tiles(plane, windows.chunk)
    if image.facts.tiled:
        return plan_tiles(plane, segment)
    return plan_rows(plane, segment[0] if image.planes[0].segment_bytes else 1)


def _source(path: str, image: ImageFacts) -> Source:
    facts, rule = image.facts, image.samples.rule
    details = {
        "axes": dict(image.choice.axes),
        "compression": facts.compression,
        "photometric": facts.photometric,
        "tiles" if facts.tiled else "strips": f"{facts.segment[1]} x {facts.segment[0]}",
        "bits": facts.bits,
        "levels": [f"{x} x {y}" for x, y in image.choice.sizes],
        "series": image.choice.n_series,
    }
    if rule.kind == "cmyk":
        details["cmyk"] = told(rule.profiled)
    return Source(
        path=path,
        format="BigTIFF" if facts.big else "TIFF",
        resolution=facts.resolution,
        unit=facts.unit,
        icc_profile=None if rule.kind == "cmyk" else facts.icc_profile,  # it is RGB now
        tags=facts.tags,
        valid_range=image.samples.valid_range,
        tile=facts.segment if facts.tiled else None,
        ome=image.choice.ome,
        details=details,
    )


@dataclass(frozen=True)
class TiffWindows:
    """A plane of a TIFF as an array (y, x, sample) that reads what is sliced out of it.

    The fingerprint tells if the file has changed since it was planned.
    """

    facts: PlaneFacts

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        return self.facts.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.facts.dtype

    @property
    def segment_bytes(self) -> int:
        """Bytes that are decoded at once to see a pixel; 0 where any row can be read."""
        return self.facts.segment_bytes

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns, channels = key
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        page = _open_page(self.facts)
        page.bytes.check()
        with np.errstate(all="ignore"):  # of values that nobody asked for
            samples = page.read(y0, max(y0, y1), x0, max(x0, x1))
            if page.convert is not None:
                samples = page.convert(samples)
        return samples[:, :, channels]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, *map(str, astuple(self.facts)))


@dataclass(frozen=True)
class StackedWindows:
    """Pages of a TIFF, one after another, as the samples of one image."""

    parts: tuple[TiffWindows, ...]

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        height, width, depth = self.parts[0].shape
        return height, width, depth * len(self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        return self.parts[0].dtype

    @property
    def segment_bytes(self) -> int:
        """Bytes of a page that are decoded at once to see a pixel."""
        return self.parts[0].segment_bytes

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        start, stop, _ = key[2].indices(self.shape[2])
        depth = self.parts[0].shape[2]
        first = start // depth
        pages = self.parts[first : max(first + 1, -(-stop // depth))]
        samples = np.concatenate([page[*key[:2], :] for page in pages], axis=2)
        return samples[:, :, start - first * depth : stop - first * depth]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return tuple(part.__dask_tokenize__() for part in self.parts)


@dataclass(frozen=True)
class ColorBands:
    """A page of one compressed strip in bands from its top, converted."""

    facts: PlaneFacts

    def __call__(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode in bands of so many rows, the last perhaps lower."""
        assert self.facts.strip is not None
        convert = _open_page(self.facts).convert
        for band in StripBands(self.facts.plane.path, self.facts.strip)(rows):
            yield band if convert is None else convert(band)


class _OpenPage:
    """One process's hold on a page: a file descriptor, the places of tiles, the decoder."""

    def __init__(self, facts: PlaneFacts) -> None:
        plane = facts.plane
        self.path, self.depth = plane.path, plane.depth
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
            raise DamagedError(
                f"{self.path}: tile or strip {index} is damaged ({one_line(error)})"
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
_pages: collections.OrderedDict[PlaneFacts, _OpenPage] = collections.OrderedDict()


def _open_page(facts: PlaneFacts) -> _OpenPage:
    with _lock:
        if facts not in _pages:
            _pages[facts] = _OpenPage(facts)
            while len(_pages) > _OPEN_PAGES:
                _pages.popitem(last=False)  # closed when the last reader lets go of it
        _pages.move_to_end(facts)
        return _pages[facts]
