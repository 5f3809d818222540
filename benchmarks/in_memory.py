"""In memory: pictures that are arrays, beside the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Quantize

from . import images, peers
from .report import Row
from .timing import take_turns

TITLE = "In memory"
NOTES = (
    "From the array of pixels to colours and a label for every pixel. MSE is of the colours as "
    "written, in 8 bits; dE is the mean CIEDE2000. The slow ones have a smaller photo."
)
_Peers = Mapping[str, Callable[[images.Pixels, int], Callable[[], peers.Result]]]

OURS: _Peers = {"bigquant": peers.ours}
QUICK: _Peers = {
    "Pillow FASTOCTREE": peers.pillow(Quantize.FASTOCTREE),
    "scikit-learn, 100,000 pixels": peers.sklearn_on_a_sample,
    "faiss": peers.faiss_kmeans,
    "Pillow MEDIANCUT": peers.pillow(Quantize.MEDIANCUT),
    "libimagequant": peers.libimagequant,
}
TO_256: _Peers = {"libvips, saving a PNG": peers.libvips}
_HEAVY: _Peers = {"scikit-learn, histogram": peers.sklearn_on_the_histogram}
_GDAL: _Peers = {"GDAL rgb2pct, file to file": peers.gdal}
_SLOW: _Peers = {
    "scikit-learn MiniBatch": peers.sklearn_in_batches,
    "scikit-learn, all pixels": peers.sklearn_on_all,
    "OpenCV": peers.opencv,
}
#: Contenders of a round, megapixels, rounds.
_PLAN = (
    ({**OURS, "Pillow FASTOCTREE": QUICK["Pillow FASTOCTREE"]}, 48, 5),
    ({name: peer for name, peer in QUICK.items() if name != "Pillow FASTOCTREE"}, 48, 1),
    (_HEAVY, 48, 1),
    (_GDAL if peers.is_installed("rgb2pct.py") else {}, 48, 1),
    ({**OURS, **_SLOW}, 4, 1),
)


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on images of `scale` times the size; `folder` is not needed."""
    del folder
    rows: list[Row] = []
    for contenders, megapixels, rounds in _PLAN:
        pixels = images.photo(megapixels * scale)
        rows += compare(contenders, pixels, 32, rounds)
    octree = next(row["ns per pixel"] for row in rows if row[""] == "Pillow FASTOCTREE")
    return [{**row, "time / FASTOCTREE": row["ns per pixel"] / octree} for row in rows]


def compare(contenders: _Peers, pixels: images.Pixels, k: int, rounds: int) -> list[Row]:
    """Time contenders on one image."""
    small = images.photo(0.05)
    for prepare in contenders.values():
        prepare(small, 2)()  # imports, compiles
    running: dict[str, Callable[[], Any]] = {
        name: prepare(pixels, k) for name, prepare in contenders.items()
    }
    n_pixels = pixels.shape[0] * pixels.shape[1]
    return [
        {
            "": name,
            "megapixels": n_pixels / 1e6,
            "seconds": timed.seconds,
            "ns per pixel": timed.seconds / n_pixels * 1e9,
            "MSE": peers.mean_squared_error(pixels, timed.result),
            "dE": peers.mean_color_difference(pixels, timed.result),
        }
        for name, timed in take_turns(running, rounds).items()
    ]
