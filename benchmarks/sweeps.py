"""A sweep over k: its cost beside that of one fit, its errors beside fresh fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

import bigquant
from bigquant.nearest import assign

from .report import Row
from .timing import run_program, take_turns

TITLE = "Sweep"
NOTES = (
    "Counting and fitting for every k from 2 to 32, beside the same for k=32 alone; a deflate "
    "TIFF, threads. The errors, on photos of scikit-learn: the worst of all k, over that of its "
    "KMeans with `n_init=10` on the distinct colours, the centres rounded to 8 bits as well."
)
_KS = range(2, 33)
_PHOTOS = ("china", "flower")


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them in `folder`, on an image of `scale` times 400 megapixels."""
    path = str(folder / "photo.tif")
    run_program("-m", "bigquant", "sample", path, "--megapixels", str(400 * scale), "--quiet")
    image = bigquant.open_image(path)
    with dask.config.set(scheduler="threads"):
        contenders: dict[str, Callable[[], object]] = {
            "fit": lambda: bigquant.quantize(image, _KS[-1]),
            "sweep": lambda: bigquant.sweep(image, _KS),
        }
        take_turns(contenders, 1)  # compiles
        timed = take_turns(contenders, 3)
    fit, sweep = timed["fit"].seconds, timed["sweep"].seconds
    none = {"fit s": None, "sweep s": None, "times": None}
    cost = {"fit s": fit, "sweep s": sweep, "times": sweep / fit, "worst MSE ratio": None}
    errors = [{"": name, **none, "worst MSE ratio": _worst(name)} for name in _PHOTOS]
    return [{"": f"photo, {400 * scale:g} MP", **cost}, *errors]


def _worst(name: str) -> float:
    pixels = load_sample_image(f"{name}.jpg")
    histogram = bigquant.color_histogram(pixels)
    colors, counts = histogram.colors.astype(np.float64), histogram.counts
    ratios = []
    for k, palette in zip(_KS, bigquant.sweep(pixels, _KS).palettes, strict=True):
        model = KMeans(k, n_init=10, random_state=0).fit(colors, sample_weight=counts)
        _, distances = assign(colors, np.rint(model.cluster_centers_))
        ratios.append(palette.inertia / (counts * distances).sum())
    return float(max(ratios))
