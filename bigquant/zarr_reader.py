"""Zarr arrays and OME-Zarr groups: folders, zip files, URLs. Knows nothing of Dask."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import FsspecStore, ZipStore

from bigquant import omezarr_reader as ome
from bigquant import remote
from bigquant.array_reader import ArrayWindows, refuse_choices, type_range
from bigquant.axes import find_axes
from bigquant.bands import default_colors
from bigquant.errors import BigquantError, InputError
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Raster, Selection
from bigquant.source import Source
from bigquant.tiling import plan_tiles

_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
_MAX_CHUNK, _MAX_SHARD, _MAX_BLOCKS = 1 << 30, 256 << 20, 1 << 24


@dataclass(frozen=True)
class ZarrArray:
    """A Zarr array whose errors are one line that names it.

    Parameters
    ----------
    path : str
    array : zarr.Array
    shape : tuple of int
    dtype : numpy.dtype
    document : str, optional
        Path or URL of a file that is written anew when the array is: its metadata.
    fingerprint : Fingerprint, optional
        Of the document.
    """

    path: str
    array: zarr.Array[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    document: str | None = None
    fingerprint: Fingerprint | None = None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            pixels = np.asarray(self.array[key])
        except Exception as error:  # codecs raise what they like
            self._check()  # what has changed is not damaged
            if remote.is_url(self.path) and isinstance(error, OSError):
                raise BigquantError(
                    f"{self.path}: {remote.failure(self.path, error).strerror}"
                ) from error
            raise BigquantError(f"{self.path}: a chunk is damaged ({_one_line(error)})") from error
        self._check()  # after it: a chunk that is gone reads as the fill value
        return pixels

    def _check(self) -> None:
        if self.document and self.fingerprint:
            self.fingerprint.check(self.document)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def find_document(path: str, options: Mapping[str, Any]) -> tuple[str, Fingerprint] | None:
    """Find the metadata of a Zarr array or group in a folder; an `OSError` if it is forbidden."""
    for name in _DOCUMENTS:
        document = f"{path.rstrip('/')}/{name}"
        try:
            return document, Fingerprint.take(document, options)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def open_zarr(
    path: str, channel_axis: int | None, selection: Selection, options: Mapping[str, Any]
) -> Raster:
    """Open the folder, the zip file or the URL of a Zarr array, v2 or v3, or an OME-Zarr group."""
    try:
        zipped = not remote.is_url(path) and Path(path).is_file()
        found = (path, Fingerprint.take(path)) if zipped else find_document(path, options)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if found is None:
        raise InputError(f"{path}: a folder without Zarr metadata: name a Zarr array")
    with warnings.catch_warnings():  # of what else lies in the folder
        warnings.simplefilter("ignore")
        try:
            return _Opening(path, channel_axis, selection, options, found).open()
        except BigquantError:
            raise
        except Exception as error:  # what is damaged raises what it likes
            raise InputError(
                f"{path}: its Zarr metadata is damaged ({_one_line(error)})"
            ) from error


@dataclass(frozen=True)
class _Opening:
    """What is opened, and how."""

    path: str
    channel_axis: int | None
    selection: Selection
    options: Mapping[str, Any]
    found: tuple[str, Fingerprint]

    def open(self) -> Raster:
        stored = self._open_store()
        if isinstance(stored, zarr.Array):
            refuse_choices(self.path, self.selection)
            return self._finish(stored, _names_of(stored), Source(path=self.path, format="Zarr"))
        attributes = ome.ome_attributes(stored.attrs.asdict())
        if "multiscales" in attributes:
            return self._open_image(stored, attributes)
        if "plate" in attributes or "well" in attributes:
            raise InputError(
                f"{self.path}: a plate or well of many images: name one, "
                f"e.g. {self.path}/{_image_of_plate(stored, attributes)}"
            )
        if "bioformats2raw.layout" in attributes:
            return self._open_series(stored)
        raise InputError(_no_array(self.path, stored))

    def _open_store(self) -> zarr.Array[Any] | zarr.Group:
        if remote.is_url(self.path):
            store = FsspecStore.from_url(self.path, dict(self.options), read_only=True)
            return zarr.open(store, mode="r")
        if self.found[0] == self.path:
            return zarr.open(ZipStore(Path(self.path), mode="r"), mode="r")
        return zarr.open(Path(self.path), mode="r")  # a str would be parsed as a URL

    def _open_series(self, stored: zarr.Group) -> Raster:
        listed = ome.ome_attributes(stored["OME"].attrs.asdict()) if "OME" in stored else {}
        names = [str(name) for name in listed.get("series") or ()]
        names = names or sorted((n for n, _ in stored.groups() if n.isdigit()), key=int)
        number = self.selection.series or 0
        if not 0 <= number < len(names):
            raise InputError(f"{self.path}: has series 0 to {len(names) - 1}, and no {number}")
        group = stored[names[number]]
        attributes = ome.ome_attributes(group.attrs.asdict())
        inner = replace(self, selection=replace(self.selection, series=None))
        return inner._open_image(group, attributes)

    def _open_image(self, group: Any, attributes: Mapping[str, Any]) -> Raster:
        refuse_choices(self.path, self.selection, allowed=("series", "level"))
        scales, number = attributes["multiscales"], self.selection.series or 0
        if not 0 <= number < len(scales):
            raise InputError(f"{self.path}: has series 0 to {len(scales) - 1}, and no {number}")
        multiscale, level = scales[number], self.selection.level
        datasets = multiscale["datasets"]
        if not 0 <= level < len(datasets):
            raise InputError(f"{self.path}: has levels 0 to {len(datasets) - 1}, and no {level}")
        array = group[datasets[level]["path"]]
        if not isinstance(array, zarr.Array):
            raise ValueError(f"level {level} is no array")
        names, channel = ome.axis_names(multiscale, array.ndim)
        if self.channel_axis is not None:
            channel = self.channel_axis
        source = Source(
            path=self.path, format="OME-Zarr", details={"levels": len(datasets), "level": level}
        )
        raster = replace(self, channel_axis=channel)._finish(array, names, source)
        assert isinstance(raster.windows, ArrayWindows)
        axes, depth = raster.windows.axes, raster.windows.shape[2]
        known = [] if axes.channel is None else ome.omero_channels(attributes, depth)
        size = ome.pixel_size(multiscale, level, axes.y, axes.x)
        per_cm = (1e4 / size[1], 1e4 / size[0]) if size else None
        own, said = raster.source.valid_range, ome.find_range(known)
        if said and (not own or (own[0] <= said[0] and said[1] <= own[1])):
            own = said
        source = replace(
            raster.source,
            resolution=per_cm,
            unit="centimeter" if size else None,
            valid_range=own,
        )
        return replace(raster, source=source, colors=ome.find_colors(known, depth), alpha=None)

    def _finish(self, array: zarr.Array[Any], names: Any, source: Source) -> Raster:
        """Find what of an array is read, by which document it is known again."""
        document, fingerprint = self.found
        if document != self.path:  # not a zip file
            name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
            inner = "/".join(part for part in (self.path.rstrip("/"), array.path, name) if part)
            if inner != document:
                with contextlib.suppress(FileNotFoundError):  # consolidated in the group's
                    document, fingerprint = inner, Fingerprint.take(inner, self.options)
        if remote.is_url(self.path) and array.shards:  # of which parts are read
            try:
                remote.read_head(document, self.options, fingerprint.size)
            except OSError as error:
                raise InputError(f"{self.path}: {error.strerror}") from error
        stored = ZarrArray(self.path, array, array.shape, array.dtype, document, fingerprint)
        return plan_array(stored, names, self.channel_axis, self.selection.planes, source)


def _names_of(array: zarr.Array[Any]) -> Any:
    """Names of axes: Zarr's own of v3, or xarray's of v2."""
    own = getattr(array.metadata, "dimension_names", None)
    return own or array.attrs.asdict().get("_ARRAY_DIMENSIONS")


def open_zarr_array(
    array: zarr.Array[Any], channel_axis: int | None, planes: Mapping[str, int]
) -> Raster:
    """Open an array that someone has opened."""
    stored = ZarrArray("the array", array, array.shape, array.dtype)
    return plan_array(stored, _names_of(array), channel_axis, planes, Source())


def plan_array(
    stored: ZarrArray,
    names: Any,
    channel_axis: int | None,
    planes: Mapping[str, int],
    source: Source,
) -> Raster:
    """Read whole shards of an array, several at a time where they are small."""
    axes = find_axes(
        stored.path, stored.shape, stored.dtype, names, channel_axis=channel_axis, planes=planes
    )
    windows = ArrayWindows(stored, axes)
    height, width, depth = windows.shape
    pixel = depth * windows.dtype.itemsize
    chunks, shards = stored.array.chunks, stored.array.shards
    small = shards and math.prod(shards) * stored.dtype.itemsize <= _MAX_SHARD
    tile = axes.measure(shards if shards and small else chunks)[:2]
    block = plan_tiles((height, width, pixel), tile)
    largest = max(math.prod(chunks) * stored.dtype.itemsize, math.prod(block) * pixel)
    if largest > _MAX_CHUNK:
        raise InputError(
            f"{stored.path}: a chunk, or the chunks of one place, decode to {largest >> 20} MiB "
            f"(limit {_MAX_CHUNK >> 20}): rewrite it in smaller chunks"
        )
    blocks = -(-height // block[0]) * -(-width // block[1])
    if blocks > _MAX_BLOCKS:
        raise InputError(
            f"{stored.path}: its shape {stored.shape} makes {blocks} blocks to read "
            f"(limit {_MAX_BLOCKS}): is its metadata damaged?"
        )
    facts = {"chunks": " x ".join(map(str, chunks))}
    if shards:
        facts["shards"] = " x ".join(map(str, shards))
    if names:
        facts["axes"] = ", ".join(map(str, names))
    source = replace(
        source,
        valid_range=type_range(windows.dtype),
        details={**source.details, **facts},
    )
    return Raster(windows, block, source, *default_colors(depth))


def _image_of_plate(group: zarr.Group, attributes: Mapping[str, Any]) -> str:
    """Path of the first image of a plate or well."""
    if "plate" not in attributes:
        return str(attributes["well"]["images"][0]["path"])
    path = str(attributes["plate"]["wells"][0]["path"])
    well = ome.ome_attributes(group[path].attrs.asdict())
    return f"{path}/{well['well']['images'][0]['path']}"


def _no_array(path: str, group: zarr.Group) -> str:
    """Say what else there is in a group, where that can be listed."""
    try:
        arrays, groups = (sorted(name for name, _ in c()) for c in (group.arrays, group.groups))
    except Exception:  # noqa: BLE001 - many servers list nothing
        arrays = groups = []
    example = f", e.g. {path.rstrip('/')}/{(arrays or groups)[0]}" if arrays or groups else ""
    inside = (
        f"groups in it: {', '.join(groups[:20])}"
        if groups and not arrays
        else (f"arrays in it: {', '.join(arrays[:20]) or 'none'}")
    )
    return f"{path}: a Zarr group, not an array ({inside}): name an array{example}"
