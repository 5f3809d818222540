"""One megapixel beside dask-ml's own k-means, by kind of picture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from . import images, in_memory, peers
from .report import Row

TITLE = "One megapixel"
NOTES = (
    "Labels and colours, k=32, warm. dask-ml's own k-means runs once, bigquant seven times, of "
    "which the best counts. How many iterations dask-ml takes is a matter of the picture: china "
    "and flower are scikit-learn's photos, laid four times side by side; the others are those of "
    "the next section, of which the photo has sensor noise, and so a colour for every other pixel."
)
_KINDS: dict[str, Callable[[float], images.Pixels]] = {
    "china": functools.partial(images.tiled, "china"),
    "flower": functools.partial(images.tiled, "flower"),
    "photo": images.photo,
    "slide": images.slide,
    "graphic": images.graphic,
}


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on images of `scale` times the size; `folder` is not needed."""
    del folder
    rows: list[Row] = []
    for kind, make in _KINDS.items():
        pixels = make(scale)
        (ours,) = in_memory.compare(in_memory.OURS, pixels, 32, 7)
        (theirs,) = in_memory.compare({"dask-ml": peers.dask_ml_itself}, pixels, 32, 1)
        row = {
            "": kind,
            "bigquant ms": 1e3 * ours["seconds"],
            "dask-ml s": theirs["seconds"],
            "times": theirs["seconds"] / ours["seconds"],
            "MSE": ours["MSE"],
            "MSE of dask-ml": theirs["MSE"],
        }
        rows.append(row)
    return rows
