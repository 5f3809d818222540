"""What an xarray object holds of an image. Imports no xarray: who has such objects has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigquant.axes import Axes, find_axes, is_channel
from bigquant.bands import default_colors, named_colors
from bigquant.errors import InputError
from bigquant.tiling import plan_tiles
from bigquant.xarray_frame import Frame

_NODATA = ("_FillValue", "missing_value", "nodata")


@dataclass(frozen=True)
class Bands:
    """Arrays whose samples, one array's after another's, are those of an image.

    Parameters
    ----------
    arrays : tuple
        NumPy or Dask arrays, (y, x) or (y, x, sample), of one size and type.
    colors, alpha, nodata
        As in `Raster`.
    frame : Frame, optional
        What xarray says beside the pixels.
    """

    arrays: tuple[Any, ...]
    colors: tuple[int, ...] | None
    alpha: int | None = None
    nodata: float | None = None
    frame: Frame | None = None


def is_xarray(value: object) -> bool:
    """Tell if something is a `DataArray` or a `Dataset`."""
    return _class_name(value) is not None


def _class_name(value: object) -> str | None:
    known = ("DataArray", "Dataset")
    kinds = (k for k in type(value).__mro__ if k.__module__.partition(".")[0] == "xarray")
    return next((kind.__name__ for kind in kinds if kind.__name__ in known), None)


def unpack(
    value: Any, channel_axis: int | None, planes: Mapping[str, int], nodata: float | None
) -> Bands:
    """Find the image in a `DataArray`, or in a `Dataset` whose variables are its bands.

    Parameters
    ----------
    value : DataArray or Dataset
    channel_axis : int, optional
        Of a `DataArray`; by the names of the dimensions without it.
    planes : Mapping
        Index along each dimension that is neither y, x nor channel.
    nodata : float, optional
        Instead of what the attributes say.

    Raises
    ------
    InputError
        If it is no image, or its variables do not fit together.
    """
    if _class_name(value) == "DataArray":
        return _unpack_array("the array", value, channel_axis, planes, nodata)
    if channel_axis is not None:
        raise InputError("the dataset: its variables are the bands: channel_axis is for arrays")
    parts = {
        name: _unpack_array(f"variable {name}", v, None, planes, nodata)
        for name, v in value.data_vars.items()
        if v.ndim > 1
    }
    if len(parts) == 1:
        return next(iter(parts.values()))
    arrays = [part.arrays[0] for part in parts.values()]
    facts = [f"{n} {a.dtype} {a.shape}" for n, a in zip(parts, arrays, strict=True)]
    if len({(a.shape, a.dtype) for a in arrays}) != 1 or arrays[0].ndim != 2:
        raise InputError(
            f"the dataset: its variables are no bands of one image ({', '.join(facts) or 'none'}): "
            "choose some of one size and type, (y, x) each, e.g. dataset[['red', 'green', 'blue']]"
        )
    values = {repr(part.nodata): part.nodata for part in parts.values()}
    if len(values) > 1:
        raise InputError(
            f"the dataset: its variables have different nodata values ({', '.join(values)}): "
            "make them one, or give nodata="
        )
    depth = len(arrays)
    colors = named_colors(list(parts)) or (tuple(range(depth)) if depth == 3 else None)
    first = next(iter(parts.values())).frame
    assert first is not None
    frame = first.join(list(parts), value.attrs)
    return Bands(tuple(arrays), colors, None, next(iter(values.values())), frame)


def _unpack_array(
    name: str,
    array: Any,
    channel_axis: int | None,
    planes: Mapping[str, int],
    nodata: float | None,
) -> Bands:
    axes = find_axes(
        name, array.shape, array.dtype, array.dims, channel_axis=channel_axis, planes=planes
    )
    channel = None if axes.channel is None else array.dims[axes.channel]
    wanted = [d for d in (array.dims[axes.y], array.dims[axes.x], channel) if d is not None]
    if nodata is None:
        nodata = _find_nodata(array)
    names = array.coords[channel].values.tolist() if channel in array.coords else []
    pixels = array.isel({array.dims[axis]: index for axis, index in axes.planes})
    pixels = pixels.transpose(*wanted)
    depth = axes.measure(array.shape)[2]
    colors, alpha = default_colors(depth)
    named = named_colors(names)
    if named:
        colors, alpha = named, None
    frame = _frame_of(array, axes, planes)
    return Bands((_data_of(pixels),), colors, alpha, nodata, frame)


def _frame_of(array: Any, axes: Axes, planes: Mapping[str, int]) -> Frame:
    """Take what an array says beside its pixels; one band stays a dimension if it is one."""
    chosen = {array.dims[axis]: index for axis, index in axes.planes}
    channel = None if axes.channel is None else array.dims[axes.channel]
    asked = {name.lower() for name in planes}
    single = [dim for dim in chosen if is_channel(dim) and str(dim).lower() not in asked]
    if channel is None and len(single) == 1:
        channel = single[0]
        chosen.pop(channel)
    return Frame.of(array.isel(chosen), array.dims[axes.y], array.dims[axes.x], channel)


def _data_of(array: Any) -> Any:
    """NumPy or Dask array of a `DataArray`; what is still in a file becomes a Dask array."""
    if array.chunks is not None or getattr(array.variable, "_in_memory", True):
        return array.data
    sizes = (array.shape[0], array.shape[1], array.size // (array.shape[0] * array.shape[1]))
    pixel = sizes[2] * array.dtype.itemsize
    stored = array.encoding.get("preferred_chunks") or {}
    tile = tuple(int(stored.get(dim, 512)) for dim in array.dims[:2])
    blocks = plan_tiles((sizes[0], sizes[1], pixel), (tile[0], tile[1]))
    return array.chunk(
        {**dict.fromkeys(array.dims, -1), **dict(zip(array.dims, blocks, strict=False))}
    ).data


def _find_nodata(array: Any) -> float | None:
    """Find the value of what is no part of the image; NaN where xarray has masked it."""
    for name in _NODATA:
        value = _number(array.attrs.get(name))
        if value is not None:
            return value
    for name in _NODATA:
        value = _number(array.encoding.get(name))
        if value is not None:
            return float("nan") if array.dtype.kind == "f" else value
    return None


def _number(value: Any) -> float | None:
    try:
        return float(np.asarray(value).reshape(-1)[0])
    except (TypeError, ValueError, IndexError):
        return None
