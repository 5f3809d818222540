"""`compare`: how far two images of one size are apart, block by block, in one pass."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.errors import InputError
from bigquant.histogram import merge_tree
from bigquant.image import Image
from bigquant.metrics import psnr
from bigquant.pixelpairs import Differences
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.watch import compute

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """How far two images, a and b, are apart.

    Parameters
    ----------
    pixels : int
        That are compared: those that are masked in neither image.
    masked : int
        Pixels that are left out, because one image or both have them masked.
    masked_in_one : (int, int)
        How many of these are masked in a only, and in b only.
    mse : float
        Squared error per pixel, summed over the channels.
    psnr : float
        Peak signal-to-noise ratio per channel value in dB; infinite without an error.
    ciede2000_mean, ciede2000_p95 : float
        How different the pixels look (1 can just be seen), their colours taken as sRGB: the mean,
        and what 95 % of them reach at most. Each pixel's difference is rounded to 0.001.
    distinct_colors : (int, int)
        Of the pixels that are not masked in a, and of those that are not in b.
    """

    pixels: int
    masked: int
    masked_in_one: tuple[int, int]
    mse: float
    psnr: float
    ciede2000_mean: float
    ciede2000_p95: float
    distinct_colors: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """List the facts in JSON's types; an infinite PSNR is None."""
        facts = asdict(self) | {"psnr": self.psnr if math.isfinite(self.psnr) else None}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in facts.items()}


def compare(a: Any, b: Any, **reading: Any) -> Comparison:
    """Measure how far two images of one size are apart.

    Every pixel of both is read once, block by block. Sums are of whole numbers, so the result is
    the same, bit for bit, for any chunks, scheduler and number of workers.

    Parameters
    ----------
    a, b : path, URL, Image, array or QuantizedImage
        Whatever `open_image` takes, uint8; b is read in the blocks of a. Gray joins RGB. Pixels
        that are masked in either image (by alpha, nodata or a mask) are left out.
    **reading
        The other parameters of `open_image`, for both images; where they differ, open the images
        with it before.

    Raises
    ------
    InputError
        If an image cannot be read or is not of 8 bits, if their sizes differ, or no pixel is
        left to compare.

    Examples
    --------
    >>> photo = np.array([[0, 10], [20, 30]], np.uint8)
    >>> result = compare(photo, photo + np.uint8(2))
    >>> result.pixels, result.mse, round(result.psnr, 2), result.ciede2000_mean
    (4, 4.0, 42.11, 0.46175)
    """
    first, second = (_opened(image, reading) for image in (a, b))
    first, second, channels = _alike(first, second)
    _log.info(
        "comparing %d x %d pixels in %d blocks of %d x %d",
        *(first.shape[1], first.shape[0], first.npartitions),
        *(first.chunksize[1], first.chunksize[0]),
    )
    total = measure_differences(first, second, channels)
    planned = dask.delayed(_result, pure=False, traverse=False)(total, channels)
    result: Comparison = compute(planned)[0]
    if not result.pixels:
        raise InputError(
            f"every pixel is masked in {_name(first, 'a')} or in {_name(second, 'b')}: "
            "there is nothing to compare"
        )
    return result


def _opened(image: Any, reading: dict[str, Any]) -> Image:
    if isinstance(image, QuantizedImage):
        image = image.image
    return open_image(image, **reading)


def _name(image: Image, letter: str) -> str:
    return image.source.path or f"array {letter}"


def _alike(first: Image, second: Image) -> tuple[Image, Image, int]:
    """Bring images to one number of colours; other sizes and types are refused."""
    names = _name(first, "a"), _name(second, "b")
    for name, image in zip(names, (first, second), strict=True):
        if image.dtype != np.uint8:
            raise InputError(
                f"{name}: has pixels of {image.dtype}, and only uint8 can be compared: convert "
                "it, e.g. gdal_translate -ot Byte -scale, or image.astype('uint8')"
            )
        if image.channels not in (1, 3):
            raise InputError(
                f"{name}: has {image.channels} bands, and gray or RGB can be compared: choose "
                "one or three, e.g. --bands 3,2,1 (bands=(3, 2, 1))"
            )
    if first.shape[:2] != second.shape[:2]:
        raise InputError(
            f"{names[0]} is {first.shape[1]} x {first.shape[0]} pixels, {names[1]} "
            f"{second.shape[1]} x {second.shape[0]}: only images of one size can be compared"
        )
    channels = [image.channels for image in (first, second)]
    if channels == [1, 3]:
        first = first.as_rgb()
    elif channels == [3, 1]:
        second = second.as_rgb()
    return first, second, max(channels)


def measure_differences(first: da.Array, second: da.Array, channels: int) -> Delayed:
    """Plan to measure the differences of two images, each block of both read once.

    Parameters
    ----------
    first, second : dask.array.Array, (y, x, channels [+ alpha]), uint8
        Of one height and width; the second is brought to the chunks of the first.
    channels : int
        1 or 3.

    Returns
    -------
    Delayed
        Of the `Differences`. Nothing is read before it is computed.
    """
    first = first.rechunk({2: -1})
    second = second.rechunk((*first.chunks[:2], -1))
    parts = da.blockwise(
        *(measure_block, "yx", first, "yxa", second, "yxb"),
        channels=channels,
        token="compare-block",
        dtype=object,
        meta=np.empty((0, 0), object),
        align_arrays=False,
    )
    return merge_tree(parts.to_delayed().ravel().tolist(), Differences.merge)


def measure_block(
    first: list[NDArray[np.uint8]], second: list[NDArray[np.uint8]], channels: int
) -> Differences:
    """Measure one block of both images, each in a list of its one chunk of channels."""
    return Differences.create(channels).add(first[0], second[0])


def _result(total: Differences, channels: int) -> Comparison:
    """Sum up where the pixels are; only this travels."""
    pixels = total.pixels
    mse = total.squares / max(1, pixels)
    in_first, in_second, _ = total.masked.tolist()
    return Comparison(
        pixels=pixels,
        masked=int(total.masked.sum()),
        masked_in_one=(in_first, in_second),
        mse=mse,
        psnr=psnr(mse, channels),
        ciede2000_mean=total.mean if pixels else 0.0,
        ciede2000_p95=total.quantile(95),
        distinct_colors=(total.first.n_colors, total.second.n_colors),
    )
