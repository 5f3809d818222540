"""In memory: a photo with sensor noise, all of it in an array, beside the peers."""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Quantize

from bigquant.samples import sample_image

from . import peers
from .report import Row
from .timing import take_turns

TITLE = "In memory"
NOTES = (
    "The sample photo enlarged, with sensor noise; k=32. From the array of pixels to colours and "
    "a label for every pixel. MSE is of the colours as written, in 8 bits. dask-ml's own fit has "
    "one megapixel only."
)
K = 32
_FAST = {
    "bigquant": peers.ours,
    "Pillow FASTOCTREE": peers.pillow(Quantize.FASTOCTREE),
    "Pillow MEDIANCUT": peers.pillow(Quantize.MEDIANCUT),
    "scikit-learn, 100,000 pixels": peers.sklearn_on_a_sample,
}
_SLOW = {"scikit-learn, histogram": peers.sklearn_on_the_histogram}
_SMALL = {"bigquant, 1 MP": peers.ours, "dask-ml, 1 MP": peers.dask_ml_itself}


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on images of `scale` times the size; `folder` is not needed."""
    del folder
    rows: list[Row] = []
    for contenders, megapixels, rounds in ((_FAST, 48, 3), (_SLOW, 48, 1), (_SMALL, 1, 1)):
        pixels = sample_image("china", megapixels * scale).compute()
        small = pixels[:64, :64].copy()
        for prepare in contenders.values():
            prepare(small, 2)()  # imports, compiles
        running = {name: prepare(pixels, K) for name, prepare in contenders.items()}
        for name, timed in take_turns(running, rounds).items():
            n_pixels = pixels.shape[0] * pixels.shape[1]
            rows.append(
                {
                    "": name,
                    "megapixels": n_pixels / 1e6,
                    "seconds": timed.seconds,
                    "ns per pixel": timed.seconds / n_pixels * 1e9,
                    "MSE": peers.mean_squared_error(pixels, timed.result),
                }
            )
    octree = next(row["ns per pixel"] for row in rows if row[""] == "Pillow FASTOCTREE")
    return [{**row, "time / FASTOCTREE": row["ns per pixel"] / octree} for row in rows]
