"""What the headers of flat files say. None of it is believed before it is checked."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import BmpImagePlugin, GifImagePlugin, Jpeg2KImagePlugin, JpegImagePlugin, PngImagePlugin
from PIL import Image as pillow
from tifffile.tifffile import jpeg_shape

from bigquant.jpeg2000 import is_codestream, read_siz
from bigquant.quiet import quiet

_ORIENTATION = 274
#: More pixels than this no byte of a file can stand for: deflate's bound for pixels of one bit,
#: runs of RLE, the longest string of LZW. A flat picture in WebP or JPEG 2000 needs no bits.
_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "BMP": 128, "GIF": 4096}
#: A block of 64 pixels is two codes of a bit or more; in the first scan of a progressive JPEG it
#: is one. Lossless JPEG has a code for each pixel.
_PIXELS_PER_BYTE_OF_JPEG = {"sequential": 256, "progressive": 512, "lossless": 8}
_HEAD_BYTES = 16 << 20
#: Pillow's mode -> the mode that is read.
_MODES = {"1": "L", "I": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}
_PHOTOMETRICS = {"1": "gray", "L": "gray", "LA": "gray", "I": "gray", "P": "palette"}
_PHOTOMETRICS |= {"PA": "palette", "CMYK": "cmyk"}


@dataclass(frozen=True)
class FlatHeader:
    """What a file says of its picture.

    Parameters
    ----------
    format : str
    mode : str
        Of the samples to read: "L", "LA", "RGB", "RGBA", or "CMYK", which becomes RGB.
    size : (int, int)
        Width and height.
    info : Mapping
        As in Pillow: "dpi", "icc_profile", "exif", "xmp".
    bits : int
        Of a sample.
    photometric : str
        How the colours are stored: "gray", "rgb", "palette", "cmyk".
    at_once : bool
        Whether no decoder streams it: it needs memory for the whole picture.
    subsampled : bool
        Whether the samples of JPEG 2000 are of different resolution.
    pixels_per_byte : int, optional
        That a byte of the file can stand for; None where there is no limit.
    """

    format: str
    mode: str
    size: tuple[int, int]
    info: Mapping[Any, Any]
    bits: int = 8
    photometric: str = "rgb"
    at_once: bool = True
    subsampled: bool = False
    pixels_per_byte: int | None = None

    @property
    def orientation(self) -> int:
        """How to turn the picture to see it upright, by EXIF or else XMP."""
        picture = pillow.Image()
        picture.info = {k: v for k, v in self.info.items() if v and k in ("exif", "xmp")}
        with quiet():
            try:
                found: Any = picture.getexif().get(_ORIENTATION)
            except Exception:  # noqa: BLE001 - damaged EXIF raises nearly anything
                return 1
        return int(found) if found in range(1, 9) else 1

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch along x and y."""
        try:
            x, y = (float(value) for value in self.info["dpi"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None
        return (x, y) if min(x, y) > 0 and math.isfinite(x + y) else None


def find_format(head: bytes) -> str | None:
    """Tell a file's format by its first 16 bytes; None if it is none of these."""
    marks = {
        "PNG": head[:8] == b"\x89PNG\r\n\x1a\n",
        "JPEG": head[:3] == b"\xff\xd8\xff",
        "WebP": head[:4] == b"RIFF" and head[8:12] == b"WEBP",
        "JPEG 2000": is_codestream(head) or head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n",
        "BMP": head[:2] == b"BM",
        "GIF": head[:6] in (b"GIF87a", b"GIF89a"),
    }
    return next((name for name, found in marks.items() if found), None)


def read_header(path: str, format_: str) -> FlatHeader:
    """Parse the header of a file; whatever is wrong with it raises nearly anything.

    Pillow's plugins are called by name: `PIL.Image.open` warns of large images, or refuses
    them, by a limit that is global to the process and not ours to change.
    """
    with quiet():
        return _READERS[format_](path)


def _read_png(path: str) -> FlatHeader:
    with PngImagePlugin.PngImageFile(path) as image:
        stored = str(image.tile[0].args)
        name, _, bits = stored.partition(";")
        mode = _MODES.get(name, name)
        if mode in ("L", "RGB") and "transparency" in image.info:
            mode += "A"
        info = dict(image.info)
        if "exif" not in info:
            info["exif"] = _late_exif(path, image.tile[0].offset)
        return FlatHeader(
            "PNG",
            mode,
            image.size,
            info,
            bits=16 if bits == "16B" else 8,
            photometric=_PHOTOMETRICS.get(name, "rgb"),
            at_once="interlace" in image.info,
            pixels_per_byte=_PIXELS_PER_BYTE["PNG"],
        )


def _late_exif(path: str, data: int) -> bytes | None:
    """Find the EXIF of a PNG behind its pixels, where ImageMagick writes it."""
    with open(path, "rb") as file:
        file.seek(data - 8)
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"eXIf":
                return file.read(length)
            file.seek(length + 4, 1)
    return None


def _read_jpeg(path: str) -> FlatHeader:
    try:
        with JpegImagePlugin.JpegImageFile(path) as image:
            kind = "progressive" if "progressive" in image.info else "sequential"
            if not image.quantization:  # which no other JPEG can do without
                kind = "lossless"
            return FlatHeader(
                "lossless JPEG" if kind == "lossless" else "JPEG",
                image.mode,
                image.size,
                image.info,
                photometric=_PHOTOMETRICS.get(image.mode, "rgb"),
                at_once=kind != "sequential",
                pixels_per_byte=_PIXELS_PER_BYTE_OF_JPEG[kind] if _has_codes(path) else None,
            )
    except SyntaxError:
        return _read_deep_jpeg(path)


def _has_codes(path: str) -> bool:
    """Tell if a JPEG is coded after Huffman: arithmetic coding needs no bits for what is flat."""
    with open(path, "rb") as file:
        try:
            return bool(jpeg_shape(file.read(_HEAD_BYTES)))
        except (ValueError, struct.error):
            return False


def _read_deep_jpeg(path: str) -> FlatHeader:
    """Read what Pillow does not: JPEG of more than 8 bits."""
    with open(path, "rb") as file:
        bits, height, width, depth = jpeg_shape(file.read(_HEAD_BYTES))
    if bits not in range(9, 17) or depth not in (1, 3):
        raise ValueError(f"{depth} samples of {bits} bits")
    mode = "L" if depth == 1 else "RGB"
    photometric = "gray" if depth == 1 else "rgb"
    return FlatHeader(
        "lossless JPEG",
        mode,
        (width, height),
        {},
        bits,
        photometric=photometric,
        pixels_per_byte=_PIXELS_PER_BYTE_OF_JPEG["sequential"],  # some are not lossless
    )


def _read_webp(path: str) -> FlatHeader:
    import pyvips  # noqa: PLC0415 - loads 40 MB of libraries

    image = pyvips.Image.webpload(path, revalidate=True)  # Pillow would read all of the file
    names = {"icc_profile": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}
    fields = image.get_fields()
    info = {name: image.get(key) for name, key in names.items() if key in fields}
    mode = "RGBA" if image.hasalpha() else "RGB"
    return FlatHeader("WebP", mode, (image.width, image.height), info)


def _read_jpeg2000(path: str) -> FlatHeader:
    with Jpeg2KImagePlugin.Jpeg2KImageFile(path) as image:
        mode, size, info = image.mode, image.size, image.info
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    stored, parts = read_siz(head)  # Pillow does not tell the bits of RGB
    if stored != size or not parts:
        raise ValueError("its boxes do not agree with its codestream")
    if len({(precision) for precision, _, _ in parts}) > 1:
        raise ValueError("its channels are of different types")
    bits = (parts[0][0] & 0x7F) + 1
    name = mode.partition(";")[0]
    return FlatHeader(
        "JPEG 2000",
        _MODES.get(name, name),
        size,
        info,
        bits=8 if name in ("P", "PA") else bits,
        photometric=_PHOTOMETRICS.get(name, "rgb"),
        subsampled=any((x, y) != (1, 1) for _, x, y in parts),
    )


def _read_by_pillow(plugin: type[Any], format_: str, path: str) -> FlatHeader:
    with plugin(path) as image:
        mode = _MODES.get(image.mode, image.mode)
        if mode in ("L", "RGB") and "transparency" in image.info:
            mode += "A"
        photometric = _PHOTOMETRICS.get(image.mode, "rgb")
        return FlatHeader(
            format_,
            mode,
            image.size,
            image.info,
            photometric=photometric,
            pixels_per_byte=_PIXELS_PER_BYTE[format_],
        )


_READERS: dict[str, Callable[[str], FlatHeader]] = {
    "PNG": _read_png,
    "JPEG": _read_jpeg,
    "WebP": _read_webp,
    "JPEG 2000": _read_jpeg2000,
    "BMP": lambda path: _read_by_pillow(BmpImagePlugin.BmpImageFile, "BMP", path),
    "GIF": lambda path: _read_by_pillow(GifImagePlugin.GifImageFile, "GIF", path),
}
