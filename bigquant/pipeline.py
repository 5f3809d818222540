"""`quantize` and its result: the one place that knows the order of the stages."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import DaskMethodsMixin
from dask.delayed import Delayed

from bigquant.bands import split_channels
from bigquant.errors import InputError, PaletteWarning
from bigquant.histogram import count_colors
from bigquant.palette import MAX_COLORS, Palette
from bigquant.read import Image, open_image
from bigquant.remap import paint, remap
from bigquant.source import Source
from bigquant.write import write_tiff, write_zarr

DEFAULT_K = 32
_log = logging.getLogger(__name__)


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
        self, path: str | os.PathLike[str], *, content: str = "both", overwrite: bool = False
    ) -> None:
        """Write an OME-Zarr 0.5 group, and the palette beside it as NAME.palette.json.

        Parameters
        ----------
        path : path
            Folder to make; it appears when it is complete.
        content : {"both", "image", "labels"}
            The quantized image (c, y, x), ``labels/quantized`` (y, x), or both.
        overwrite : bool
            Whether an output of that name may be replaced.
        """
        write_zarr(
            path, self.labels, self.palette, self.source, content=content, overwrite=overwrite
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


def quantize(
    image: Any,
    k: int = DEFAULT_K,
    *,
    channel_axis: int | None = None,
    algorithm: str = "auto",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> QuantizedImage:
    """Fit a palette of `k` colours to an image, and plan the image in these colours.

    Every pixel is read once to count the distinct colours, and the palette is fitted to the
    counts: the same, bit for bit, for any chunks, scheduler and number of workers. Labels
    and image are lazy and read the pixels a second time when they are computed or written.

    Parameters
    ----------
    image : Image, dask.array.Array, ndarray or zarr.Array, (y, x) or (y, x, channel), uint8
        1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha) channels. Pixels whose alpha is
        0 are no part of the image: they get label 0, and the colours have labels 1 to k.
    k : int
        Colours, 1 to 65535.
    channel_axis : int, optional
        Axis of the channels; the last without it.
    algorithm : {"auto", "histogram", "dask-ml"}
        See `KMeans`.
    n_init : "auto" or int
        Restarts of the fit, the best of which is kept.
    random_state : int or None
        Seed of the fit; None draws a new one.

    Returns
    -------
    QuantizedImage
        With a `PaletteWarning` if its palette has fewer than k colours, because the image
        has fewer, or because two centres round to the same colour.

    Raises
    ------
    InputError
        If `image` is no 8-bit image, has no opaque pixel, or k is out of range.
    """
    check_k(k)
    if random_state is not None:
        if not isinstance(random_state, int | np.integer) or not 0 <= random_state < 2**32:
            raise InputError(f"random_state={random_state}: must be None or 0 to 2**32 - 1")
        random_state = int(random_state)
    if isinstance(image, str | os.PathLike):
        raise InputError(f"quantize takes an array: use open_image({os.fspath(image)!r}) first")
    opened = open_image(image, channel_axis=channel_axis)
    if opened.dtype != np.uint8:
        name = opened.source.path or "the array"
        raise InputError(
            f"{name}: {opened.dtype} pixels cannot be fitted yet, only uint8: convert them, e.g. "
            "gdal_translate -ot Byte -scale, or image.astype('uint8') if the values are 0 to 255"
        )
    _, has_alpha = split_channels(opened.shape[2])
    _log.info(
        "counting the colours of %d x %d pixels in %d blocks of %d x %d",
        *(opened.shape[1], opened.shape[0], opened.npartitions),
        *(opened.chunksize[1], opened.chunksize[0]),
    )
    start = time.perf_counter()
    histogram = count_colors(opened).persist()
    n_colors = int(histogram.n_colors.compute())
    counted = time.perf_counter()
    if not n_colors:
        raise InputError("every pixel of the image is transparent: there is nothing to fit")
    _log.info("%d distinct colours; fitting %d of them", n_colors, min(k, n_colors))
    centers = _fit(opened, histogram, min(k, n_colors), algorithm, n_init, random_state)
    palette: Palette = dask.delayed(Palette.from_fit, pure=False)(
        histogram, centers, int(has_alpha)
    ).compute()
    if palette.k < k:
        why = "some centres round to the same colour"
        if n_colors < k:
            why = f"the image has only {n_colors} distinct colour{'s' if n_colors > 1 else ''}"
        warnings.warn(f"k={palette.k}, not {k}: {why}", PaletteWarning, stacklevel=2)
    _log.info("fitted: MSE %.2f, PSNR %.2f dB", palette.mse, palette.psnr)
    palette = palette.with_facts(
        algorithm=algorithm, random_state=random_state, distinct_colors=n_colors
    )
    labels = remap(opened, palette)
    seconds = {"count": counted - start, "fit": time.perf_counter() - counted}
    return QuantizedImage(palette, labels, paint(labels, palette), opened.source, seconds)


def check_k(k: int) -> None:
    """Refuse a number of colours that no palette can have."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= MAX_COLORS:
        raise InputError(f"k={k}: must be a whole number from 1 to {MAX_COLORS}")


def _fit(
    image: Image,
    histogram: Delayed,
    k: int,
    algorithm: str,
    n_init: str | int,
    random_state: int | None,
) -> Any:
    """Fit k centres (k, channels), float64."""
    # dask-ml takes seconds to import, and only a fit needs it
    from bigquant.kmeans import KMeans, image_rows  # noqa: PLC0415

    model = KMeans(k, algorithm=algorithm, n_init=n_init, random_state=random_state)
    if algorithm == "dask-ml":
        channels, _ = split_channels(image.shape[2])
        return model.fit(image_rows(image, channels)).cluster_centers_
    return model.fit_histogram(histogram).cluster_centers_
