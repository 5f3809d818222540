"""JPEG, PNG, WebP: files that are decoded from their beginning. Knows nothing of Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from bigquant.errors import BigquantError, InputError
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Raster
from bigquant.source import Source

_MAX_WHOLE_BYTES = 2 << 30
_DECODED = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB"}


@dataclass(frozen=True)
class FlatWindows:
    """A file that is decoded at once whenever a window of it is read."""

    path: str
    plugin: type[Any]
    mode: str
    shape: tuple[int, int, int]
    fingerprint: Fingerprint

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.uint8]:
        self.fingerprint.check(self.path)
        try:
            with self.plugin(self.path) as image:
                pixels = np.asarray(image if image.mode == self.mode else image.convert(self.mode))
        except Exception as error:
            raise BigquantError(f"{self.path}: cannot be decoded ({error})") from error
        return pixels.reshape(self.shape)[key]


def is_flat(head: bytes) -> bool:
    """Tell by its first bytes whether a file is of these formats."""
    return _find_plugin(head) is not None


def _find_plugin(head: bytes) -> type[Any] | None:
    for plugin, found in (
        (PngImagePlugin.PngImageFile, head[:8] == b"\x89PNG\r\n\x1a\n"),
        (JpegImagePlugin.JpegImageFile, head[:3] == b"\xff\xd8\xff"),
        (WebPImagePlugin.WebPImageFile, head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ):
        if found:
            return plugin
    return None


def _pixel_mode(image: pillow.Image) -> str | None:
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    if image.mode in ("1", "L", "RGB") and "transparency" in image.info:
        return _DECODED[image.mode] + "A"
    return _DECODED.get(image.mode)


def open_flat(path: str, head: bytes) -> Raster:
    """Plan to decode a file at once.

    Pillow's plugins are called by name: `PIL.Image.open` warns of large images, or refuses
    them, by a limit that is global to the process and not ours to change.
    """
    plugin = _find_plugin(head)
    assert plugin is not None
    try:
        fingerprint = Fingerprint.take(path)
        with plugin(path) as image:
            mode, (width, height), info = _pixel_mode(image), image.size, image.info
            format_, stored_mode = image.format, image.mode
            exif = pillow.Exif()  # image.getexif() would decode a PNG to its end
            exif.load(info.get("exif", b""))
            orientation = exif.get(274, 1)
    except Exception as error:  # damaged headers raise nearly anything
        raise InputError(f"{path}: not a readable image ({error})") from error
    if mode is None:
        raise InputError(
            f"{path}: {stored_mode} pixels are not supported yet: convert it to 8-bit RGB first"
        )
    shape = (height, width, len(mode))
    if np.prod(shape, dtype=np.int64) > _MAX_WHOLE_BYTES:
        raise InputError(
            f"{path}: {width} x {height} pixels decode to {np.prod(shape) >> 20} MiB at once "
            f"(limit {_MAX_WHOLE_BYTES >> 20}): convert it to a tiled TIFF first, e.g. with "
            "vips tiffsave --tile"
        )
    dpi = info.get("dpi")
    source = Source(
        path=path,
        format=format_,
        resolution=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
        unit="inch" if dpi and min(dpi) > 0 else None,
        icc_profile=info.get("icc_profile"),
        valid_range=(0, 255),
    )
    has_alpha = mode[-1] == "A"
    return Raster(
        windows=FlatWindows(path, plugin, mode, shape, fingerprint),
        block=shape[:2],
        source=source,
        colors=tuple(range(len(mode) - has_alpha)),
        alpha=len(mode) - 1 if has_alpha else None,
        orientation=orientation if orientation in range(1, 9) else 1,
    )
