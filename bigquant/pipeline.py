"""`quantize` and `apply_palette`: the one place that knows the order of the stages."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.errors import BigquantError, InputError, PaletteWarning
from bigquant.histogram import count_images
from bigquant.image import Image
from bigquant.kept import in_channels, read_colors
from bigquant.palette import MAX_COLORS, Palette
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.remap import paint, remap, remap_and_tally

DEFAULT_K = 32
_SHOWN = 5
#: Sources that a palette names; a collection may have any number.
_NAMED = 100
_log = logging.getLogger(__name__)


def quantize(
    image: Any,
    k: int = DEFAULT_K,
    *,
    mask: Any = None,
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    channel_axis: int | None = None,
    keep: Any = None,
    algorithm: str = "auto",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Any:
    """Fit a palette of `k` colours to an image, and plan the image in these colours.

    Every pixel is read once to count the distinct colours, and the palette is fitted to the
    counts: the same, bit for bit, for any chunks, scheduler and number of workers. Labels
    and image are lazy and read the pixels a second time when they are computed or written.

    Parameters
    ----------
    image : Image, dask.array.Array, ndarray, zarr.Array, DataArray or Dataset, or a list of them
        (y, x) or (y, x, channel), uint8, with 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB,
        alpha) channels. Pixels whose alpha is 0 are no part of the image: they get label 0,
        and the colours have labels 1 to k. A list gets one palette for all its images, as if
        they lay side by side; gray joins RGB.
    k : int
        Colours, 1 to 65535.
    mask, nodata, bands, channel_axis
        What is the image, as for `open_image`.
    keep : sequence of str or array-like, (m, channels), optional
        Colours that are in the palette as they are, among its `k`: ``#rrggbb``, names of CSS,
        or numbers from 0 to 255. The others are fitted to what is nearer to them.
    algorithm : {"auto", "histogram", "dask-ml"}
        See `KMeans`.
    n_init : "auto" or int
        Restarts of the fit, the best of which is kept.
    random_state : int or None
        Seed of the fit; None draws a new one.

    Returns
    -------
    QuantizedImage or list of QuantizedImage
        Lazy; in terms of xarray where that came in.
        With a `PaletteWarning` if the palette has fewer than k colours, because there are
        fewer, or because two centres round to the same colour.

    Raises
    ------
    InputError
        If `image` is no 8-bit image, has no opaque pixel, k is out of range, or a colour
        cannot be kept.
    """
    several = isinstance(image, list | tuple)
    if several and mask is not None and mask is not False:
        raise InputError("a mask is for one image: open each with open_image(..., mask=...)")
    opened = [
        _open("quantize", each, mask=mask, nodata=nodata, bands=bands, channel_axis=channel_axis)
        for each in (image if several else [image])
    ]
    results, failures = quantize_images(
        opened,
        k,
        keep=keep,
        algorithm=algorithm,
        n_init=n_init,
        random_state=random_state,
        stacklevel=3,
    )
    for error in failures.values():
        raise error
    return results if several else results[0]


def _open(what: str, image: Any, **reading: Any) -> Image:
    if isinstance(image, str | os.PathLike):
        raise InputError(f"{what} takes an array: use open_image({os.fspath(image)!r}) first")
    return open_image(image, **reading)


def quantize_images(
    images: Sequence[Image],
    k: int,
    *,
    keep: Any = None,
    algorithm: str = "auto",
    n_init: str | int = "auto",
    random_state: int | None = 0,
    stacklevel: int = 2,
) -> tuple[list[QuantizedImage], Mapping[int, BigquantError]]:
    """Fit one palette to several images, leaving out those that turn out to be unreadable.

    Parameters are as for `quantize`.

    Returns
    -------
    results : list of QuantizedImage
        Of the readable images, in their order.
    failures : Mapping
        Error of each image that could not be read, by its place in `images`. A single image
        raises it.
    """
    check_k(k)
    kept = check_keep(keep, k, algorithm)
    if random_state is not None:
        if not isinstance(random_state, int | np.integer) or not 0 <= random_state < 2**32:
            raise InputError(f"random_state={random_state}: must be None or 0 to 2**32 - 1")
        random_state = int(random_state)
    images = alike(images)
    kept = in_channels(kept, split_channels(images[0].shape[2])[0])
    first_label = int(any(split_channels(image.shape[2])[1] for image in images))
    start = time.perf_counter()
    histogram, failures = count_images(images)
    images = [image for number, image in enumerate(images) if number not in failures]
    n_colors, n_centers = dask.compute(histogram.n_colors, histogram.n_centers(k, kept))
    counted = time.perf_counter()
    if not n_colors:
        whose = "the image" if len(images) == 1 else "the images"
        raise InputError(f"every pixel of {whose} is transparent: there is nothing to fit")
    _log.info("%d distinct colours; fitting %d of them", n_colors, n_centers - len(kept))
    centers = _fit(images, histogram, n_centers, kept, algorithm, n_init, random_state)
    palette: Palette = dask.delayed(Palette.from_fit, pure=False)(
        histogram, centers, first_label, len(kept)
    ).compute()
    if palette.k < k:
        why = "some centres round to the same colour"
        if n_colors < k:
            owner = "the image has" if len(images) == 1 else "the images have"
            why = f"{owner} only {n_colors} distinct colour{'s' if n_colors > 1 else ''}"
        warnings.warn(f"k={palette.k}, not {k}: {why}", PaletteWarning, stacklevel=stacklevel)
    _log.info("fitted: MSE %.2f, PSNR %.2f dB", palette.mse, palette.psnr)
    palette = palette.with_facts(
        algorithm=algorithm,
        random_state=random_state,
        distinct_colors=n_colors,
        sources=[image.source.path for image in images if image.source.path][:_NAMED],
        versions=_versions(algorithm),
    )
    if len(kept):
        palette = palette.with_facts(keep=Palette.from_colors(kept).hex)
    seconds = {"count": counted - start, "fit": time.perf_counter() - counted}
    return [plan_result(image, palette, seconds) for image in images], failures


def plan_result(image: Image, palette: Palette, seconds: Mapping[str, float]) -> QuantizedImage:
    """Plan an image in the colours of a palette that is fitted to it."""
    labels = remap(image, palette)
    return QuantizedImage(palette, labels, paint(labels, palette), image.source, seconds)


def apply_palette(palette: Palette, image: Any, **reading: Any) -> QuantizedImage:
    """Plan an image in the colours of a palette: what `Palette.apply` does."""
    image = _open("apply", image, **reading)
    _check_types([image])
    channels, has_alpha = split_channels(image.shape[2])
    if has_alpha and not palette.first_label:
        raise InputError(
            f"{image.source.path or 'the array'}: has pixels to leave out (by alpha, nodata or a "
            "mask), and the palette has no label for them: use --no-mask (mask=False), or a "
            "palette that reserves label 0, as one fitted to such images does"
        )
    if channels > palette.colors.shape[1]:
        palette = palette.as_rgb()
    elif channels < palette.colors.shape[1]:
        image = image.as_rgb()
    palette = palette.with_tally(np.zeros(palette.first_label + palette.k + 1, np.int64))
    labels, tally = remap_and_tally(image, palette)
    return QuantizedImage(palette, labels, paint(labels, palette), image.source, {}, tally)


def _versions(algorithm: str) -> dict[str, str]:
    """Tell the versions of bigquant and of what fits by `algorithm`."""
    fitting = ("dask-ml", "scikit-learn") if algorithm == "dask-ml" else ("numba", "numpy")
    return {name: _version(name) for name in ("bigquant", *fitting)}


_version = functools.cache(importlib.metadata.version)  # which looks into files each time


def check_k(k: int) -> None:
    """Refuse a number of colours that no palette can have."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= MAX_COLORS:
        raise InputError(f"k={k}: must be a whole number from 1 to {MAX_COLORS}")


def check_keep(keep: Any, k: int, algorithm: str) -> NDArray[np.uint8]:
    """List the colours that are to be kept, (m, 3), refusing what a palette of k cannot keep."""
    kept = np.empty((0, 3), np.uint8) if keep is None else read_colors(keep)
    if len(kept) > k:
        raise InputError(f"k={k}: must be at least {len(kept)}, as many colours as are to be kept")
    if len(kept) and algorithm == "dask-ml":
        raise InputError("dask-ml's own fit keeps no colours: use the algorithm 'histogram'")
    return kept


def alike(images: Sequence[Image]) -> list[Image]:
    """Bring images to one number of colours: gray joins RGB; other types are refused."""
    if not images:
        raise InputError("an empty list: there is no image to fit")
    _check_types(images)
    channels = {split_channels(image.shape[2])[0] for image in images}
    if len(channels) == 1:
        return list(images)
    return [image if image.shape[2] > 2 else image.as_rgb() for image in images]


def _check_types(images: Sequence[Image]) -> None:
    """Refuse images of other types than uint8."""
    others = [image for image in images if image.dtype != np.uint8]
    if others:
        listed = ", ".join(f"{i.source.path or 'the array'} ({i.dtype})" for i in others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise InputError(
            f"{listed}{more}: only uint8 pixels can be quantized yet: convert them, e.g. "
            "gdal_translate -ot Byte -scale, or image.astype('uint8') if the values are 0 to 255"
        )


def _fit(
    images: Sequence[Image],
    histogram: Delayed,
    k: int,
    kept: NDArray[np.uint8],
    algorithm: str,
    n_init: str | int,
    random_state: int | None,
) -> Any:
    """Fit k centres (k, channels), float64, of which those that are kept come first."""
    # dask-ml takes seconds to import, and only a fit needs it
    from bigquant.kmeans import KMeans, image_rows  # noqa: PLC0415

    model = KMeans(k, algorithm=algorithm, n_init=n_init, random_state=random_state)
    if algorithm == "dask-ml":
        channels, _ = split_channels(images[0].shape[2])
        rows = [image_rows(image, channels) for image in images]
        return model.fit(da.concatenate(rows)).cluster_centers_
    return model.fit_histogram(histogram, kept.astype(np.float64)).cluster_centers_
