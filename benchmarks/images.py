"""Pictures of several kinds: a photo with sensor noise or as it is, a slide, a flat graphic."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from bigquant.samples import sample_image

Pixels = NDArray[np.uint8]


def photo(megapixels: float) -> Pixels:
    """Enlarge the sample photo, with sensor noise: nearly every pixel has a colour of its own."""
    pixels: Pixels = sample_image("china", megapixels).compute(scheduler="threads")
    return pixels


def tiled(name: str, megapixels: float) -> Pixels:
    """Lay a photo of scikit-learn's (0.27 megapixels) side by side with itself, as it is."""
    pixels: Pixels = load_sample_image(f"{name}.jpg")
    times = max(1, round(math.sqrt(megapixels * 1e6 / (pixels.size / 3))))
    return np.tile(pixels, (times, times, 1))


def slide(megapixels: float) -> Pixels:
    """Lay a part of a photo, as tissue, on a large background that is nearly white."""
    pixels: Pixels = sample_image("flower", megapixels).compute(scheduler="threads")
    height, width, _ = pixels.shape
    y, x = np.ogrid[:height, :width]
    outside = ((y / height - 0.5) / 0.25) ** 2 + ((x / width - 0.4) / 0.3) ** 2 > 1
    background = np.random.default_rng(0).integers(241, 245, (height, width), dtype=np.uint8)
    pixels[outside] = background[outside][:, None]
    return pixels


def graphic(megapixels: float) -> Pixels:
    """Draw a map of 300 flat areas with smooth borders."""
    side = round(math.sqrt(megapixels * 1e6))
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (side * 2, side * 2), (250, 250, 240))
    draw = ImageDraw.Draw(image)
    for _ in range(300):
        x, y, w, h = rng.random(4) * [1.8, 1.8, 0.5, 0.5] * side
        draw.ellipse([x, y, x + w, y + h], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def write_sparse(path: Path, gigapixels: float) -> None:
    """Write a TIFF of so many pixels, none of which is there: empty tiles, read as black."""
    side = max(1, round(math.sqrt(gigapixels * 1e9) / 512)) * 512
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(
            (b"" for _ in range((side // 512) ** 2)),
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(512, 512),
            compression="deflate",
            photometric="rgb",
        )
