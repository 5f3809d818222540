"""Path or array -> a lazy image: a Dask array (y, x, channel) and what must survive of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import zarr

from bigquant.array_reader import check_axes, open_npy, open_zarr, open_zarr_array
from bigquant.bands import default_colors
from bigquant.channels import ChannelRule, choose_channels, compose, stored_windows
from bigquant.errors import InputError
from bigquant.flat_reader import is_flat, open_flat
from bigquant.raster import Raster, Selection, Windows
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiff_reader import open_tiff
from bigquant.tiling import BLOCK_BYTES, plan_rows, plan_tiles

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Image(da.Array):  # type: ignore[misc]
    """A Dask array (y, x, channel) that knows its source.

    Whatever is computed from it is a plain Dask array: a slice or a rescaled image has not
    the resolution and georeference of its source.

    Attributes
    ----------
    source : Source
        Path, resolution, colour profile, georeference, valid range.
    staged : tuple of StagedWindows
        Files that are unpacked to a temporary folder before they are read; each machine
        does so for itself when it first reads, or when told to: ``stage()``.
    """

    source: Source
    staged: tuple[StagedWindows, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        plain = da.Array(self.dask, self.name, self.chunks, meta=self._meta)
        return _with_source, (plain, self.source, self.staged)


def _with_source(array: da.Array, source: Source, staged: tuple[StagedWindows, ...] = ()) -> Image:
    image = Image(array.dask, array.name, array.chunks, meta=array._meta)
    image.source = source
    image.staged = staged
    return image


def open_image(
    path: str | os.PathLike[str] | Any,
    *,
    channel_axis: int | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    mask: Any = None,
    series: int | None = None,
    page: int | None = None,
    level: int = 0,
    select: Mapping[str, int] | None = None,
) -> Image:
    """Open an image of any size; nothing of its pixels is read before it is computed.

    Parameters
    ----------
    path : path, ndarray, dask.array.Array or zarr.Array
        A file: TIFF (tiled, stripped, BigTIFF, any compression), JPEG, PNG, WebP,
        JPEG 2000, BMP, GIF, ``.npy``, or the folder of a Zarr array (v2 or v3). Or an array
        (y, x) or (y, x, channel).
    channel_axis : int, optional
        Which axis holds the channels. Without it the last, or the first where a Zarr
        array's dimension names say so.
    bands : sequence of int, optional
        One band, or three that are red, green and blue, counted from 1: for images that do
        not say which of their bands these are, or say it wrongly.
    nodata : float, optional
        Pixels all of whose bands have this value are no part of the image; instead of the
        value that the file gives.
    mask : path, array or False, optional
        An image of the same size, 0 where a pixel is no part of the image. With False
        neither alpha nor nodata nor a mask in the file marks any.
    series, page : int, optional
        Which image of a file that holds several.
    level : int
        Of a pyramid; 0 is full resolution.
    select : Mapping, optional
        Index for each axis that is neither y, x nor channel, e.g. ``{"T": 0, "Z": 3}``.

    Returns
    -------
    Image, (y, x, channel)
        1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha) channels of the file's own type.
        Alpha is 0 where a pixel is no part of the image, for whichever reason. Chunks lie on
        the file's own tiles and hold about 64 MiB. It pickles to a few kB.

    Raises
    ------
    InputError
        If there is no such file, or it is not an image of these kinds.
    """
    choices = (channel_axis, bands, nodata, mask, series, page, level or None, select)
    if isinstance(path, Image) and all(choice is None for choice in choices):
        return path
    chosen = tuple(bands) if bands is not None else None
    if not isinstance(path, str | os.PathLike | zarr.Array):
        return _from_array(path, channel_axis, chosen, nodata, mask)
    if isinstance(path, zarr.Array):
        raster = open_zarr_array(path, channel_axis, Source())
    else:
        selection = Selection(series, page, level, dict(select or {}))
        raster = _open_path(os.fspath(path), channel_axis, selection)
    if nodata is not None:
        raster = replace(raster, nodata=nodata)
    rule = choose_channels(
        raster.source.path or "the array",
        raster.windows.shape[2],
        raster.windows.dtype,
        colors=raster.colors,
        alpha=raster.alpha,
        premultiplied=raster.premultiplied,
        nodata=raster.nodata,
        bands=chosen,
        masked=mask is not False,
    )
    own = raster.mask if mask is not False else None
    image = compose(raster, rule, own)
    if mask is not None and mask is not False:
        assert image.colors
        seen = ChannelRule(image.colors, image.alpha)
        image = compose(image, seen, _open_mask(image, mask))
    return _from_raster(image)


def _open_path(path: str, channel_axis: int | None, selection: Selection) -> Raster:
    """Choose a reader by the file's first bytes; names lie."""
    if "://" in path:
        raise InputError(f"{path}: URLs are not read yet: copy the file to a disk first")
    name = os.path.abspath(path)
    if not os.path.exists(name):
        raise InputError(f"{path}: no such file: check the path")
    if os.path.isdir(name):
        return open_zarr(name, channel_axis)
    try:
        with open(name, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if head[:6] == b"\x93NUMPY":
        return open_npy(name, channel_axis)
    if channel_axis is not None:
        raise InputError(f"{path}: knows its own channels: channel_axis is for arrays")
    if head[:4] in _TIFF:
        return open_tiff(name, selection)
    if is_flat(head):
        return open_flat(name, head)
    raise InputError(
        f"{path}: not an image that bigquant reads "
        "(TIFF, JPEG, PNG, WebP, JPEG 2000, BMP, GIF, .npy, Zarr)"
    )


def _open_mask(image: Raster, mask: Any) -> Windows:
    """Open a file as the mask of another; both are held against each other upright."""
    name = image.source.path or "the array"
    if not isinstance(mask, str | os.PathLike):
        raise InputError(f"{name}: the mask of a file is a file: give its path")
    found = _open_path(os.fspath(mask), None, Selection())
    windows, size = compose(found, ChannelRule((0,))).windows, image.windows.shape[:2]
    if windows.shape[:2] != size:
        raise InputError(
            f"{mask}: is {windows.shape[1]} x {windows.shape[0]} pixels, the image "
            f"{size[1]} x {size[0]}: give a mask of the same size"
        )
    return windows


def _from_raster(raster: Raster) -> Image:
    windows = raster.windows
    array = da.from_array(
        windows,
        chunks=(*raster.block, windows.shape[2]),
        lock=False,
        asarray=True,
        fancy=False,
        inline_array=True,
        meta=np.empty((0, 0, 0), windows.dtype),
    )
    if raster.block == windows.shape[:2] and array.nbytes > BLOCK_BYTES:  # decoded as a whole
        array = array.rechunk((*plan_rows(_plane_bytes(array)), windows.shape[2]))
    stored = stored_windows(windows)
    staged = tuple(part for part in stored if isinstance(part, StagedWindows))
    return _with_source(array, raster.source, staged)


def _plane_bytes(array: Any) -> tuple[int, int, int]:
    height, width, depth = array.shape
    return height, width, depth * array.dtype.itemsize


def _from_array(
    array: Any,
    channel_axis: int | None,
    bands: tuple[int, ...] | None,
    nodata: float | None,
    mask: Any,
) -> Image:
    """Make an image of anything array-like; NumPy arrays get blocks of their own."""
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if isinstance(getattr(array, "_meta", array), np.ma.MaskedArray):
        raise InputError("the array: is masked: give its data, and its mask as mask=")
    axis = check_axes("the array", array.shape, array.dtype, channel_axis)
    pixels = _in_blocks(array, axis)
    colors, alpha = default_colors(pixels.shape[2])
    rule = choose_channels(
        "the array",
        pixels.shape[2],
        pixels.dtype,
        colors=colors,
        alpha=alpha,
        nodata=nodata,
        bands=bands,
        masked=mask is not False,
    )
    marks = None if mask is None or mask is False else _mask_blocks(mask, pixels)
    return _with_source(_apply(rule, pixels, marks), Source())


def _mask_blocks(mask: Any, pixels: da.Array) -> da.Array:
    """Bring a mask (y, x), a file or an array, to the blocks of an image."""
    if isinstance(mask, str | os.PathLike):
        mask = open_image(mask, mask=False)[..., 0]
    mask = da.asarray(mask)
    if mask.shape != pixels.shape[:2]:
        raise InputError(f"mask of shape {mask.shape}: the image has {pixels.shape[:2]} pixels")
    return mask.rechunk(pixels.chunks[:2])[..., None]


def _in_blocks(array: Any, axis: int | None) -> da.Array:
    """Bring an array to (y, x, sample), a block's samples in one chunk."""
    if not isinstance(array, da.Array):
        lengths = list(array.shape)
        depth = 1 if axis is None else lengths.pop(axis)
        plane = (lengths[0], lengths[1], depth * array.dtype.itemsize)
        in_rows = isinstance(array, np.ndarray) and array.flags.c_contiguous and axis in (None, 2)
        # bands of rows can be counted where they lie, without a copy
        chunks = list(plan_rows(plane) if in_rows else plan_tiles(plane, (512, 512)))
        if axis is not None:
            chunks.insert(axis, depth)
        array = da.from_array(array, chunks=tuple(chunks), name=False, asarray=True)
    array = array[:, :, None] if axis is None else da.moveaxis(array, axis, 2)
    return array.rechunk({2: -1})


def _apply(rule: ChannelRule, pixels: da.Array, mask: da.Array | None) -> da.Array:
    rule = replace(rule, has_mask=mask is not None)
    if rule.keeps(pixels.shape[2]):
        return pixels
    return da.map_blocks(
        rule.apply,
        pixels,
        *([] if mask is None else [mask]),
        dtype=pixels.dtype,
        chunks=(*pixels.chunks[:2], (rule.depth,)),
        meta=np.empty((0, 0, 0), pixels.dtype),
    )
