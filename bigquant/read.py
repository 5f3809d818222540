"""Path or array -> a lazy image: a Dask array (y, x, channel) and what must survive of it."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
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
        Those that are quantized, counted from 1, in any order: the first three of them are shown
        as red, green and blue. Without it what the file says are its colours, or else all of
        them; an array of four is RGB and alpha.
    nodata : float, optional
        Pixels all of whose bands have this value are no part of the image, whichever bands are
        chosen; instead of the value that the file gives. Alpha is no band. It is the value that
        is stored: in a TIFF before a palette or the like is applied, in other pictures as they
        are decoded.
    mask : path, array or False, optional
        An image of the same size, 0 where a pixel is no part of the image, in all bands if it
        has several. With False neither alpha nor nodata nor a mask in the file marks any.
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
        `channels` bands of the file's own type, and perhaps alpha: 0 where a pixel is no part of
        the image, for whichever reason. Chunks lie on the file's own tiles and hold about
        64 MiB. It pickles to a few kB.

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
            mask = from_raster(_open_mask(mask, options), {}).any(axis=2)
        return from_arrays(
            path, channel_axis=channel_axis, planes=planes, bands=chosen, nodata=nodata, mask=mask
        )
    if isinstance(path, zarr.Array):
        raster = _with_nodata(open_zarr_array(path, channel_axis, planes), nodata)
    else:
        asked = _Asked(channel_axis, Selection(series, page, level, planes), options, nodata)
        raster = _open_path(os.fspath(path), asked)
    name = raster.source.path or "the array"
    rule = choose_channels(
        name,
        raster.n_bands,
        raster.windows.dtype,
        colors=raster.colors,
        alpha=raster.alpha,
        premultiplied=raster.premultiplied,
        nodata=raster.nodata,
        marks=raster.marks,
        bands=chosen,
        masked=mask is not False,
    )
    own = raster.mask if mask is not False else None
    image = compose(raster, rule, own)
    if mask is not None and mask is not False:
        assert image.colors
        if not isinstance(mask, str | os.PathLike):
            raise InputError(f"{name}: the mask of a file is a file: give its path")
        marks = _open_mask(mask, options).windows
        _check_size(image, mask, marks)
        image = compose(image, ChannelRule(image.colors, image.alpha), marks)
    understood = _understood(raster, rule, own is not None or bool(mask))
    declared = raster.colors is not None and bands is None
    opened = from_raster(image, understood, declared=declared)
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
    marks = {"alpha": rule.alpha is not None, "nodata": rule.has_nodata, "mask": has_mask}
    facts: dict[str, Any] = {"bands": raster.n_bands}
    if rule.colors != tuple(range(raster.n_bands)):
        facts["colors"] = [band + 1 for band in rule.colors]
    if rule.has_nodata:
        facts["nodata"] = raster.nodata
    if raster.orientation != 1:
        facts["orientation"] = raster.orientation
    if any(marks.values()):
        facts["masked_by"] = [name for name, is_on in marks.items() if is_on]
    return facts


@dataclass(frozen=True)
class _Asked:
    """What a reader is asked for: the parameters of `open_image` that it knows."""

    channel_axis: int | None = None
    selection: Selection = field(default_factory=Selection)
    options: Mapping[str, Any] = field(default_factory=dict)
    nodata: float | None = None


def _open_path(path: str, asked: _Asked) -> Raster:
    """Choose a reader by the file's first bytes; names lie."""
    if remote.is_url(path) and not remote.local_path(path):
        raster = _open_url(path, asked)
        return replace(raster, source=replace(raster.source, path=remote.public(path)))
    name = os.path.abspath(remote.local_path(path) or path)
    head = _read_head(path, name)
    if head[:4] in _TIFF:
        _refuse_axis(path, asked)
        return open_tiff(name, asked.selection, {}, asked.nodata)
    return _with_nodata(_open_other(path, name, head, asked), asked.nodata)


def _with_nodata(raster: Raster, nodata: float | None) -> Raster:
    return raster if nodata is None else replace(raster, nodata=nodata)


def _refuse_axis(path: str, asked: _Asked) -> None:
    if asked.channel_axis is not None:
        raise InputError(f"{path}: knows its own channels: channel_axis is for arrays")


def _read_head(path: str, name: str) -> bytes:
    """Read the first bytes of a file; a folder has none."""
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            return b""
        if not stat.S_ISREG(mode):  # opening a pipe would wait for who writes to it
            raise InputError(f"{path}: is a pipe or a device, not a file: copy it to one first")
        return ByteSource.find(name).head()
    except FileNotFoundError as error:
        link = Path(name)
        what = "no such file"
        if link.is_symlink():
            what = f"a link to {link.readlink()}, which is not there"
        raise InputError(f"{path}: {what}: check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _open_other(path: str, name: str, head: bytes, asked: _Asked) -> Raster:
    """Open what is no TIFF."""
    if os.path.isdir(name) or head[:4] == b"PK\3\4":
        return open_zarr(name, asked.channel_axis, asked.selection, {})
    if head[:6] == b"\x93NUMPY":
        return open_npy(name, asked.channel_axis, asked.selection)
    _refuse_axis(path, asked)
    if is_flat(head):
        return open_flat(name, head, asked.selection)
    raise InputError(
        f"{path}: not an image that bigquant reads "
        "(TIFF, JPEG, PNG, WebP, JPEG 2000, BMP, GIF, .npy, Zarr)"
    )


def _open_url(url: str, asked: _Asked) -> Raster:
    """Look for a TIFF and a Zarr, in the order that the name suggests."""
    options = asked.options
    try:
        named = ".zarr" in url or url.endswith("/")
        is_zarr = named and bool(find_document(url, options))
        if not is_zarr:
            try:
                head = ByteSource.find(url, options).head()
            except FileNotFoundError:
                if named or not find_document(url, options):
                    raise
                is_zarr = True
    except OSError as error:
        raise InputError(f"{url}: {error.strerror}") from error
    if is_zarr:
        raster = open_zarr(url, asked.channel_axis, asked.selection, options)
        return _with_nodata(raster, asked.nodata)
    if head[:4] not in _TIFF:
        raise InputError(
            f"{url}: neither TIFF nor Zarr, which are all that is read behind a URL: "
            "copy the file to a disk first"
        )
    _refuse_axis(url, asked)
    return open_tiff(url, asked.selection, options, asked.nodata)


def _open_mask(mask: str | os.PathLike[str], options: Mapping[str, Any]) -> Raster:
    """Open a file as a mask, upright: its gray or all its bands, whose 0 is no part of an image."""
    found = _open_path(os.fspath(mask), _Asked(options=options))
    bands = tuple(band for band in range(found.n_bands) if band != found.alpha)
    return compose(found, ChannelRule(found.colors or bands))


def _check_size(image: Raster, mask: Any, windows: Windows) -> None:
    size = image.windows.shape[:2]
    if windows.shape[:2] != size:
        raise InputError(
            f"{mask}: is {windows.shape[1]} x {windows.shape[0]} pixels, the image "
            f"{size[1]} x {size[0]}: give a mask of the same size"
        )
