"""Tiles and strips of a TIFF decoded, and to no more than they can be.

A codec of pictures takes their size from the data's own header, which may say anything, and
allocates by it. It is handed the array to fill instead, and refuses another size at once.
Where that cannot be, the header is held against the tile before. Codecs of bytes are told by
tifffile what they may make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile.tifffile import jpeg_decode_colorspace, jpeg_shape

from bigquant.errors import DamagedError
from bigquant.jpeg2000 import read_siz
from bigquant.tiff_subsampled import Decoder, decoder_of_units
from bigquant.tiff_tags import JPEG, segment_shape

#: The numbers of the codecs in the tag Compression.
JPEG_2000 = {33003, 33004, 33005, 34712}
_LERC, _PNG = 34887, 34933
_WEBP, _JPEG_XL, _JPEG_XR = {50001, 34927}, {50002, 52546}, {22610, 34934}
_FILLED = JPEG | _WEBP | _JPEG_XL | _JPEG_XR | {_LERC, _PNG}
_ZSTD = b"\x28\xb5\x2f\xfd"
#: Pixels more than a tile or strip has that its data may claim.
_SLACK = 1 << 16

Fill = Callable[..., Any]


def decoder_of(page: tifffile.TiffPage) -> Decoder:
    """Give the decoder of a page's tiles or strips, called as `TiffPage.decode` is."""
    if page.compression in JPEG_2000:
        return _checked(page)
    if page.compression in _FILLED and page.dtype is not None:
        return _filled(page, _codec_of(page))
    return decoder_of_units(page)


def _filled(page: tifffile.TiffPage, fill: Fill) -> Decoder:
    decode, dtype = page.decode, page.dtype.newbyteorder("=")

    def decode_in_place(
        data: bytes | None, index: int, **options: Any
    ) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        nothing, place, shape = decode(None, index, **options)
        if data is None:
            return nothing, place, shape
        failures = []
        for size in _sizes(page, place, shape):
            whole = shape[0], *size, shape[3]
            kept = [n for i, n in enumerate(whole) if n > 1 or i in (1, 2)]  # codecs add no axes
            pixels: NDArray[Any] = np.empty(kept, dtype)
            try:
                fill(data, pixels, **options)
            except Exception as error:  # noqa: BLE001 - codecs raise what they like
                failures.append(error.with_traceback(None))
            else:
                return pixels.reshape(whole), place, shape
        if page.compression in JPEG:
            _refuse_other_size(page, _size_of_jpeg(data, **options))
            return decode(data, index, **options)  # type: ignore[no-any-return]
        if isinstance(failures[0], ValueError):  # of the array that was to be filled
            raise DamagedError(
                f"its data are of another size or type than {shape[2]} x {shape[1]} {dtype}"
            ) from failures[0]
        raise failures[0]

    return decode_in_place


def _sizes(
    page: tifffile.TiffPage, place: tuple[int, ...], shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """List the heights and widths that a segment's data can have, the usual one first."""
    height, width = segment_shape(page)
    below, beside = page.imagelength - place[2], page.imagewidth - place[3]
    usual, cut = (shape[1], shape[2]), (min(height, below), min(width, beside))
    return list(dict.fromkeys([usual, (height, width), cut, (cut[0], width)]))


def _checked(page: tifffile.TiffPage) -> Decoder:
    """Look at the header of JPEG 2000 first: its codec compares the sizes when all is decoded."""
    decode, depth = page.decode, 1 if page.planarconfig == 2 else page.samplesperpixel

    def decode_if_sane(
        data: bytes | None, index: int, **options: Any
    ) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        if data is not None:
            (width, height), parts = read_siz(data)
            _refuse_other_size(page, (-(-width * len(parts) // depth), height))
        return decode(data, index, **options)  # type: ignore[no-any-return]

    return decode_if_sane


def _codec_of(page: tifffile.TiffPage) -> Fill:
    """Choose the codec that fills an array."""
    if page.compression in JPEG:
        colorspace, outcolorspace = jpeg_decode_colorspace(
            page.photometric, page.planarconfig, page.extrasamples, page.is_jfif
        )
        if page.planarconfig == 2:  # each plane is gray, whatever they are together
            colorspace = None

        def fill_jpeg(
            data: bytes,
            out: NDArray[Any],
            jpegtables: bytes | None = None,
            jpegheader: bytes | None = None,
        ) -> Any:
            return imagecodecs.jpeg_decode(
                data,
                tables=jpegtables,
                header=jpegheader,
                colorspace=colorspace,
                outcolorspace=outcolorspace,
                shape=out.shape[:2],
                out=out,
            )

        return fill_jpeg
    if page.compression == _LERC:
        return _fill_lerc
    if page.compression == _PNG:
        return _fill_png
    if page.compression in _WEBP:  # an alpha that is opaque may be missing
        alpha = page.samplesperpixel == 4
        return lambda data, out: imagecodecs.webp_decode(data, hasalpha=alpha, out=out)
    codec = tifffile.TIFF.DECOMPRESSORS[page.compression]
    return lambda data, out: codec(data, out=out)


def _fill_png(data: bytes, out: NDArray[Any]) -> None:
    """Decode PNG by libvips: imagecodecs lets libpng write to stderr."""
    import pyvips  # noqa: PLC0415 - loads 40 MB of libraries

    image = pyvips.Image.pngload_buffer(data, fail_on="truncated")
    if (image.height, image.width, image.bands) != (*out.shape, 1)[:3]:
        raise ValueError("of another size")
    out[...] = image.numpy()


def _fill_lerc(data: bytes | bytearray, out: NDArray[Any]) -> Any:
    """Decode LERC, also what was deflated or compressed by Zstandard, which makes it smaller."""
    if not data.startswith((b"Lerc2 ", b"CntZImage ")):
        codec = imagecodecs.zstd_decode if data.startswith(_ZSTD) else imagecodecs.zlib_decode
        data = codec(data, out=2 * out.nbytes + _SLACK)
    if not data.startswith((b"Lerc2 ", b"CntZImage ")):
        raise DamagedError("is no LERC")
    return imagecodecs.lerc_decode(data, out=out)


def _size_of_jpeg(data: bytes, jpegheader: bytes | None = None, **_: Any) -> tuple[int, int]:
    _, height, width, _ = jpeg_shape((jpegheader or b"") + data)
    return width, height


def _refuse_other_size(page: tifffile.TiffPage, claim: tuple[int, int]) -> None:
    """Raise a `DamagedError` if a size is out of all proportion to that of a tile or strip."""
    height, width = segment_shape(page)
    if claim[0] * claim[1] > 2 * height * width + _SLACK:
        raise DamagedError(
            f"its data say {claim[0]} x {claim[1]} pixels, where {width} x {height} belong"
        )
