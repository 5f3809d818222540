"""The engine alone: a fit to a histogram, beside scikit-learn's weighted KMeans."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.cluster import KMeans

import bigquant
from bigquant import ColorHistogram

from . import images
from .report import Row
from .timing import take_turns

TITLE = "The engine"
NOTES = (
    "Fits to histograms; inertia in float centres, over that of scikit-learn. The large photo: as "
    "many restarts in both, ten for k=32, one for k=256. The others: ten restarts in "
    "scikit-learn, the default here; photos of the Kodak set where BENCHMARK_PHOTOS names their "
    "folder, else those of scikit-learn."
)


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them; `folder` is not needed."""
    del folder
    bigquant.KMeans(4).fit_histogram(_histogram(images.photo(0.05)))
    large = _histogram(images.photo(48 * scale))
    rows = [_compare("photo, 48 MP", large, k, n, n) for k, n in ((32, 10), (256, 1))]
    named = os.environ.get("BENCHMARK_PHOTOS")
    if named:
        paths = sorted(Path(named).glob("*.png"))
        photos = {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in paths}
    else:
        from sklearn.datasets import load_sample_image  # noqa: PLC0415

        photos = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    step = max(1, round(scale**-0.5))
    photos = {name: pixels[::step, ::step] for name, pixels in photos.items()}
    for k in (8, 32, 256):
        rows += [
            _compare(name, _histogram(pixels), k, "auto", 10) for name, pixels in photos.items()
        ]
    return rows


def _histogram(pixels: images.Pixels) -> ColorHistogram:
    return ColorHistogram.create(3).add(pixels)


def _compare(name: str, histogram: ColorHistogram, k: int, restarts: str | int, n_init: int) -> Row:
    colors, counts = histogram.colors.astype(np.float64), histogram.counts

    def ours() -> float:
        fresh = ColorHistogram(histogram.colors, counts)  # without the tree of the last time
        model = bigquant.KMeans(k, n_init=restarts, random_state=0).fit_histogram(fresh)
        return float(model.inertia_)

    def theirs() -> float:
        model = KMeans(k, n_init=n_init, random_state=0).fit(colors, sample_weight=counts)
        return float(model.inertia_)

    timed = take_turns({"ours": ours}, 3) | take_turns({"theirs": theirs}, 1)
    return {
        "": f"{name}, k={k}",
        "colors": histogram.n_colors,
        "seconds": timed["ours"].seconds,
        "scikit-learn s": timed["theirs"].seconds,
        "times faster": timed["theirs"].seconds / timed["ours"].seconds,
        "inertia ratio": timed["ours"].result / timed["theirs"].result,
    }
