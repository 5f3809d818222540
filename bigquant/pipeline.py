"""`quantize` and `apply_palette`: the one place that knows the order of the stages."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bigquant.colorcounts import ColorHistogram
from bigquant.counting import Counted, counting
from bigquant.errors import BigquantError, InputError, PaletteWarning
from bigquant.fitting import (
    fit_at_the_knee,
    fit_palette,
    fit_until,
    weigh_colors,
)
from bigquant.image import Image
from bigquant.palette import Palette
from bigquant.parameters import (
    alike,
    check_countable,
    check_dither,
    check_kept,
    check_space,
    check_types,
    check_way,
    choose_k,
    most_colors,
    read_fitting,
    read_wish,
)
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.remap import paint, remap, remap_and_tally, tally_length
from bigquant.watch import compute


def quantize(
    image: Any,
    k: int | str | None = None,
    *,
    quality: float | None = None,
    mask: Any = None,
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    channel_axis: int | None = None,
    keep: Any = None,
    algorithm: str = "auto",
    scale: str = "none",
    space: str = "srgb",
    dither: str = "none",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Any:
    """Fit a palette of `k` colours to an image, and plan the image in these colours.

    Every pixel is read once to count the distinct colours, and the palette is fitted to the
    counts: the same, bit for bit, for any chunks, scheduler and number of workers. Labels
    and image are lazy and read the pixels a second time when they are computed or written.
    Colours that are too many to be counted one by one are counted in bins, whose sums are exact,
    and images of more than 4 bands are fitted over their pixels, pass by pass; labels are those
    of the nearest colours of the pixels themselves in any case.

    Parameters
    ----------
    image : Image, dask.array.Array, ndarray, zarr.Array, DataArray or Dataset, or a list of them
        (y, x) or (y, x, channel), of whole or real numbers, with 1 (gray), 2 (gray, alpha), 3
        (RGB) or 4 (RGB, alpha) channels, or any number of `bands`. Pixels whose alpha is 0, or
        that are not finite, are no part of the image: they get label 0, and the colours have
        labels 1 to k; so it is for floats in any case. A list gets one palette for all its
        images, as if they lay side by side; gray joins RGB.
    k : int or "auto", optional
        Colours, 1 to 65535; 32 without it. "auto" takes the knee of the error over 2 to 32
        colours, see `Sweep`; all colours of an image that has no more.
    quality : float, optional
        PSNR in dB that is to be reached, with as few colours as do so; `k` is the most, and
        without it as many as 8-bit labels can tell apart.
    mask, nodata, bands, channel_axis
        What is the image, as for `open_image`.
    keep : sequence of str or array-like, (m, channels), optional
        Colours that are in the palette as they are, among its `k`: ``#rrggbb``, names of CSS,
        or numbers from 0 to 255. The others are fitted to what is nearer to them.
    algorithm : {"auto", "histogram", "lloyd", "dask-ml"}
        See `KMeans`.
    scale : {"none", "range", "std"}
        What the values of each band are divided by before distances are taken, for bands of
        different units: nothing, the range of the band, or its standard deviation. The error is
        that of scaled values.
    space : {"srgb", "linear", "oklab", "lab"}
        Where distances are measured, of 8-bit gray and RGB: between the values as they are, the
        light that they stand for, or in OKLab or CIELAB (D65), where they are more as people see
        them. Labels are of the nearest colours in that space, which the palette names and
        `Palette.apply` goes by; the error is that of the values in any case, and greater.
    dither : {"none", "bayer", "blue-noise"}
        Show what the palette lacks as mixtures of two of its colours, in Bayer's regular pattern
        or by blue noise; which of the two a pixel gets depends on its colour, row and column
        alone. For 8-bit gray and RGB, and up to 256 colours. The palette is the same; its
        numbers are those of the dithered image once that is written or measured.
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
        If `image` has no pixel to fit, k is out of range, or a colour cannot be kept.
    BigquantError
        If k colours do not reach the quality.
    """
    images = open_all("quantize", image, mask, nodata, bands, channel_axis)
    results, failures = quantize_images(
        images,
        choose_k(k, quality),
        quality=quality,
        keep=keep,
        algorithm=algorithm,
        scale=scale,
        space=space,
        dither=dither,
        n_init=n_init,
        random_state=random_state,
        stacklevel=3,
    )
    for error in failures.values():
        raise error
    return results if isinstance(image, list | tuple) else results[0]


def open_all(
    what: str, image: Any, mask: Any, nodata: Any, bands: Any, channel_axis: Any
) -> list[Image]:
    """Open what a function was given: an image, or a list of images."""
    several = isinstance(image, list | tuple)
    if several and mask is not None and mask is not False:
        raise InputError("a mask is for one image: open each with open_image(..., mask=...)")
    reading = {"mask": mask, "nodata": nodata, "bands": bands, "channel_axis": channel_axis}
    return [_open(what, each, **reading) for each in (image if several else [image])]


def _open(what: str, image: Any, **reading: Any) -> Image:
    if isinstance(image, str | os.PathLike):
        raise InputError(f"{what} takes an array: use open_image({os.fspath(image)!r}) first")
    return open_image(image, **reading)


def quantize_images(
    images: Sequence[Image],
    k: int | str,
    *,
    quality: float | None = None,
    keep: Any = None,
    algorithm: str = "auto",
    scale: str = "none",
    space: str = "srgb",
    dither: str = "none",
    n_init: str | int = "auto",
    random_state: int | None = 0,
    most_cloud: int = 0,
    stacklevel: int = 2,
) -> tuple[list[QuantizedImage], Mapping[int, BigquantError]]:
    """Fit one palette to several images, leaving out those that turn out to be unreadable.

    Parameters are as for `quantize`; results have a cloud of at most `most_cloud` colours.

    Returns
    -------
    results : list of QuantizedImage
        Of the readable images, in their order.
    failures : Mapping
        Error of each image that could not be read, by its place in `images`. A single image
        raises it.
    """
    kept = read_wish(k, quality, keep, algorithm)
    fitting = read_fitting(n_init, random_state)
    images = alike(images)
    chosen = "a choice of k" if k == "auto" or quality is not None else None
    check_way(images, scale, algorithm, chosen)
    check_kept(images, kept, scale)
    check_space(images, space, scale, algorithm)
    check_dither(images[0], dither, most_colors(k, quality), scale, quality)
    seen = {"algorithm": algorithm, "scale": scale, "space": space}
    with counting(images, kept, **seen, seed=random_state or 0) as counted:
        start = time.perf_counter()
        if quality is not None:
            most = most_colors(k, quality, counted.rule.first_label)
            palette = fit_until(counted, quality, most, **fitting)
        elif k == "auto":
            palette = fit_at_the_knee(counted, most_colors(k, None), **fitting)
        else:
            palette = fit_palette(counted, int(k), algorithm=algorithm, **fitting)
            warn_of_fewer(counted, int(k), palette.k, stacklevel + 1)
        seconds = {"count": counted.seconds, "fit": time.perf_counter() - start}
        results = [plan_result(image, palette, seconds, dither) for image in counted.images]
        if most_cloud:
            cloud = weigh_colors(counted, most_cloud)
            results = [replace(result, cloud=cloud) for result in results]
        if 0 not in counted.failures:
            results[0] = replace(results[0], thumbnail=counted.thumbnail)
    return results, counted.failures


def color_histogram(
    image: Any,
    *,
    mask: Any = None,
    nodata: float | None = None,
    bands: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> ColorHistogram:
    """Count the distinct colours of an image, or of a list of images, in one pass.

    The parameters are those of `quantize`; for images of 8 bits and up to 3 bands, or 16 and one.
    """
    images = open_all("color_histogram", image, mask, nodata, bands, channel_axis)
    images = alike(images)
    check_countable(images)
    with counting(images, np.empty((0, 3), np.uint8)) as counted:
        for failure in counted.failures.values():
            raise failure
        histogram: ColorHistogram = compute(counted.histogram)[0]
    return histogram


def warn_of_fewer(counted: Counted, k: int, found: int, stacklevel: int) -> None:
    """Tell why a palette has fewer colours than were asked for."""
    if found == k:
        return
    why = "some centres round to the same colour"
    if counted.n_colors < k:
        owner = "the image has" if len(counted.images) == 1 else "the images have"
        plural = "s" if counted.n_colors > 1 else ""
        why = f"{owner} only {counted.n_colors} distinct colour{plural}"
    warnings.warn(f"k={found}, not {k}: {why}", PaletteWarning, stacklevel=stacklevel)


def plan_result(
    image: Image, palette: Palette, seconds: Mapping[str, float], dither: str = "none"
) -> QuantizedImage:
    """Plan an image in the colours of a palette.

    What is not known of its pixels, but of bins, a sample or the nearest colours though they are
    dithered, is counted when they are read again.
    """
    if palette.is_exact and dither == "none":
        labels, tally = remap(image, palette), None
    else:
        labels, tally = remap_and_tally(image, palette, dither)
    painted = paint(labels, palette)
    return QuantizedImage(palette, labels, painted, image, seconds, tally, dither=dither)


def apply_palette(
    palette: Palette, image: Any, *, dither: str = "none", **reading: Any
) -> QuantizedImage:
    """Plan an image in the colours of a palette: what `Palette.apply` does."""
    image = _open("apply", image, **reading)
    check_types([image])
    if image.has_nodata and not palette.first_label:
        raise InputError(
            f"{image.source.path or 'the array'}: has pixels to leave out (by alpha, nodata or a "
            "mask), and the palette has no label for them: use --no-mask (mask=False), or a "
            "palette that reserves label 0, as one fitted to such images does"
        )
    if (image.channels, palette.channels) == (3, 1):
        palette = palette.as_rgb()
    elif (image.channels, palette.channels) == (1, 3):
        image = image.as_rgb()
    if (image.dtype, image.channels) != (palette.dtype, palette.channels):
        raise InputError(
            f"{image.source.path or 'the array'}: is {image.dtype} of {image.channels} "
            f"band{'s' if image.channels > 1 else ''}, the palette {palette.dtype} of "
            f"{palette.channels}: choose the same bands (--bands), or convert the image"
        )
    check_dither(image, dither, palette.k, palette.scale)
    palette = palette.with_tally(np.zeros(tally_length(palette), np.int64))
    return plan_result(image, palette, {}, dither)
