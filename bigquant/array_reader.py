"""Stored arrays by windows that pickle small; ``.npy`` files. Knows nothing of Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.axes import Axes, find_axes, list_axes
from bigquant.bands import default_colors
from bigquant.errors import InputError
from bigquant.fingerprint import Fingerprint
from bigquant.npy_array import NpyArray
from bigquant.raster import Raster, Selection
from bigquant.source import Source
from bigquant.tiling import plan_rows


@dataclass(frozen=True)
class ArrayWindows:
    """A stored array, in any order of axes, as (y, x, sample); False and True are 0 and 255.

    Parameters
    ----------
    array : NpyArray or ZarrArray
        Read by slices and numbers.
    axes : Axes
    """

    array: Any
    axes: Axes

    ndim = 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples, in the machine's byte order."""
        return image_dtype(self.array.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, samples."""
        return self.axes.measure(self.array.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        pixels = self.axes.read(self.array, key)
        if pixels.dtype == np.bool_:
            pixels = pixels * np.uint8(255)
        return np.ascontiguousarray(pixels, self.dtype)


def image_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type of an image of an array of this type."""
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype.newbyteorder("=")


def type_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Tell what samples of a type can be: all that unsigned integers can, else not known."""
    return (0, int(np.iinfo(dtype).max)) if dtype.kind == "u" else None


def open_npy(path: str, channel_axis: int | None, selection: Selection) -> Raster:
    """Open a ``.npy`` file, (y, x) or (y, x, channel)."""
    try:
        fingerprint = Fingerprint.take(path)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises nearly anything
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable .npy file ({reason})") from error
    refuse_choices(path, selection)
    axes = find_axes(
        path, mapped.shape, mapped.dtype, channel_axis=channel_axis, planes=selection.planes
    )
    by_columns = mapped.flags.fnc  # Fortran-contiguous, and not C
    array = NpyArray(path, fingerprint, mapped.shape, mapped.dtype, mapped.offset, by_columns)
    windows = ArrayWindows(array, axes)
    height, width, depth = windows.shape
    pixel = depth * windows.dtype.itemsize
    if mapped.strides[axes.y] < mapped.strides[axes.x]:  # Fortran's order: by columns
        columns, rows = plan_rows((width, height, pixel))
        block = rows, columns
    else:
        block = plan_rows((height, width, pixel))
    source = Source(
        path=path,
        format="npy",
        valid_range=type_range(windows.dtype),
        details={"axes": list_axes(mapped.shape, axes)},
    )
    return Raster(windows, block, source, *default_colors(depth))


def refuse_choices(path: str, selection: Selection, *, allowed: tuple[str, ...] = ()) -> None:
    """Refuse a choice of series, page or level of a file that has none."""
    given = {"series": selection.series, "page": selection.page, "level": selection.level or None}
    for name, number in given.items():
        if number is not None and name not in allowed:
            raise InputError(
                f"{path}: holds no {name} to choose from ({name}={number}): leave it out"
            )
