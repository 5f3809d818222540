"""`Image`: a Dask array (y, x, channel) that knows its source, made of windows or of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np

from bigquant.array_reader import image_dtype, type_range
from bigquant.axes import find_axes
from bigquant.bands import default_colors
from bigquant.channels import ChannelRule, choose_channels, stored_windows
from bigquant.errors import InputError
from bigquant.raster import Raster
from bigquant.source import Source
from bigquant.staging import StagedWindows
from bigquant.tiling import BLOCK_BYTES, plan_rows, plan_tiles
from bigquant.xarray_input import Bands, is_xarray, unpack
from bigquant.xarray_place import find_place


class Image(da.Array):  # type: ignore[misc]
    """A Dask array (y, x, channel) that knows its source.

    Whatever is computed from it is a plain Dask array: a slice or a rescaled image has not
    the resolution and georeference of its source.

    Attributes
    ----------
    source : Source
        Path, resolution, colour profile, georeference, valid range.
    channels : int
        Bands that are quantized. A channel more is alpha: 0 where a pixel is no part of the image.
    declared : bool
        Whether it is known which of them are red, green and blue, or gray.
    staged : tuple of StagedWindows
        Files that are unpacked to a temporary folder before they are read; each machine
        does so for itself when it first reads, or when told to: ``stage()``.
    reopen : callable or None
        Opens another level of the pyramid that the file has: ``reopen(level=2)``.
    level : int
        Which of them this is.
    """

    source: Source
    channels: int
    declared: bool
    staged: tuple[StagedWindows, ...]
    reopen: Callable[..., Image] | None = None
    level: int = 0

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return bool(self.shape[2] > self.channels)

    @property
    def has_nodata(self) -> bool:
        """Whether a pixel can be no part of the image: by alpha, or as it is no number."""
        return self.has_alpha or self.dtype.kind == "f"

    def smaller(self) -> Iterator[Image]:
        """Open the smaller levels of the file's pyramid, largest first, if it has one."""
        if self.reopen is not None:
            for level in range(self.level + 1, len(self.source.details.get("levels", ()))):
                yield self.reopen(level=level)

    def as_rgb(self) -> Image:
        """Plan a gray image as RGB, its alpha kept."""
        if self.channels != 1:
            return self
        rule = ChannelRule((0, 0, 0), 1 if self.has_alpha else None)
        source = self.source
        if source.frame:
            source = replace(source, frame=source.frame.as_rgb())
        pixels = _apply(rule, self, None)
        return with_source(pixels, source, 3, self.declared, self.staged)

    def __reduce__(self) -> tuple[Any, ...]:
        plain = da.Array(self.dask, self.name, self.chunks, meta=self._meta)
        return with_source, (plain, self.source, self.channels, self.declared, self.staged)


def with_source(
    array: da.Array,
    source: Source,
    channels: int,
    declared: bool,
    staged: tuple[StagedWindows, ...] = (),
) -> Image:
    """Make an image of an array (y, x, channel); the range of unsigned types is known."""
    if source.valid_range is None:
        source = replace(source, valid_range=type_range(array.dtype))
    image = Image(array.dask, array.name, array.chunks, meta=array._meta)
    image.source = source
    image.channels = channels
    image.declared = declared
    image.staged = staged
    return image


def from_raster(raster: Raster, understood: Mapping[str, Any], *, declared: bool = True) -> Image:
    """Make an image of a file's windows, of its colours and alpha.

    `understood` are facts for people.
    """
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
    source = replace(raster.source, details={**raster.source.details, **understood})
    stored = stored_windows(windows)
    staged = tuple(part for part in stored if isinstance(part, StagedWindows))
    channels = len(raster.colors or ())
    return with_source(array, source, channels, declared, staged)


def _plane_bytes(array: Any) -> tuple[int, int, int]:
    height, width, depth = array.shape
    return height, width, depth * array.dtype.itemsize


def from_arrays(
    array: Any,
    *,
    channel_axis: int | None,
    planes: Mapping[str, int],
    bands: tuple[int, ...] | None,
    nodata: float | None,
    mask: Any,
) -> Image:
    """Make an image of anything array-like; the parameters are those of `open_image`."""
    found = _find_bands(array, channel_axis, planes, nodata)
    pixels = found.arrays[0]
    if len(found.arrays) > 1:
        pixels = da.concatenate(found.arrays, axis=2).rechunk({2: -1})
    rule = choose_channels(
        "the array",
        pixels.shape[2],
        pixels.dtype,
        colors=found.colors,
        alpha=found.alpha,
        nodata=found.nodata if nodata is None else nodata,
        bands=bands,
        masked=mask is not False,
    )
    marks = None if mask is None or mask is False else _mask_blocks(mask, pixels)
    frame = found.frame and found.frame.choose(rule.colors, pixels.shape[2])
    tags, crs = find_place(frame) if frame else ((), None)
    source = Source(tags=tags, crs=crs, frame=frame)
    declared = bands is None and found.colors is not None
    return with_source(_apply(rule, pixels, marks), source, len(rule.colors), declared)


def _find_bands(
    array: Any, channel_axis: int | None, planes: Mapping[str, int], nodata: float | None
) -> Bands:
    """Bring anything array-like to Dask arrays (y, x, sample)."""
    if is_xarray(array):
        found = unpack(array, channel_axis, planes, nodata)
        axis = 2 if found.arrays[0].ndim == 3 else None
        return replace(found, arrays=tuple(_in_blocks(part, axis) for part in found.arrays))
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if isinstance(getattr(array, "_meta", array), np.ma.MaskedArray):
        raise InputError("the array: is masked: give its data, and its mask as mask=")
    axes = find_axes(
        "the array", array.shape, array.dtype, channel_axis=channel_axis, planes=planes
    )
    colors, alpha = default_colors(axes.measure(array.shape)[2])
    return Bands((_in_blocks(array, axes.channel),), colors, alpha)


def _mask_blocks(mask: Any, pixels: da.Array) -> da.Array:
    """Bring a mask (y, x) to the blocks of an image."""
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
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    return array.rechunk({2: -1}).astype(image_dtype(array.dtype), copy=False)


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
