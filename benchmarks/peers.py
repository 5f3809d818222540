"""Other ways to bring an image to k colours: pixels -> colours (k, 3) and a label per pixel.

Each does it as its users would, with the work that is no part of it (a copy into the
library's own image, say) done before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import dask_ml.cluster
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

import bigquant

Result = tuple[NDArray[Any], NDArray[Any]]
Pixels = NDArray[np.uint8]
_SAMPLE = 100_000
_SLICE = 1 << 22


def ours(pixels: Pixels, k: int) -> Callable[[], Result]:
    """`quantize`, labels computed."""

    def run() -> Result:
        with dask.config.set(scheduler="threads"):
            result = bigquant.quantize(pixels, k)
            return result.palette.colors, result.labels.compute()

    return run


def pillow(method: Image.Quantize) -> Callable[[Pixels, int], Callable[[], Result]]:
    """One of Pillow's methods, without dithering."""

    def prepare(pixels: Pixels, k: int) -> Callable[[], Result]:
        image = Image.fromarray(pixels)

        def run() -> Result:
            quantized = image.quantize(k, method=method, dither=Image.Dither.NONE)
            colors = np.array(quantized.getpalette(), np.uint8).reshape(-1, 3)
            return colors, np.asarray(quantized)

        return run

    return prepare


def sklearn_on_a_sample(pixels: Pixels, k: int) -> Callable[[], Result]:
    """scikit-learn's example: fit 100,000 pixels, predict all; by slices, to save memory."""

    def run() -> Result:
        rows = pixels.reshape(-1, 3)
        rng = np.random.default_rng(0)
        sample = rows[rng.integers(0, len(rows), _SAMPLE)].astype(np.float32)
        model = KMeans(k, random_state=0).fit(sample)
        labels = [
            model.predict(rows[start : start + _SLICE].astype(np.float32))
            for start in range(0, len(rows), _SLICE)
        ]
        return model.cluster_centers_, np.concatenate(labels).reshape(pixels.shape[:2])

    return run


def sklearn_on_the_histogram(pixels: Pixels, k: int) -> Callable[[], Result]:
    """scikit-learn on the exact problem: distinct colours, counted by NumPy, as weights."""

    def run() -> Result:
        r, g, b = (pixels[..., channel].astype(np.uint32) for channel in range(3))
        codes, inverse, counts = np.unique(
            (r << 16) | (g << 8) | b, return_inverse=True, return_counts=True
        )
        colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
        model = KMeans(k, random_state=0).fit(colors.astype(np.float32), sample_weight=counts)
        return model.cluster_centers_, model.labels_[inverse].reshape(pixels.shape[:2])

    return run


def dask_ml_itself(pixels: Pixels, k: int) -> Callable[[], Result]:
    """dask-ml's KMeans as it stands, on the rows of pixels."""
    rows = da.from_array(pixels.reshape(-1, 3).astype(np.float32), chunks=(1 << 18, 3))

    def run() -> Result:
        model = dask_ml.cluster.KMeans(k, random_state=0).fit(rows)
        return model.cluster_centers_, model.labels_.compute().reshape(pixels.shape[:2])

    return run


def mean_squared_error(pixels: Pixels, result: Result) -> float:
    """Mean over the pixels of the squared distance to their colours, as written in 8 bits."""
    colors = np.rint(np.asarray(result[0], np.float64)).astype(np.int32)
    total = 0
    for start in range(0, len(pixels), 256):
        rows = slice(start, start + 256)
        total += int(np.square(pixels[rows] - colors[result[1][rows]]).sum(dtype=np.int64))
    return total / float(pixels.size // 3)
