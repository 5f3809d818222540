"""Decoders of files that are read from their beginning: whole, or in bands of rows.

libvips streams JPEG and PNG; Pillow decodes BMP and GIF, imagecodecs WebP, JPEG 2000 and
lossless JPEG. The codec that imagecodecs has for the rest of lossless JPEG
(``ljpeg_decode``) crashes the process on damaged files; its PNG decoder writes to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Jpeg2KImagePlugin, JpegImagePlugin

from bigquant import cmyk
from bigquant.errors import BigquantError, DamagedError
from bigquant.quiet import quiet
from bigquant.vips_bands import vips_bands

_LOADERS = {"PNG": "pngload", "JPEG": "jpegload"}
_PLUGINS = {"BMP": BmpImagePlugin.BmpImageFile, "GIF": GifImagePlugin.GifImageFile}
_END_OF_JPEG, _SCAN_OF_JPEG = b"\xff\xd9", b"\xff\xda"


@dataclass(frozen=True)
class FlatPixels:
    """The pixels of a file, that are decoded from its beginning.

    Parameters
    ----------
    path : str
    format : str
        "PNG", "JPEG", "lossless JPEG", "WebP", "JPEG 2000", "BMP", "GIF".
    mode : str
        What the samples are, in Pillow's words: "L", "LA", "RGB", "RGBA", or "CMYK", which
        is converted to RGB.
    shape : (int, int, int)
        Height, width, samples of a pixel.
    dtype : numpy.dtype
    bits : int
        Of a sample; below 8, samples are scaled to 0..255.
    subsampled : bool
        Whether the samples of JPEG 2000 are of different resolution.
    """

    path: str
    format: str
    mode: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    bits: int = 8
    subsampled: bool = False

    def __call__(self, rows: int) -> Iterator[NDArray[Any]]:
        """Decode in bands of so many rows, the last perhaps lower, each (y, x, sample)."""
        try:
            convert = self._to_rgb() if self.mode == "CMYK" else self._to_depth
            for band in self._stored(rows):
                yield convert(band if band.ndim == 3 else band[..., None])
        except (BigquantError, GeneratorExit):
            raise
        except Exception as error:  # decoders raise nearly anything
            reason = " ".join(str(error).split())[-200:] or type(error).__name__
            raise DamagedError(f"{self.path}: cannot be decoded ({reason})") from error

    def whole(self) -> NDArray[Any]:
        """Decode all of it."""
        (pixels,) = self(self.shape[0])
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise DamagedError(
                f"{self.path}: decodes to {pixels.shape} {pixels.dtype}, its header says "
                f"{self.shape} {self.dtype}: it is damaged"
            )
        return pixels

    def _stored(self, rows: int) -> Iterator[NDArray[Any]]:
        if self.format in _LOADERS:
            return vips_bands(_LOADERS[self.format], self.path, rows, "truncated")
        if self.format in _PLUGINS:
            return _pillow_bands(_PLUGINS[self.format], self.path, self.mode, rows)
        if self.subsampled:
            return _pillow_bands(Jpeg2KImagePlugin.Jpeg2KImageFile, self.path, self.mode, rows)
        pixels = self._from_codec()
        return (pixels[y : y + rows] for y in range(0, len(pixels), rows))

    def _from_codec(self) -> NDArray[Any]:
        with open(self.path, "rb") as file:
            data = file.read()  # a map of a file that shrinks would crash the process
        pixels: NDArray[Any]
        if self.format == "JPEG 2000":
            pixels = imagecodecs.jpeg2k_decode(data)
        elif self.format == "WebP":
            pixels = imagecodecs.webp_decode(data, 0, hasalpha=self.mode == "RGBA")
        elif data.rfind(_END_OF_JPEG) < data.rfind(_SCAN_OF_JPEG):  # the codec fills with gray
            raise DamagedError(f"{self.path}: cannot be decoded (image file is truncated)")
        else:
            try:
                pixels = imagecodecs.jpeg8_decode(data)
            except imagecodecs.Jpeg8Error:  # lossless RGB is taken for YCbCr, and not converted
                pixels = imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")
        if pixels.dtype.kind == "i":  # as Pillow shows signed samples
            pixels = pixels.view(self.dtype) + self.dtype.type(1 << (self.bits - 1))
        if self.bits < 8:
            pixels = (pixels.astype(np.uint16) * 255 // (2**self.bits - 1)).astype(np.uint8)
        return pixels

    def _to_depth(self, band: NDArray[Any]) -> NDArray[Any]:
        """Add the opaque alpha that a header announces and the decoder leaves out."""
        if self.mode[-1] != "A" or band.shape[2] != self.shape[2] - 1:
            return band
        full = 2**self.bits - 1 if self.bits > 8 else 255
        return np.concatenate([band, np.full_like(band[..., :1], full)], axis=2)

    def _to_rgb(self) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
        """Make a function that turns a band of CMYK into RGB, by its profile if it has one."""
        profile = None
        if self.format == "JPEG":
            with quiet(), JpegImagePlugin.JpegImageFile(self.path) as image:
                profile = image.info.get("icc_profile")
        transform = cmyk.make_transform(profile)
        return lambda band: cmyk.to_rgb(band, transform)


def _pillow_bands(plugin: type[Any], path: str, mode: str, rows: int) -> Iterator[NDArray[Any]]:
    with plugin(path) as image:
        width, height = image.size
        for y in range(0, height, rows):
            part = image if rows >= height else image.crop((0, y, width, min(y + rows, height)))
            yield np.asarray(part if part.mode == mode else part.convert(mode))
