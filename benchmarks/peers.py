"""Other ways to bring an image to k colours: pixels -> colours (k, 3) and a label per pixel.

Each does it as its users would, with the work that is no part of it (a copy into the
library's own image, say) done before.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import dask
import dask.array as da
import dask_ml.cluster
import faiss
import imagequant
import numpy as np
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from sklearn.cluster import KMeans, MiniBatchKMeans

import bigquant

from .images import Pixels

Result = tuple[NDArray[Any], NDArray[Any]]
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
        sample = rows[np.random.default_rng(0).integers(0, len(rows), _SAMPLE)]
        model = KMeans(k, random_state=0).fit(sample.astype(np.float32))
        return model.cluster_centers_, _in_slices(model.predict, pixels)

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


def _in_slices(predict: Callable[[NDArray[np.float32]], NDArray[Any]], pixels: Pixels) -> Any:
    """Label all pixels, some at a time, to save memory."""
    rows = pixels.reshape(-1, 3)
    parts = range(0, len(rows), _SLICE)
    labels = [predict(rows[start : start + _SLICE].astype(np.float32)) for start in parts]
    return np.concatenate(labels).reshape(pixels.shape[:2])


def sklearn_on_all(pixels: Pixels, k: int) -> Callable[[], Result]:
    """scikit-learn's KMeans on all pixels."""
    rows = pixels.reshape(-1, 3).astype(np.float32)

    def run() -> Result:
        model = KMeans(k, random_state=0).fit(rows)
        return model.cluster_centers_, model.labels_.reshape(pixels.shape[:2])

    return run


def sklearn_in_batches(pixels: Pixels, k: int) -> Callable[[], Result]:
    """scikit-learn's MiniBatchKMeans on all pixels."""
    rows = pixels.reshape(-1, 3).astype(np.float32)

    def run() -> Result:
        model = MiniBatchKMeans(k, random_state=0, compute_labels=False).fit(rows)
        return model.cluster_centers_, _in_slices(model.predict, pixels)

    return run


def faiss_kmeans(pixels: Pixels, k: int) -> Callable[[], Result]:
    """faiss, which fits a sample of 256 pixels for every colour."""
    rows = pixels.reshape(-1, 3).astype(np.float32)

    def run() -> Result:
        model = faiss.Kmeans(3, k, niter=25, seed=0)
        model.train(rows)
        labels = _in_slices(lambda part: model.index.search(part, 1)[1][:, 0], pixels)
        return np.asarray(model.centroids), labels

    return run


def opencv(pixels: Pixels, k: int) -> Callable[[], Result]:
    """OpenCV's kmeans on all pixels, with its tutorial's criteria and one attempt."""
    rows = pixels.reshape(-1, 3).astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)

    def run() -> Result:
        cv2.setRNGSeed(0)
        _, labels, centers = cv2.kmeans(rows, k, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
        return centers, labels.reshape(pixels.shape[:2])

    return run


def libimagequant(pixels: Pixels, k: int) -> Callable[[], Result]:
    """libimagequant, which pngquant uses, without dithering."""
    height, width, _ = pixels.shape
    data = np.dstack([pixels, np.full((height, width), 255, np.uint8)]).tobytes()

    def run() -> Result:
        labels, palette = imagequant.quantize_raw_rgba_bytes(data, width, height, 0.0, k)
        colors = np.array(palette, np.uint8).reshape(-1, 4)[:, :3]
        return colors, np.frombuffer(labels, np.uint8).reshape(height, width)

    return run


def libvips(pixels: Pixels, k: int) -> Callable[[], Result]:
    """libvips, which quantizes when it saves a PNG: to 256 colours, and with encoding it."""
    del k
    image = pyvips.Image.new_from_array(pixels)

    def run() -> Result:
        data = image.pngsave_buffer(palette=True, bitdepth=8, dither=0, compression=1)
        Image.MAX_IMAGE_PIXELS = None
        saved = Image.open(io.BytesIO(data))
        return np.array(saved.getpalette(), np.uint8).reshape(-1, 3), np.asarray(saved)

    return run


def gdal(pixels: Pixels, k: int) -> Callable[[], Result]:
    """GDAL's rgb2pct.py, which dithers: from file to file."""
    folder = tempfile.TemporaryDirectory()
    source, target = Path(folder.name, "in.tif"), Path(folder.name, "out.tif")
    tifffile.imwrite(source, pixels, photometric="rgb", tile=(512, 512))

    command = ["rgb2pct.py", "-n", str(k), str(source), str(target)]

    def run() -> Result:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with tifffile.TiffFile(target) as tif:
            page = tif.pages.first
            return (page.colormap >> 8).T, page.asarray()

    run.folder = folder  # type: ignore[attr-defined] # which lasts as long as the function
    return run


def is_installed(program: str) -> bool:
    """Whether a program is on the path."""
    return shutil.which(program) is not None


def mean_squared_error(pixels: Pixels, result: Result) -> float:
    """Mean over the pixels of the squared distance to their colours, as written in 8 bits."""
    colors = np.rint(np.asarray(result[0], np.float64)).astype(np.int32)
    total = 0
    for start in range(0, len(pixels), 256):
        rows = slice(start, start + 256)
        total += int(np.square(pixels[rows] - colors[result[1][rows]]).sum(dtype=np.int64))
    return total / float(pixels.size // 3)


def mean_color_difference(pixels: Pixels, result: Result) -> float:
    """Mean CIEDE2000 of a hundred thousand pixels and their colours."""
    picks = np.random.default_rng(0).integers(0, pixels.size // 3, 100_000)
    colors = np.rint(np.asarray(result[0], np.float64)).astype(np.uint8)
    before, after = pixels.reshape(-1, 3)[picks], colors[result[1].reshape(-1)[picks]]
    return float(deltaE_ciede2000(rgb2lab(before), rgb2lab(after)).mean())
