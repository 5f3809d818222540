"""Pages of TIFFs in tiles or strips too large to decode in parts: from their top, in bands.

Deflate, LZMA, Zstandard and no compression are undone as far as a band needs it, for all tiles
beside each other at once; libvips does so for LZW and PackBits. Of other compressions one row
of tiles is in memory.
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.bytesource import ByteSource
from bigquant.errors import BigquantError, DamagedError
from bigquant.tiff_subsampled import Decoder
from bigquant.tiff_tags import decoder_options, segment_shape
from bigquant.vips_bands import vips_bands

_NONE, _LZW, _LZMA, _ZSTD, _DEFLATE, _PACKBITS = 1, 5, 34925, 50000, {8, 32946}, 32773
#: Bytes that a byte can stand for.
_MOST_OF_BYTE = {_NONE: 1, _LZW: 4096, _LZMA: 1 << 14, _ZSTD: 1 << 15, _PACKBITS: 64}
_MOST_OF_BYTE |= dict.fromkeys(_DEFLATE, 1032)
_READ_BYTES = 1 << 20
#: libvips decodes lower strips at once, and then cannot go on in bands.
_LOW_STRIP = 128


def streams(page: tifffile.TiffPage, *, in_a_file: bool) -> bool:
    """Whether a page is decoded in bounded memory, and its tiles or strips can be what they say.

    Parameters
    ----------
    page : TiffPage
    in_a_file : bool
        Whether its first byte is that of a file on a disk: libvips reads no other.
    """
    height, width = segment_shape(page)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    raw = height * width * samples * page.dtype.itemsize
    most = min(page.databytecounts, default=0) * _MOST_OF_BYTE.get(page.compression, 0)
    return (
        has_bands(page)
        and raw <= most
        and (_is_streamed(page) or (in_a_file and _is_scanned(page)))
    )


def has_bands(page: tifffile.TiffPage) -> bool:
    """Whether a page is flat, so that it can be decoded from its top."""
    return bool(page.imagedepth == 1 and (not page.is_tiled or page.tiledepth == 1))


def _is_streamed(page: tifffile.TiffPage) -> bool:
    """Whether the bytes of a page's tiles or strips become samples row by row."""
    return (
        page.compression in {_NONE, _LZMA, _ZSTD, *_DEFLATE}
        and page.predictor in (1, 2, 3)
        and page.fillorder == 1
        and page.bitspersample == 8 * page.dtype.itemsize
        and page.dtype.kind in "iuf"
        and not page.is_subsampled
    )


def _is_scanned(page: tifffile.TiffPage) -> bool:
    """Whether libvips hands the samples out as they are stored, and does so by rows."""
    return (
        page.compression in (_LZW, _PACKBITS)
        and page.photometric in (1, 2)
        and page.bitspersample in (8, 16)
        and page.dtype.kind == "u"
        and not page.is_tiled
        and (page.planarconfig == 1 or page.samplesperpixel == 1)
        and segment_shape(page)[0] > _LOW_STRIP
    )


class _Rows(Protocol):
    """A tile or strip that is read from its top."""

    def read(self, count: int) -> NDArray[Any]:
        """Read the next so many rows, (y, x, sample)."""


@dataclass(frozen=True)
class StoredBands:
    """The samples of a flat page, as they are stored, from its top.

    Parameters
    ----------
    page : TiffPage
    number : int, optional
        Its number in the file, if libvips can read it.
    source : ByteSource
        Of the file.
    offsets, counts : ndarray
        Where the tiles or strips lie.
    decode : callable
        As `TiffPage.decode`.
    """

    page: tifffile.TiffPage
    number: int | None
    source: ByteSource
    offsets: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    decode: Decoder

    def __call__(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode in bands of so many rows, the last perhaps lower, each (y, x, sample)."""
        try:
            for band in self._scanned(rows) if self.number is not None else self._bands(rows):
                yield band if band.ndim == 3 else band[..., None]
        except (BigquantError, GeneratorExit):
            raise
        except Exception as error:  # codecs raise what they like
            reason = " ".join(str(error).split())[-200:] or type(error).__name__
            kind = "tile" if self.page.is_tiled else "strip"
            raise DamagedError(
                f"{self.source.path}: a {kind} of it is damaged ({reason})"
            ) from error

    def _scanned(self, rows: int) -> Iterator[NDArray[Any]]:
        if not _is_scanned(self.page):
            return self._bands(rows)
        options = {"page": self.number, "unlimited": True}
        # a strip that was cut is to libtiff an error, after which it goes on with zeros
        return vips_bands("tiffload", self.source.path, rows, "error", **options)

    def _bands(self, rows: int) -> Iterator[NDArray[Any]]:
        height = self.page.imagelength
        tall = segment_shape(self.page)[0]
        opened: list[list[_Rows]] = []
        for top in range(0, height, rows):
            parts = []
            y, bottom = top, min(top + rows, height)
            while y < bottom:
                if y % tall == 0:
                    opened.clear()  # before the next are decoded
                    opened = [self._open_row(plane, y) for plane in range(self._planes)]
                end = min(bottom, y - y % tall + tall)
                parts.append(self._read_row(opened, end - y))
                y = end
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def _planes(self) -> int:
        return self.page.samplesperpixel if self.page.planarconfig == 2 else 1

    def _open_row(self, plane: int, y: int) -> list[_Rows]:
        """Open the tiles of a plane that lie beside each other."""
        height, width = segment_shape(self.page)
        down, across = -(-self.page.imagelength // height), -(-self.page.imagewidth // width)
        first = (plane * down + y // height) * across
        tall = min(height, self.page.imagelength - y)
        return [self._open(index, tall) for index in range(first, first + across)]

    def _open(self, index: int, tall: int) -> _Rows:
        offset, count = int(self.offsets[index]), int(self.counts[index])
        if not offset or not count:  # a sparse file's empty tile
            depth = self.page.samplesperpixel // self._planes
            nothing = np.array(self.page.nodata, self.page.dtype.newbyteorder("="))
            return _Decoded(np.broadcast_to(nothing, (tall, segment_shape(self.page)[1], depth)))
        if _is_streamed(self.page):
            return _Streamed(_Stored(self.source, offset, count), self.page, tall)
        (data,) = self.source.read([(offset, count)])
        try:
            return _Decoded(self.decode(data, index, **decoder_options(self.page))[0][0])
        except DamagedError as error:  # a decoder does not know whose data they are
            raise DamagedError(
                f"{self.source.path}: tile or strip {index} is damaged ({error})"
            ) from error

    def _read_row(self, opened: list[list[_Rows]], count: int) -> NDArray[Any]:
        width = self.page.imagewidth
        planes = []
        for row in opened:
            parts = [rows.read(count) for rows in row]
            joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            planes.append(joined[:, :width])
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)


class _Decoded:
    """A tile or strip that had to be decoded at once."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels, self.done = pixels, 0

    def read(self, count: int) -> NDArray[Any]:
        self.done += count
        return self.pixels[self.done - count : self.done]


class _Streamed:
    """A tile or strip that is decoded as far as it is read."""

    def __init__(self, stored: io.RawIOBase, page: tifffile.TiffPage, height: int) -> None:
        self.stream = _open_stream(stored, page.compression)
        self.left, self.predictor = height, page.predictor
        self.dtype = page.dtype.newbyteorder(page.parent.byteorder)
        samples = page.samplesperpixel if page.planarconfig == 1 else 1
        self.row = segment_shape(page)[1], samples

    def read(self, count: int) -> NDArray[Any]:
        size = count * self.row[0] * self.row[1] * self.dtype.itemsize
        data = self._read_bytes(size)
        self.left -= count
        if not self.left:
            self.stream.read(1)  # its checksum is compared at the end
        native = self.dtype.newbyteorder("=")
        if self.predictor == 3:  # which has an order of bytes of its own
            rows = np.frombuffer(data, native).reshape(count, *self.row)
            return np.asarray(imagecodecs.floatpred_decode(rows, axis=1))
        rows = np.frombuffer(data, self.dtype).reshape(count, *self.row)
        rows = rows.astype(native, copy=False)
        return imagecodecs.delta_decode(rows, axis=1) if self.predictor == 2 else rows

    def _read_bytes(self, size: int) -> bytes | bytearray:
        found = bytearray()
        while len(found) < size:
            part = self.stream.read(size - len(found))
            if not part:
                raise ValueError(f"it ends {self.left} rows early")
            found += part
        return found


class _Stored(io.RawIOBase):
    """The bytes of a tile or strip as a file."""

    def __init__(self, source: ByteSource, offset: int, count: int) -> None:
        self.source, self.offset, self.left = source, offset, count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        if count:
            buffer[:count] = self.source.read([(self.offset, count)]).pop()
        self.offset, self.left = self.offset + count, self.left - count
        return count


def _open_stream(stored: io.RawIOBase, compression: int) -> Any:
    """Open what bytes are decompressed to; its `read(count)` may give fewer bytes."""
    if compression == _NONE:
        return stored
    if compression == _LZMA:
        return lzma.LZMAFile(io.BufferedReader(stored))
    if compression in _DEFLATE:
        return _Inflater(stored)
    import pyarrow  # noqa: PLC0415 - not wanted where there is no Zstandard

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(stored, mode="r"), "zstd")


class _Inflater:
    """Reads what a file, deflated, inflates to."""

    def __init__(self, stored: io.RawIOBase) -> None:
        self.stored, self.stream = stored, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Read up to so many bytes; none at the end."""
        while True:
            data = self.stream.unconsumed_tail or self.stored.read(_READ_BYTES) or b""
            part = self.stream.decompress(data, count)
            if part or not data:
                return part
