"""Stored arrays, ``.npy`` and Zarr, by windows that pickle small. Knows nothing of Dask."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bigquant.bands import default_colors
from bigquant.errors import BigquantError, InputError
from bigquant.fingerprint import Fingerprint
from bigquant.raster import Raster
from bigquant.source import Source
from bigquant.tiling import plan_rows, plan_tiles


@dataclass(frozen=True)
class ArrayWindows:
    """A stored array (y, x) or (y, x, channel) in any order of axes, as (y, x, sample).

    Parameters
    ----------
    array : NpyArray or ZarrArray
        Read by slices.
    channel_axis : int, optional
        0, 1 or 2; None for an array of two axes.
    """

    array: Any
    channel_axis: int | None

    ndim = 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype.newbyteorder("=")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        lengths = list(self.array.shape)
        depth = 1 if self.channel_axis is None else lengths.pop(self.channel_axis)
        return lengths[0], lengths[1], depth

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        window = list(key[:2])
        if self.channel_axis is None:
            pixels = self.array[tuple(window)][:, :, None][:, :, key[2]]
        else:
            window.insert(self.channel_axis, key[2])
            pixels = np.moveaxis(self.array[tuple(window)], self.channel_axis, 2)
        return np.ascontiguousarray(pixels, self.dtype)


@dataclass(frozen=True)
class NpyArray:
    """A ``.npy`` file as an array that maps what is sliced out of it."""

    path: str
    fingerprint: Fingerprint
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.fingerprint.check(self.path)
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[key])


@dataclass(frozen=True)
class ZarrArray:
    """A Zarr array whose errors are one line that names it."""

    path: str
    array: zarr.Array[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.array[key])
        except Exception as error:  # codecs raise what they like
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BigquantError(f"{self.path}: a chunk is damaged ({reason})") from error


def open_npy(path: str, channel_axis: int | None) -> Raster:
    """Open a ``.npy`` file, (y, x) or (y, x, channel)."""
    try:
        fingerprint = Fingerprint.take(path)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises nearly anything
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable .npy file ({reason})") from error
    axis = check_axes(path, mapped.shape, mapped.dtype, channel_axis)
    windows = ArrayWindows(NpyArray(path, fingerprint, mapped.shape, mapped.dtype), axis)
    return _raster(windows, plan_rows(_plane_bytes(windows)), Source(path=path, format="npy"))


def open_zarr(path: str, channel_axis: int | None) -> Raster:
    """Open a folder that holds a Zarr array, v2 or v3."""
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
    return open_zarr_array(stored, channel_axis, Source(path=path, format="Zarr"))


def open_zarr_array(array: zarr.Array[Any], channel_axis: int | None, source: Source) -> Raster:
    """Read whole shards of an array, several at a time where they are small."""
    name = source.path or "the array"
    axis = check_axes(name, array.shape, array.dtype, channel_axis)
    windows = ArrayWindows(ZarrArray(name, array, array.shape, array.dtype), axis)
    stored = list(array.shards or array.chunks)
    if axis is not None:
        del stored[axis]
    return _raster(windows, plan_tiles(_plane_bytes(windows), (stored[0], stored[1])), source)


def _raster(windows: ArrayWindows, block: tuple[int, int], source: Source) -> Raster:
    colors, alpha = default_colors(windows.shape[2])
    return Raster(windows, block, source, colors, alpha)


def _plane_bytes(windows: ArrayWindows) -> tuple[int, int, int]:
    height, width, depth = windows.shape
    return height, width, depth * windows.dtype.itemsize


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


def check_axes(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], channel_axis: int | None
) -> int | None:
    """Find the channel axis of an array, 0 to 2, or None where it has two axes.

    Raises
    ------
    InputError
        If the array is no image: by its shape, or because its values are no real numbers.
    """
    if len(shape) not in (2, 3) or 0 in shape or any(math.isnan(n) for n in shape):
        raise InputError(
            f"{name}: shape {tuple(shape)} is no image: (y, x) or (y, x, channel) is, "
            "with every length known and above 0"
        )
    if dtype.kind not in "buif":
        raise InputError(f"{name}: pixels of type {dtype} are not real numbers: convert them")
    axis = -1 if channel_axis is None else channel_axis
    if not -len(shape) <= axis < len(shape):
        raise InputError(f"channel_axis={channel_axis}: {name} has {len(shape)} axes")
    return None if len(shape) == 2 else axis % 3
