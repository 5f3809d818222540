"""TIFF pages of one compressed strip, which cannot be read at random: decoded from their top."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from bigquant.errors import BigquantError, DamagedError
from bigquant.tiff_tags import decoder_options
from bigquant.vips_bands import vips_bands

_DEFLATE, _LZW = (8, 32946), (5,)
#: Bytes that a byte of a strip can stand for: deflate's bound, and the longest string of LZW.
_MOST_OF_BYTE = {**dict.fromkeys(_DEFLATE, 1032), **dict.fromkeys(_LZW, 4096)}
_READ_BYTES = 1 << 20
#: libvips decodes lower strips at once, and then cannot go on in bands.
_LOW_STRIP = 128


def is_single_strip(page: tifffile.TiffPage) -> bool:
    """Whether a page is one compressed strip of all samples."""
    return (
        not page.is_tiled
        and page.compression != 1
        and len(page.dataoffsets) == 1
        and page.dataoffsets[0] > 0
        and page.imagedepth == 1
        and (page.planarconfig == 1 or page.samplesperpixel == 1)
    )


def streams(page: tifffile.TiffPage) -> bool:
    """Whether a page of a single strip is decoded in bounded memory, and can be what it says."""
    raw = page.imagelength * page.imagewidth * page.samplesperpixel * page.dtype.itemsize
    most = page.databytecounts[0] * _MOST_OF_BYTE.get(page.compression, 0)
    return is_single_strip(page) and raw <= most and (_inflates(page) or _is_plain_lzw(page))


def _inflates(page: tifffile.TiffPage) -> bool:
    return (
        page.compression in _DEFLATE
        and page.predictor in (1, 2)
        and page.fillorder == 1
        and page.bitspersample == 8 * page.dtype.itemsize
        and page.dtype.kind in "iuf"
        and not page.is_subsampled
    )


def _is_plain_lzw(page: tifffile.TiffPage) -> bool:
    """Whether libvips hands the samples out as they are stored."""
    return (
        page.compression in _LZW
        and page.photometric in (1, 2)
        and page.bitspersample in (8, 16)
        and page.dtype.kind == "u"
        and page.imagelength > _LOW_STRIP
    )


@dataclass(frozen=True)
class StripBands:
    """The samples of a page of one compressed strip, of any compression, from its top.

    Parameters
    ----------
    path : str
    page : int
        Its number in the file.
    """

    path: str
    page: int

    def __call__(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode in bands of so many rows, the last perhaps lower, each (y, x, sample)."""
        try:
            with tifffile.TiffFile(self.path) as tif:
                page = tif.pages[self.page]
                for band in self._bands(page, rows):
                    yield band if band.ndim == 3 else band[..., None]
        except (BigquantError, GeneratorExit):
            raise
        except Exception as error:  # codecs raise what they like
            reason = " ".join(str(error).split())[-200:] or type(error).__name__
            raise DamagedError(f"{self.path}: its strip is damaged ({reason})") from error

    def _bands(self, page: tifffile.TiffPage, rows: int) -> Iterator[NDArray[Any]]:
        if _inflates(page):
            return self._inflated(page, rows)
        if _is_plain_lzw(page):
            options = {"page": self.page, "unlimited": True}
            # a strip that was cut is to libtiff an error, after which it goes on with zeros
            return vips_bands("tiffload", self.path, rows, "error", **options)
        pixels = self._at_once(page)
        return (pixels[y : y + rows] for y in range(0, len(pixels), rows))

    def _inflated(self, page: tifffile.TiffPage, rows: int) -> Iterator[NDArray[Any]]:
        stored = page.dtype.newbyteorder(page.parent.byteorder)
        row = (page.imagewidth, page.samplesperpixel)
        row_bytes = row[0] * row[1] * stored.itemsize
        with open(self.path, "rb") as file:
            file.seek(page.dataoffsets[0])
            source = _Inflater(file, page.databytecounts[0])
            for y in range(0, page.imagelength, rows):
                height = min(rows, page.imagelength - y)
                data = source.read(height * row_bytes)
                if len(data) < height * row_bytes:
                    raise DamagedError(f"{self.path}: its strip is truncated, below row {y}")
                band = np.frombuffer(data, stored).reshape(height, *row)
                band = band.astype(page.dtype.newbyteorder("="), copy=False)
                yield imagecodecs.delta_decode(band, axis=1) if page.predictor == 2 else band
            source.read(1)  # zlib compares its checksum at the end

    def _at_once(self, page: tifffile.TiffPage) -> NDArray[Any]:
        with open(self.path, "rb") as file:
            file.seek(page.dataoffsets[0])
            data = file.read(page.databytecounts[0])
        segment = page.decode(data, 0, **decoder_options(page))[0]
        pixels: NDArray[Any] = segment[0]
        return pixels


class _Inflater:
    """Reads what a part of a file, deflated, inflates to."""

    def __init__(self, file: Any, count: int) -> None:
        self.file, self.left = file, count
        self.stream = zlib.decompressobj()

    def read(self, count: int) -> bytearray:
        """Read so many bytes; fewer only at the end."""
        found = bytearray()
        while len(found) < count:
            data = self.stream.unconsumed_tail
            if not data:
                data = self.file.read(min(_READ_BYTES, self.left))
                self.left -= len(data)
            part = self.stream.decompress(data, count - len(found))
            if not part and not data:
                break
            found += part
        return found
