"""Zarr arrays by windows, and how they are cut into blocks. Knows nothing of Dask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from bigquant import remote
from bigquant.array_reader import ArrayWindows, type_range
from bigquant.axes import find_axes, list_axes
from bigquant.bands import default_colors
from bigquant.errors import DamagedError, InputError, one_line
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Raster
from bigquant.source import Source
from bigquant.tiling import plan_tiles
from bigquant.zarr_files import ChunkFiles

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
        Of the document. Of what lies behind a URL nothing else is looked at: chunks that are
        written anew go unnoticed where the metadata are not.
    files : ChunkFiles, optional
        Of an array in a folder.
    """

    path: str
    array: zarr.Array[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    document: str | None = None
    fingerprint: Fingerprint | None = None
    files: ChunkFiles | None = None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            pixels = np.asarray(self.array[key])
        except Exception as error:  # codecs raise what they like
            self._check(key)  # what has changed is not damaged
            what = "cannot be read, or is damaged" if remote.is_url(self.path) else "is damaged"
            raise DamagedError(f"{self.path}: a chunk {what} ({one_line(error)})") from error
        self._check(key)  # after it: a chunk that is gone reads as the fill value
        return pixels

    def _check(self, key: Any) -> None:
        if self.document and self.fingerprint:
            self.fingerprint.check(self.document, self.path)
        if self.files:
            self.files.check(self.array, key, self.path)


def open_zarr_array(
    array: zarr.Array[Any], channel_axis: int | None, planes: Mapping[str, int]
) -> Raster:
    """Open an array that someone has opened."""
    stored = ZarrArray("the array", array, array.shape, array.dtype)
    return plan_array(stored, names_of(array), channel_axis, planes, Source())


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
    facts = {
        "axes": list_axes(stored.shape, axes, names),
        "compression": _compression_of(stored.array),
        "chunks": " x ".join(map(str, chunks)),
    }
    if shards:
        facts["shards"] = " x ".join(map(str, shards))
    source = replace(
        source,
        valid_range=type_range(windows.dtype),
        details={**source.details, **facts},
    )
    return Raster(windows, block, source, *default_colors(depth))


def _compression_of(array: zarr.Array[Any]) -> str:
    """Name the codecs of an array's chunks: those of numcodecs in v2, of zarr in v3."""
    shown, codecs = [], cast(tuple[Any, ...], array.compressors)
    for codec in codecs:
        said = codec.get_config() if hasattr(codec, "get_config") else codec.to_dict()
        inner = said.get("configuration", said).get("cname")  # of Blosc, which holds another
        shown.append(f"{said.get('id') or said.get('name')}{f' ({inner})' if inner else ''}")
    return ", ".join(shown) or "none"


def names_of(array: zarr.Array[Any]) -> Any:
    """Names of axes: Zarr's own of v3, or xarray's of v2."""
    own = getattr(array.metadata, "dimension_names", None)
    return own or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
