"""The image in a TIFF, found and checked: what a process must know to read it.

No header is believed: what does not fit the file is refused before anything is allocated.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile

from bigquant import remote
from bigquant.bytesource import ByteSource
from bigquant.errors import InputError, one_line
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Selection
from bigquant.tiff_colors import SampleRule
from bigquant.tiff_samples import Samples, describe_samples
from bigquant.tiff_series import Choice, Plane, choose_planes
from bigquant.tiff_strip import is_single_strip, streams
from bigquant.tiff_subsampled import decoder_of
from bigquant.tiff_tags import PageFacts, collect_facts, segment_shape

#: Bytes that a tile or strip may decode to; what is larger cannot be read in parts.
_MAX_SEGMENT_BYTES = 1 << 30

# What it tells of odd files is of no use to those who only read them.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class PlaneFacts:
    """All that is needed to read a plane of an image.

    Parameters
    ----------
    plane : Plane
    tables : Plane
        Whose directory has the palette or colour profile.
    fingerprint : Fingerprint
        Of the file, to notice when it changes.
    shape : (int, int, int)
        Height, width, samples after conversion.
    dtype : dtype
        After conversion.
    rule : SampleRule
    segment_bytes : int
        What is decoded at once to see a pixel; 0 where any row can be read by itself.
    strip : int, optional
        Number of the page, if it is one compressed strip that can be decoded from its top.
    """

    plane: Plane
    tables: Plane
    fingerprint: Fingerprint
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    rule: SampleRule
    segment_bytes: int
    strip: int | None


@dataclass(frozen=True)
class ImageFacts:
    """The image in a TIFF, found and checked.

    Parameters
    ----------
    planes : tuple of PlaneFacts
        Several where channels are pages of their own.
    mask : PlaneFacts, optional
    samples : Samples
        What the samples of each plane mean.
    choice : Choice
    facts : PageFacts
    """

    planes: tuple[PlaneFacts, ...]
    mask: PlaneFacts | None
    samples: Samples
    choice: Choice
    facts: PageFacts


class _Files:
    """The files of an image, open to be parsed: most have one."""

    def __init__(self, stack: contextlib.ExitStack, options: Mapping[str, Any]) -> None:
        self._stack = stack
        self._options = options
        self._open: dict[str, tuple[tifffile.TiffFile, Fingerprint]] = {}

    def open(self, path: str) -> tuple[tifffile.TiffFile, Fingerprint]:
        if path not in self._open:
            source = ByteSource.find(path, self._options)
            tif = self._stack.enter_context(open_file(source))
            self._open[path] = tif, source.fingerprint
        return self._open[path]

    def page(self, plane: Plane) -> tifffile.TiffPage:
        return parse_page(self.open(plane.path)[0], plane)


def describe_image(
    path: str,
    selection: Selection,
    options: Mapping[str, Any] | None = None,
    nodata: float | None = None,
) -> ImageFacts:
    """Choose what of a TIFF is read, and check that it can be; parameters as for `open_tiff`.

    Raises
    ------
    InputError
        If the file is no TIFF, is cut short, holds what is not supported, or holds several
        images of which one must be chosen.
    """
    try:
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files = _Files(stack, options or {})
            choice = choose_planes(path, files.open(path)[0], selection)
            return _describe(path, files, choice, nodata)
    except InputError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"{path}: not a readable TIFF ({one_line(error)})") from error


def _describe(path: str, files: _Files, choice: Choice, nodata: float | None) -> ImageFacts:
    page, base = files.page(choice.planes[0]), files.page(choice.base)
    _check_numbers(page)
    samples = describe_samples(path, page, base, nodata=nodata, bits=choice.bits)
    if samples.marks is not None and len(choice.planes) > 1:
        raise InputError(
            f"{path}: its channels are pages that are converted, with a nodata value: choose "
            "one, e.g. --select C=0 (select={'C': 0})"
        )
    planes = []
    for plane in choice.planes:
        other = files.page(plane)
        if other.hash != page.hash or other.jpegtables != page.jpegtables:
            _check_numbers(other)
            if (other.shaped, other.dtype) != (page.shaped, page.dtype):
                raise InputError(f"{plane.path}: its channels differ in size or type: pick one")
        planes.append(_plane_facts(files, plane, other, samples, choice.base))
    mask = None
    if choice.mask is not None:
        mask_page = files.page(choice.mask)
        _check_numbers(mask_page)
        seen = describe_samples(path, mask_page, mask_page, is_mask=True)
        mask = _plane_facts(files, choice.mask, mask_page, seen, choice.mask)
    facts = collect_facts(page, base, choice.pixel_size)
    return ImageFacts(tuple(planes), mask, samples, choice, facts)


def _plane_facts(
    files: _Files, plane: Plane, page: tifffile.TiffPage, samples: Samples, base: Plane
) -> PlaneFacts:
    fingerprint = files.open(plane.path)[1]
    check_extent(plane, page, fingerprint.size)
    return PlaneFacts(
        plane=plane,
        tables=base if samples.tables_in_base else plane,
        fingerprint=fingerprint,
        shape=(page.imagelength, page.imagewidth, samples.depth),
        dtype=samples.dtype,
        rule=samples.rule,
        segment_bytes=0 if is_raw(page) else segment_bytes(page),
        strip=_strip_number(plane, page),
    )


def _strip_number(plane: Plane, page: tifffile.TiffPage) -> int | None:
    """Find the number of a page that can be decoded from its top; None for any other."""
    plain = not plane.skip and not plane.depth and len(page.treeindex) == 1
    local = not remote.is_url(plane.path)
    return page.treeindex[0] if plain and local and is_single_strip(page) else None


@contextlib.contextmanager
def open_file(source: ByteSource) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF to parse its directories."""
    with source.open() as file, tifffile.TiffFile(file) as tif:
        yield tif


def parse_page(tif: tifffile.TiffFile, plane: Plane) -> tifffile.TiffPage:
    """Parse the directory of a plane."""
    tif.filehandle.seek(plane.ifd)
    return tifffile.TiffPage(tif, plane.index)


def _check_numbers(page: tifffile.TiffPage) -> None:
    """Believe no header: what is computed with must be numbers, not texts or lists."""
    numbers = [page.imagewidth, page.imagelength, page.imagedepth, page.samplesperpixel]
    numbers += [page.tilewidth, page.tilelength] if page.is_tiled else [page.rowsperstrip]
    for values in (numbers, page.dataoffsets, page.databytecounts):
        if isinstance(values, str | bytes) or not all(isinstance(n, int) for n in values):
            raise ValueError("its header has no numbers where numbers belong")
    if min(numbers) < 1:
        raise ValueError("its header gives a size of 0")


def segment_bytes(page: tifffile.TiffPage) -> int:
    """Bytes that a tile or strip decodes to."""
    height, width = segment_shape(page)
    depth = page.tiledepth if page.is_tiled else 1
    per_plane = 1 if page.planarconfig == 2 else page.samplesperpixel
    return int(height * width * depth * per_plane * page.dtype.itemsize)


def check_extent(plane: Plane, page: tifffile.TiffPage, size: int) -> None:
    """Believe no header: every tile must lie in the file, be of a sane size, and decodable."""
    path, raw = plane.path, segment_bytes(page)
    streamed = _strip_number(plane, page) is not None and streams(page)
    if raw > _MAX_SEGMENT_BYTES and not is_raw(page) and not streamed:
        raise InputError(
            f"{path}: one {'tile' if page.is_tiled else 'compressed strip'} decodes to "
            f"{raw >> 20} MiB (limit {_MAX_SEGMENT_BYTES >> 20}), too large to read in parts: "
            "rewrite it in tiles, e.g. gdal_translate -co TILED=YES"
        )
    try:
        decoder_of(page)(None, 0)
    except Exception as error:
        raise InputError(
            f"{path}: cannot be decoded ({one_line(error)}): rewrite it with another "
            "compression, e.g. gdal_translate -co COMPRESS=DEFLATE"
        ) from error
    starts = layer_starts(page)
    end = max(starts) + _layer_bytes(page) if starts else _segments_end(path, page)
    end += plane.skip
    if end > size:
        raise InputError(
            f"{path}: is truncated: its pixels end at byte {end}, the file at {size}: "
            "copy or write it again"
        )


def _segments_end(path: str, page: tifffile.TiffPage) -> int:
    height, width = segment_shape(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    deep = -(-page.imagedepth // page.tiledepth) if page.is_tiled else page.imagedepth
    expected = -(-page.imagelength // height) * -(-page.imagewidth // width) * planes * deep
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) < expected or len(counts) < expected:
        raise InputError(f"{path}: has {len(offsets)} tiles or strips of {expected}: it is damaged")
    ends = (o + n for o, n in zip(offsets[:expected], counts[:expected], strict=True) if o and n)
    return max(map(int, ends), default=0)


def is_raw(page: tifffile.TiffPage) -> bool:
    """Whether the pixels lie uncompressed so that any row can be read."""
    return bool(layer_starts(page))


def layer_starts(page: tifffile.TiffPage) -> list[int]:
    """List where in the file the layers (plane by plane, slice by slice) start, row after row.

    Nothing where the pixels are compressed, in tiles, scattered or yet to be written.
    """
    n_layers = page.shaped[0] * page.shaped[1]
    plain = (
        not page.is_tiled
        and (page.compression, page.predictor, page.fillorder) == (1, 1, 1)
        and not page.is_subsampled
        and page.dtype is not None
        and page.bitspersample == 8 * page.dtype.itemsize
        and len(page.dataoffsets) > 0
        and min(page.dataoffsets) > 0  # 0: a strip that was never written
    )
    if plain and page.is_contiguous:
        first, layer = page.dataoffsets[0], _layer_bytes(page)
        return [first + i * layer for i in range(n_layers)]
    if plain and page.rowsperstrip >= page.imagelength and len(page.dataoffsets) == n_layers:
        return list(page.dataoffsets)
    return []


def _layer_bytes(page: tifffile.TiffPage) -> int:
    return int(math.prod(page.shaped[2:]) * page.dtype.itemsize)
