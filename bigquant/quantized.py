"""`QuantizedImage`: a palette that is fitted, and an image in its colours that is lazy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import DaskMethodsMixin

from bigquant.palette import Palette
from bigquant.source import Source
from bigquant.write import write_tiff, write_zarr


@dataclass(frozen=True, eq=False)
class QuantizedImage(DaskMethodsMixin):  # type: ignore[misc]
    """The result of `quantize`: a palette that is fitted, and an image that is lazy.

    It is a Dask collection itself: ``result.compute()`` and ``np.asarray(result)`` give the
    quantized image, (y, x, channel) uint8.

    Parameters
    ----------
    palette : Palette
    labels : dask.array.Array, (y, x), uint8 or uint16
        Label of every pixel; same chunks as the image's.
    image : dask.array.Array, (y, x, channel), uint8
        The quantized image, without alpha; pixels that were transparent are black.
    source : Source
        What the outputs inherit.
    seconds : Mapping
        Wall time of the stages "count" and "fit".
    """

    palette: Palette
    labels: da.Array
    image: da.Array
    source: Source
    seconds: Mapping[str, float]

    def to_zarr(
        self,
        path: str | os.PathLike[str],
        *,
        content: str = "both",
        ome_zarr: str = "0.5",
        overwrite: bool = False,
    ) -> None:
        """Write an OME-Zarr group, and the palette beside it as NAME.palette.json.

        Parameters
        ----------
        path : path
            Folder to make; it appears when it is complete.
        content : {"both", "image", "labels"}
            The quantized image (c, y, x), ``labels/quantized`` (y, x), or both.
        ome_zarr : {"0.5", "0.4"}
            Version of the format; 0.4 (Zarr v2, without shards) is for older viewers.
        overwrite : bool
            Whether an output of that name may be replaced.
        """
        write_zarr(
            path,
            self.labels,
            self.palette,
            self.source,
            content=content,
            ome_zarr=ome_zarr,
            overwrite=overwrite,
        )

    def to_tiff(
        self, path: str | os.PathLike[str], *, content: str = "both", overwrite: bool = False
    ) -> None:
        """Write a tiled BigTIFF, and the palette beside it as NAME.palette.json.

        A palette image while labels fit 8 bits; above, RGB, or 16-bit gray labels with
        ``content="labels"``. Resolution, colour profile and georeference are kept.
        """
        write_tiff(
            path, self.labels, self.palette, self.source, content=content, overwrite=overwrite
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.image, dtype=dtype)

    def __repr__(self) -> str:
        y, x, depth = self.image.shape
        return (
            f"<QuantizedImage {y} x {x} x {depth}, k={self.palette.k}, {self.palette.psnr:.2f} dB>"
        )

    def _repr_html_(self) -> str:
        y, x, _ = self.image.shape
        facts = {
            "size": f"{x} x {y} pixels",
            "chunks": f"{self.labels.chunksize[1]} x {self.labels.chunksize[0]}, "
            f"{self.labels.npartitions} in all",
            "k": self.palette.k,
            "PSNR": f"{self.palette.psnr:.2f} dB",
        }
        rows = "".join(f"<tr><th>{name}</th><td>{fact}</td></tr>" for name, fact in facts.items())
        return f"<table>{rows}</table>{self.palette._repr_html_()}"

    # Dask's collection protocol: all of it is the image's
    def __dask_graph__(self) -> Any:
        return self.image.__dask_graph__()

    def __dask_keys__(self) -> Any:
        return self.image.__dask_keys__()

    def __dask_layers__(self) -> Any:
        return self.image.__dask_layers__()

    def __dask_tokenize__(self) -> Any:
        return self.image.__dask_tokenize__()

    def __dask_postcompute__(self) -> Any:
        return self.image.__dask_postcompute__()

    def __dask_postpersist__(self) -> Any:
        return self.image.__dask_postpersist__()

    __dask_optimize__ = staticmethod(da.Array.__dask_optimize__)
    __dask_scheduler__ = staticmethod(da.Array.__dask_scheduler__)
