"""Path or array -> a lazy image: a Dask array (y, x, channel) and what must survive of it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import zarr

from bigquant import remote
from bigquant.array_reader import open_npy
from bigquant.bytesource import ByteSource
from bigquant.channels import ChannelRule, choose_channels, compose
from bigquant.errors import InputError
from bigquant.flat_reader import is_flat, open_flat
from bigquant.image import Image, from_arrays, from_raster
from bigquant.raster import Raster, Selection, Windows
from bigquant.tiff_reader import open_tiff
from bigquant.zarr_array import open_zarr_array
from bigquant.zarr_reader import find_document, open_zarr

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


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
    storage_options: Mapping[str, Any] | None = None,
) -> Image:
    """Open an image of any size; nothing of its pixels is read before it is computed.

    Parameters
    ----------
    path : path, URL, ndarray, dask.array.Array, zarr.Array, DataArray or Dataset
        A file: TIFF (tiled, stripped, BigTIFF, any compression), JPEG, PNG, WebP,
        JPEG 2000, BMP, GIF, ``.npy``, or the folder of a Zarr array or OME-Zarr group (v2 or
        v3). TIFF and Zarr may lie behind any URL that fsspec knows. Or an array (y, x) or
        (y, x, channel), one of xarray in any order, or a dataset whose variables are the bands.
    channel_axis : int, optional
        Which axis holds the channels. Without it the one that is named so, else the last.
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
    storage_options : Mapping, optional
        For fsspec, where a URL is given: credentials, endpoint and the like.

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
    planes, options = dict(select or {}), dict(storage_options or {})
    if not isinstance(path, str | os.PathLike | zarr.Array):
        if isinstance(mask, str | os.PathLike):
            mask = open_image(mask, mask=False, storage_options=options)[..., 0]
        return from_arrays(
            path, channel_axis=channel_axis, planes=planes, bands=chosen, nodata=nodata, mask=mask
        )
    if isinstance(path, zarr.Array):
        raster = open_zarr_array(path, channel_axis, planes)
    else:
        selection = Selection(series, page, level, planes)
        raster = _open_path(os.fspath(path), channel_axis, selection, options)
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
        image = compose(image, seen, _open_mask(image, mask, options))
    opened = from_raster(image, _understood(raster, rule, own is not None or bool(mask)))
    if not isinstance(path, zarr.Array) and (mask is None or mask is False):
        opened.level = level
        opened.reopen = functools.partial(
            open_image,
            path,
            channel_axis=channel_axis,
            bands=bands,
            nodata=nodata,
            mask=mask,
            series=series,
            page=page,
            select=select,
            storage_options=storage_options,
        )
    return opened


def _understood(raster: Raster, rule: ChannelRule, has_mask: bool) -> dict[str, Any]:
    """Tell what was made of the file's bands, for people."""
    marks = {"alpha": rule.alpha is not None, "nodata": rule.nodata is not None, "mask": has_mask}
    facts: dict[str, Any] = {"bands": raster.windows.shape[2]}
    if rule.colors != tuple(range(raster.windows.shape[2])):
        facts["colors"] = [band + 1 for band in rule.colors]
    if rule.nodata is not None:
        facts["nodata"] = rule.nodata
    if raster.orientation != 1:
        facts["orientation"] = raster.orientation
    if any(marks.values()):
        facts["masked_by"] = [name for name, is_on in marks.items() if is_on]
    return facts


def _open_path(
    path: str, channel_axis: int | None, selection: Selection, options: Mapping[str, Any]
) -> Raster:
    """Choose a reader by the file's first bytes; names lie."""
    if remote.is_url(path) and not remote.local_path(path):
        raster = _open_url(path, channel_axis, selection, options)
        return replace(raster, source=replace(raster.source, path=remote.public(path)))
    name = os.path.abspath(remote.local_path(path) or path)
    if not os.path.exists(name):
        raise InputError(f"{path}: no such file: check the path")
    if os.path.isdir(name):
        return open_zarr(name, channel_axis, selection, {})
    try:
        head = ByteSource.find(name).head()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if head[:6] == b"\x93NUMPY":
        return open_npy(name, channel_axis, selection)
    if head[:4] == b"PK\3\4":
        return open_zarr(name, channel_axis, selection, {})
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


def _open_url(
    url: str, channel_axis: int | None, selection: Selection, options: Mapping[str, Any]
) -> Raster:
    """Look for a TIFF and a Zarr, in the order that the name suggests."""
    try:
        named = ".zarr" in url or url.endswith("/")
        if named and find_document(url, options):
            return open_zarr(url, channel_axis, selection, options)
        try:
            head = ByteSource.find(url, options).head()
        except FileNotFoundError:
            if named or not find_document(url, options):
                raise
            return open_zarr(url, channel_axis, selection, options)
    except OSError as error:
        raise InputError(f"{url}: {error.strerror}") from error
    if head[:4] not in _TIFF:
        raise InputError(
            f"{url}: neither TIFF nor Zarr, which are all that is read behind a URL: "
            "copy the file to a disk first"
        )
    if channel_axis is not None:
        raise InputError(f"{url}: knows its own channels: channel_axis is for arrays")
    return open_tiff(url, selection, options)


def _open_mask(image: Raster, mask: Any, options: Mapping[str, Any]) -> Windows:
    """Open a file as the mask of another; both are held against each other upright."""
    name = image.source.path or "the array"
    if not isinstance(mask, str | os.PathLike):
        raise InputError(f"{name}: the mask of a file is a file: give its path")
    found = _open_path(os.fspath(mask), None, Selection(), options)
    windows, size = compose(found, ChannelRule((0,))).windows, image.windows.shape[:2]
    if windows.shape[:2] != size:
        raise InputError(
            f"{mask}: is {windows.shape[1]} x {windows.shape[0]} pixels, the image "
            f"{size[1]} x {size[0]}: give a mask of the same size"
        )
    return windows
