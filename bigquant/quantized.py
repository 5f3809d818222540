"""`QuantizedImage`: a palette that is there, and an image in its colours that is lazy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
from dask.base import DaskMethodsMixin
from numpy.typing import NDArray

from bigquant.histogram import thumbnail_step
from bigquant.image import Image
from bigquant.notebook import beside_html, facts_html, picture_html, swatches_html
from bigquant.palette import Palette
from bigquant.pixelframe import frame_pixels
from bigquant.source import Source
from bigquant.thumbnail import in_colors
from bigquant.tiff_output import write_tiff
from bigquant.watch import compute
from bigquant.write import write_npy, write_png, write_zarr
from bigquant.xarray_frame import Frame

#: Pixels of a thumbnail, and of the picture of the chunks, in a notebook.
_SHOWN_SIDE = 160


@dataclass(frozen=True, eq=False)
class QuantizedImage(DaskMethodsMixin):  # type: ignore[misc]
    """The result of `quantize` and `Palette.apply`: a palette, and an image that is lazy.

    It is a Dask collection itself: ``result.compute()`` and ``np.asarray(result)`` give the
    quantized image, (y, x, channel), of the original's type.

    Parameters
    ----------
    palette : Palette
    label_blocks : dask.array.Array, (y, x), uint8 or uint16
        Label of every pixel; same chunks as the image's.
    image_blocks : dask.array.Array, (y, x, channel)
        The quantized image, of the original's type, without alpha; pixels that are no part of
        it are 0, or NaN where there is one.
    original : Image
        What was quantized; outputs inherit from its source.
    seconds : Mapping
        Wall time of the stages "count" and "fit"; empty where nothing was fitted.
    tally : dask.array.Array, (row, column, n), int64, optional
        Of a palette that is applied, or was not fitted to the count of every colour: pixels of
        every label, and last the sum of their squared errors, of each chunk, from the same
        reading of the image as the labels. Before that is computed the palette has none, or
        those of the nearest colours, or of the bins that it was fitted to.
    thumbnail : ndarray, (y, x, channel), optional
        Every n-th pixel of the original, at most 512 along a side, taken while it was counted.
    cloud : (ndarray, ndarray), optional
        Colours (n, channels) that stand for all that were counted, and their weights (n,).
    dither : {"none", "bayer", "blue-noise"}
        How colours that the palette lacks are shown.
    """

    palette: Palette
    label_blocks: da.Array
    image_blocks: da.Array
    original: Image
    seconds: Mapping[str, float]
    tally: da.Array | None = None
    thumbnail: NDArray[Any] | None = None
    cloud: tuple[NDArray[Any], NDArray[Any]] | None = None
    dither: str = "none"

    @property
    def source(self) -> Source:
        """What the outputs inherit."""
        return self.original.source

    def measure(self) -> Palette:
        """Get the palette with the pixels of each colour and the error of this image.

        That takes one reading of the image where the palette was applied, or fitted to bins or
        a sample, or where the image is dithered, and none where it was fitted to the count of
        every colour. Whoever writes the
        image gets the same from `to_zarr` or `to_tiff`.
        """
        if self.tally is None:
            return self.palette
        return self.palette.with_tally(compute(self.tally.sum(axis=(0, 1)))[0])

    @cached_property
    def labels(self) -> Any:
        """Label of every pixel, (y, x), uint8 or uint16: lazy.

        A Dask array; a `DataArray` where one came in, with its coordinates (those of the bands
        are gone), and with those of its attributes that hold for labels. If label 0 is
        reserved for what is no part of the image, it is the ``_FillValue``.
        """
        if self.source.frame is None:
            return self.label_blocks
        return self.source.frame.labels(self.label_blocks, nodata=bool(self.palette.first_label))

    @cached_property
    def image(self) -> Any:
        """The quantized image, of the original's type, without alpha: lazy.

        A Dask array (y, x, channel); a `DataArray` where one came in, with its dimensions in
        their order, its coordinates, and its attributes but for nodata, valid range and
        statistics, which hold no more. Pixels that are no part of the image are 0, or NaN.
        """
        if self.source.frame is None:
            return self.image_blocks
        return self.source.frame.image(self.image_blocks)

    def to_xarray(self) -> Any:
        """Make an `xarray.Dataset` of the variables ``image`` and ``labels``, both lazy.

        They are as `image` and `labels` where xarray came in; otherwise they have the
        dimensions (y, x, band) and (y, x), and no coordinates.
        """
        frame, reserved = self.source.frame or Frame.plain(), bool(self.palette.first_label)
        return frame.dataset(self.image_blocks, self.label_blocks, nodata=reserved)

    def to_dask_dataframe(self) -> Any:
        """Make a Dask DataFrame of the original's pixels, one a row, one partition a block.

        Columns are y, x, r, g, b (or gray, or band_1, band_2 ...), cluster (the label) and color,
        ``rgb(255, 0, 0)``, in which the label is shown. Pixels that are no part of the image are
        left out. Lazy, and for small images or cropped ones: a row takes some hundred bytes.
        `ColorHistogram.to_dataframe` has a row for each distinct colour instead.
        """
        image = self.original
        if image.channels < self.palette.channels:
            image = image.as_rgb()
        return frame_pixels(image, self.palette, self.dither)

    def to_zarr(
        self,
        path: str | os.PathLike[str],
        *,
        content: str = "both",
        ome_zarr: str = "0.5",
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Palette:
        """Write an OME-Zarr group, and the palette beside it as NAME.palette.json.

        Parameters
        ----------
        path : path or URL
            Folder to make; it appears when it is complete. Behind a URL (``s3://...``) the
            group's attribute ``bigquant.complete`` is false until then, and `open_image`
            refuses it; what is to be replaced is gone as soon as the writing begins.
        content : {"both", "image", "labels"}
            The quantized image (c, y, x), ``labels/quantized`` (y, x), or both. Labels alone
            are the group's image, too.
        ome_zarr : {"0.5", "0.4"}
            Version of the format; 0.4 (Zarr v2, without shards) is for older viewers.
        overwrite : bool
            Whether an output of that name may be replaced.
        storage_options : Mapping, optional
            For a URL: what fsspec is to know, such as credentials.

        Returns
        -------
        Palette
            As it stands in the output: where it was applied, its pixels and its error are
            those of this image, counted while it was written.
        """
        return write_zarr(
            path,
            self.label_blocks,
            self.palette,
            self.source,
            tally=self.tally,
            dither=self.dither,
            content=content,
            ome_zarr=ome_zarr,
            overwrite=overwrite,
            storage_options=storage_options,
        )

    def to_tiff(
        self,
        path: str | os.PathLike[str],
        *,
        content: str = "both",
        compression: str = "deflate",
        cog: bool = False,
        overwrite: bool = False,
    ) -> Palette:
        """Write a tiled BigTIFF, and the palette beside it as NAME.palette.json.

        A palette image while labels fit 8 bits; above, RGB, or 16-bit gray labels with
        ``content="labels"``. Tile size, resolution, colour profile and georeference are kept.
        An xarray object has one if a coordinate names its CRS, as rioxarray's "spatial_ref"
        does, and y and x are evenly spaced; a CRS without an EPSG code stands beside the file,
        in NAME.tif.aux.xml. The result is as of `to_zarr`.

        Parameters
        ----------
        path : path
            File to make; it appears when it is complete.
        content : {"both", "image", "labels"}
        compression : {"deflate", "zstd", "lzw", "none"}
        cog : bool
            Whether to mark it as a cloud-optimized GeoTIFF, and to write the names of its classes
            beside it for GDAL, as NAME.tif.aux.xml. Without it that is done where the source is
            georeferenced.
        overwrite : bool
            Whether an output of that name may be replaced.
        """
        return write_tiff(
            path,
            self.label_blocks,
            self.palette,
            self.source,
            tally=self.tally,
            content=content,
            compression=compression,
            cog=cog,
            overwrite=overwrite,
        )

    def to_png(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Palette:
        """Write an indexed PNG, and the palette beside it as NAME.palette.json.

        It is image and labels in one: pixels are labels, and the palette gives their colours;
        a label 0 that is reserved is transparent. For up to 256 labels and 2**30 pixels.
        """
        return write_png(
            path,
            self.label_blocks,
            self.palette,
            self.source,
            tally=self.tally,
            overwrite=overwrite,
        )

    def to_npy(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Palette:
        """Write the labels (y, x), uint8 or uint16, as a ``.npy`` file, and the palette beside it.

        The palette file is NAME.palette.json.
        """
        return write_npy(
            path,
            self.label_blocks,
            self.palette,
            self.source,
            tally=self.tally,
            overwrite=overwrite,
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.image_blocks, dtype=dtype)

    def __repr__(self) -> str:
        y, x, depth = self.image_blocks.shape
        error = f", {self.palette.psnr:.2f} dB" if self.palette.n_pixels else ""
        return f"<QuantizedImage {y} x {x} x {depth}, k={self.palette.k}{error}>"

    def _repr_html_(self) -> str:
        y, x, _ = self.image_blocks.shape
        palette, blocks = self.palette, self.label_blocks
        facts = {
            "size": f"{x} x {y} pixels",
            "chunks": f"{blocks.chunksize[1]} x {blocks.chunksize[0]}, {blocks.npartitions} in all",
            "labels": f"{palette.label_dtype}, from {palette.first_label}",
            "k": palette.k,
            "space": None if palette.space == "srgb" else palette.space,
            "PSNR": f"{palette.psnr:.2f} dB" if palette.n_pixels else None,
        }
        parts = [facts_html(facts), blocks.to_svg(size=_SHOWN_SIDE)]
        if self.thumbnail is not None:
            step = thumbnail_step(self.thumbnail.shape, _SHOWN_SIDE)
            thin, channels = self.thumbnail[::step, ::step], self.original.channels
            small = in_colors(thin, channels, palette, self.dither)
            parts.append(picture_html(small, f"the image in {palette.k} colors"))
        return beside_html(*parts) + swatches_html(palette.hex, palette.shares, palette.first_label)

    # Dask's collection protocol: all of it is the image's
    def __dask_graph__(self) -> Any:
        return self.image_blocks.__dask_graph__()

    def __dask_keys__(self) -> Any:
        return self.image_blocks.__dask_keys__()

    def __dask_layers__(self) -> Any:
        return self.image_blocks.__dask_layers__()

    def __dask_tokenize__(self) -> Any:
        return self.image_blocks.__dask_tokenize__()

    def __dask_postcompute__(self) -> Any:
        return self.image_blocks.__dask_postcompute__()

    def __dask_postpersist__(self) -> Any:
        return self.image_blocks.__dask_postpersist__()

    __dask_optimize__ = staticmethod(da.Array.__dask_optimize__)
    __dask_scheduler__ = staticmethod(da.Array.__dask_scheduler__)
