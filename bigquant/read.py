"""Path or array -> a lazy image: a Dask array (y, x, channel) and what must survive of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from bigquant import tiff_page, tiff_reader
from bigquant.array_windows import NpyWindows, ZarrWindows
from bigquant.bands import is_image_depth
from bigquant.errors import BigquantError, InputError
from bigquant.fingerprint import Fingerprint
from bigquant.source import Source
from bigquant.tiling import plan_rows, plan_tiles

_MAX_WHOLE_BYTES = 2 << 30


class Image(da.Array):  # type: ignore[misc]
    """A Dask array (y, x, channel) of uint8 that knows its source.

    Whatever is computed from it is a plain Dask array: a slice or a rescaled image has not
    the resolution and georeference of its source.

    Attributes
    ----------
    source : Source
        Path, resolution, colour profile, georeference.
    """

    source: Source

    def __reduce__(self) -> tuple[Any, ...]:
        plain = da.Array(self.dask, self.name, self.chunks, meta=self._meta)
        return _with_source, (plain, self.source)


def _with_source(array: da.Array, source: Source) -> Image:
    image = Image(array.dask, array.name, array.chunks, meta=array._meta)
    image.source = source
    return image


def open_image(path: str | os.PathLike[str] | Any, *, channel_axis: int | None = None) -> Image:
    """Open an image of any size; nothing of its pixels is read before it is computed.

    Parameters
    ----------
    path : path, ndarray, dask.array.Array or zarr.Array
        A file: TIFF (tiled, stripped, BigTIFF, any compression), JPEG, PNG, WebP, ``.npy``,
        or the folder of a Zarr array (v2 or v3). Or an array (y, x) or (y, x, channel).
    channel_axis : int, optional
        Which axis holds the channels. Without it the last, or the first where a Zarr
        array's dimension names say so.

    Returns
    -------
    Image, (y, x, channel), uint8
        1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha) channels. Chunks lie on the
        file's own tiles and hold about 64 MiB. It pickles to a few kB.

    Raises
    ------
    InputError
        If there is no such file, or it is not an 8-bit image of these kinds.
    """
    if isinstance(path, Image) and channel_axis is None:
        return path
    if not isinstance(path, str | os.PathLike):
        return _from_array(path, channel_axis, Source())
    if "://" in os.fspath(path):
        raise InputError(f"{path}: URLs are not read yet: copy the file to a disk first")
    name = os.path.abspath(os.fspath(path))
    if not os.path.exists(name):
        raise InputError(f"{path}: no such file: check the path")
    if os.path.isdir(name):
        return _open_zarr(name, channel_axis)
    try:
        with open(name, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    opener = _find_opener(head)
    if opener is None:
        raise InputError(
            f"{path}: not an image that bigquant reads (TIFF, JPEG, PNG, WebP, .npy, Zarr)"
        )
    if channel_axis is not None and opener is not _open_npy:
        raise InputError(f"{path}: knows its own channels: channel_axis is for arrays")
    return opener(name, channel_axis)


def _find_opener(head: bytes) -> Callable[[str, int | None], Image] | None:
    """Choose by the file's first bytes; names lie."""
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return lambda path, _: _open_tiff(path)
    if head[:6] == b"\x93NUMPY":
        return _open_npy
    for plugin, found in (
        (PngImagePlugin.PngImageFile, head[:8] == b"\x89PNG\r\n\x1a\n"),
        (JpegImagePlugin.JpegImageFile, head[:3] == b"\xff\xd8\xff"),
        (WebPImagePlugin.WebPImageFile, head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ):
        if found:
            return lambda path, _, plugin=plugin: _open_whole(path, plugin)  # type: ignore[misc]
    return None


# ---------------------------------------------------------------- TIFF, by windows


def _open_tiff(path: str) -> Image:
    page = tiff_page.describe_page(path)
    facts = page.facts
    windows = tiff_reader.TiffWindows(path, page.index, page.fingerprint, page.shape, page.rule)
    if facts.tiled:
        chunks = plan_tiles(windows.shape, facts.segment)
    else:
        chunks = plan_rows(windows.shape, facts.segment[0])
    source = Source(
        path=path,
        format="BigTIFF" if facts.big else "TIFF",
        resolution=facts.resolution,
        unit=facts.unit,
        icc_profile=facts.icc_profile,
        tags=facts.tags,
        details={
            "compression": facts.compression,
            "photometric": facts.photometric,
            "tiles" if facts.tiled else "strips": f"{facts.segment[1]} x {facts.segment[0]}",
        },
    )
    return _with_source(_lazy(windows, (*chunks, windows.shape[2])), source)


def _lazy(windows: Any, chunks: tuple[int, ...]) -> da.Array:
    return da.from_array(
        windows,
        chunks=chunks,
        lock=False,
        asarray=True,
        fancy=False,
        inline_array=True,
        meta=np.empty((0,) * len(windows.shape), windows.dtype),
    )


# ---------------------------------------------------------------- JPEG, PNG, WebP: as a whole

_DECODED = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB"}


def _pixel_mode(image: pillow.Image) -> str | None:
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    if image.mode in ("1", "L", "RGB") and "transparency" in image.info:
        return _DECODED[image.mode] + "A"
    return _DECODED.get(image.mode)


def _open_whole(path: str, plugin: type[Any]) -> Image:
    """Plan to decode a file at once, in one task.

    Pillow's plugins are called by name: `PIL.Image.open` warns of large images, or refuses
    them, by a limit that is global to the process and not ours to change.
    """
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
    decode = dask.delayed(_decode_whole, pure=True)(path, plugin, mode, shape, fingerprint)
    array = da.from_delayed(decode, shape, np.uint8).rechunk((*plan_rows(shape), shape[2]))
    dpi = info.get("dpi")
    source = Source(
        path=path,
        format=format_,
        resolution=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
        unit="inch" if dpi and min(dpi) > 0 else None,
        icc_profile=info.get("icc_profile"),
        tags=((274, 3, 1, orientation),) if orientation in range(2, 9) else (),
    )
    return _with_source(array, source)


def _decode_whole(
    path: str, plugin: type[Any], mode: str, shape: tuple[int, ...], fingerprint: Fingerprint
) -> NDArray[np.uint8]:
    fingerprint.check(path)
    try:
        with plugin(path) as image:
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except Exception as error:
        raise BigquantError(f"{path}: cannot be decoded ({error})") from error
    return pixels.reshape(shape)


# ---------------------------------------------------------------- .npy, Zarr, arrays


def _open_npy(path: str, channel_axis: int | None) -> Image:
    try:
        fingerprint = Fingerprint.take(path)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises nearly anything
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable .npy file ({reason})") from error
    windows = NpyWindows(path, fingerprint, mapped.shape, mapped.dtype)
    _check_pixels(windows, path)
    depth = int(np.prod(mapped.shape[2:]))
    chunks = (*plan_rows((*mapped.shape[:2], depth)), *mapped.shape[2:])
    return _from_array(_lazy(windows, chunks), channel_axis, Source(path=path, format="npy"))


def _open_zarr(path: str, channel_axis: int | None) -> Image:
    try:
        stored = zarr.open(Path(path), mode="r")  # a str would be parsed as a URL
    except Exception as error:  # zarr has an error for each way to be no array
        raise InputError(f"{path}: a folder without Zarr metadata: name a Zarr array") from error
    if not isinstance(stored, zarr.Array):
        with warnings.catch_warnings():  # of what else lies in the folder
            warnings.simplefilter("ignore")
            names = sorted(name for name, _ in stored.arrays())
        example = f", e.g. {Path(path) / names[0]}" if names else ""
        raise InputError(
            f"{path}: a Zarr group, not an array (arrays in it: {', '.join(names) or 'none'}): "
            f"name an array{example}"
        )
    axes = getattr(stored.metadata, "dimension_names", None) or ()
    if channel_axis is None and "y" in axes and "x" in axes:
        channel_axis = _find_channels(path, axes)
    return _from_array(stored, channel_axis, Source(path=path, format="Zarr"))


def _find_channels(path: str, axes: tuple[str | None, ...]) -> int | None:
    """Find the channel axis by the names of the axes of a Zarr array."""
    others = [i for i, name in enumerate(axes) if name not in ("y", "x")]
    known = all(axes[i] in (None, "c", "channel", "band", "s") for i in others)
    if not known or axes.index("y") > axes.index("x"):
        raise InputError(
            f"{path}: its axes are {axes}; (y, x), (y, x, c) and (c, y, x) are supported: "
            "pick a plane or transpose it first"
        )
    return others[0] if others else None


def _from_array(array: Any, channel_axis: int | None, source: Source) -> Image:
    """Make an image of anything array-like; NumPy and Zarr arrays get blocks of their own."""
    name = source.path or "the array"
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    _check_pixels(array, name)
    axis = (-1 if channel_axis is None else channel_axis) if array.ndim == 3 else 0
    if not -array.ndim <= axis < array.ndim:
        raise InputError(f"channel_axis={channel_axis}: {name} has {array.ndim} axes")
    if isinstance(array, zarr.Array):
        array = _lazy_zarr(array, axis, name)
    elif not isinstance(array, da.Array):
        depth = array.shape[axis] if array.ndim == 3 else 1
        plane = (*_plane(array.shape, axis), depth)
        channels_last = array.ndim == 2 or axis % 3 == 2
        in_rows = isinstance(array, np.ndarray) and array.flags.c_contiguous and channels_last
        # bands of rows can be counted where they lie, without a copy
        chunks = list(plan_rows(plane) if in_rows else plan_tiles(plane, (512, 512)))
        if array.ndim == 3:
            chunks.insert(axis % 3, depth)
        array = da.from_array(array, chunks=tuple(chunks), name=False, asarray=True)
    array = array[:, :, None] if array.ndim == 2 else da.moveaxis(array, axis, 2)
    if not is_image_depth(array.shape[2]):
        raise InputError(
            f"{name}: has {array.shape[2]} channels along axis {axis} (shape {array.shape}); "
            "1 (gray), 2, 3 (RGB) or 4 (with alpha) are supported: choose three, or give "
            "channel_axis"
        )
    return _with_source(array.rechunk({2: -1}), source)


def _plane(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    height, width = [n for i, n in enumerate(shape) if len(shape) == 2 or i != axis % 3]
    return height, width


def _lazy_zarr(array: zarr.Array[Any], axis: int, name: str) -> da.Array:
    """Read whole shards, several at a time where they are small."""
    stored = array.shards or array.chunks
    depth = array.shape[axis] if array.ndim == 3 else 1
    blocks = list(plan_tiles((*_plane(array.shape, axis), depth), _plane(stored, axis)))
    if array.ndim == 3:
        blocks.insert(axis % 3, stored[axis])
    return _lazy(ZarrWindows(name, array, array.shape, array.dtype), tuple(blocks))


def _check_pixels(array: Any, name: str) -> None:
    if array.ndim not in (2, 3) or 0 in array.shape or any(np.isnan(n) for n in array.shape):
        raise InputError(
            f"{name}: shape {tuple(array.shape)} is no image: (y, x) or (y, x, channel) is, "
            "with every length known and above 0"
        )
    if isinstance(getattr(array, "_meta", array), np.ma.MaskedArray):
        raise InputError(f"{name}: masked arrays are not supported yet: give an alpha channel")
    if array.dtype != np.uint8:
        remedy = "(image * 255).astype('uint8') if its values are 0 to 1"
        if array.dtype.kind in "iu":
            remedy = "image.astype('uint8') if its values are 0 to 255"
        raise InputError(
            f"{name}: {array.dtype} pixels are not supported yet, only uint8: "
            f"convert them, e.g. {remedy}"
        )
