"""Scenes beyond 8-bit RGB, of any size: what cameras, microscopes and satellites give.

All are made of a photo: enlarged, with noise that follows from the place of a value, so that a
scene is the same for any chunks, and is never held.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from bigquant.samples import enlarge
from bigquant.tiling import plan_tiles

_TILE = 512
#: Standard deviation of the noise, where the greatest value is 1: that of the sample photos.
_NOISE = 4 / 255
#: Where a scene lies: its upper left corner and the side of a pixel, in metres of UTM zone 50N.
_CORNER, _METRES, _EPSG = (500_000.0, 3_320_000.0), 10.0, 32650


@dataclass(frozen=True)
class Scene:
    """What is to be seen, and how it is stored.

    Parameters
    ----------
    bands : int
        1 to 3 are a photo's red, green and blue, 4 is near infrared; of more bands, each is a
        mixture of these and a field that rises and falls slowly.
    dtype : str
    most : float
        The greatest value; the least is 0.
    has_sea : bool
        Whether a part is NaN.
    """

    bands: int
    dtype: str
    most: float
    has_sea: bool = False


SCENES = {
    "rgb16": Scene(3, "uint16", 65535),
    "rgb12": Scene(3, "uint16", 4095),
    "rgbn8": Scene(4, "uint8", 255),
    "rgbn-float": Scene(4, "float32", 1, has_sea=True),
    "6-uint16": Scene(6, "uint16", 10_000),
    "6-float": Scene(6, "float32", 1),
    "13-uint16": Scene(13, "uint16", 10_000),
    "13-float": Scene(13, "float32", 1),
}


def scene(name: str, megapixels: float, block: tuple[int, int] | None = None) -> da.Array:
    """Plan a scene (y, x, band), in blocks of this height and width if they are given."""
    known = SCENES[name]
    height, width, _ = _photo().shape
    scale = math.sqrt(megapixels * 1e6 / (height * width))
    shape = max(1, round(height * scale)), max(1, round(width * scale)), known.bands
    depth = known.bands * np.dtype(known.dtype).itemsize
    sides = block or plan_tiles((*shape[:2], depth), (_TILE, _TILE))
    return da.map_blocks(
        _make_block,
        which=name,
        size=shape[:2],
        chunks=da.core.normalize_chunks((*sides, known.bands), shape),
        dtype=known.dtype,
        meta=np.empty((0, 0, 0), known.dtype),
    )


def write_scene(
    path: Path, name: str, megapixels: float, compression: str | None = "deflate"
) -> da.Array:
    """Write a scene as a tiled GeoTIFF, a row of tiles at a time, and return its plan."""
    known, image = SCENES[name], scene(name, megapixels)
    is_photo = known.bands <= 4 and not known.has_sea
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(
            _tiles(scene(name, megapixels, (_TILE, _TILE))),
            shape=image.shape,
            dtype=image.dtype,
            tile=(_TILE, _TILE),
            compression=compression,
            compressionargs={"level": 1} if compression else None,
            photometric="rgb" if is_photo else "minisblack",
            planarconfig="contig",
            extrasamples=["unspecified"] * (known.bands - (3 if is_photo else 1)),
            extratags=_geotags(),
            metadata=None,
        )
    return image


def _tiles(image: da.Array) -> Iterator[NDArray[Any]]:
    for row in range(image.numblocks[0]):
        pixels = image.blocks[row].compute(scheduler="threads")
        for left in range(0, pixels.shape[1], _TILE):
            yield np.ascontiguousarray(pixels[:, left : left + _TILE])


def _geotags() -> list[tuple[Any, ...]]:
    """Place an image: the scale and a tie point, and the keys of a projected system."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, _EPSG)
    return [
        (33550, "d", 3, (_METRES, _METRES, 0.0)),
        (33922, "d", 6, (0.0, 0.0, 0.0, *_CORNER, 0.0)),
        (34735, "H", len(keys), keys),
    ]


def _make_block(which: str, size: tuple[int, int], block_info: Any = None) -> NDArray[Any]:
    (top, bottom), (left, right), _ = block_info[None]["array-location"]
    known = SCENES[which]
    block = np.empty((bottom - top, right - left, known.bands), known.dtype)
    whole = block.dtype.kind == "u"
    enlarge(_small(which), size, (top, left), _NOISE * known.most, known.most, whole, block)
    return block


@functools.lru_cache(maxsize=2)
def _small(name: str) -> NDArray[np.float64]:
    """Make a scene as large as the photo, without noise."""
    known = SCENES[name]
    bands = _near_infrared_added(_photo())
    bands = bands[..., : known.bands] if known.bands <= 4 else _mixed(bands, known.bands)
    if known.has_sea:
        bands[_sea(bands.shape[:2])] = np.nan
    return np.ascontiguousarray(bands * known.most)


@functools.cache
def _photo() -> NDArray[np.float64]:
    photo: NDArray[np.float64] = load_sample_image("china.jpg") / 255.0
    return photo


def _near_infrared_added(photo: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add a band in which leaves are bright, and water and sky are dark."""
    red, green, blue = np.moveaxis(photo, 2, 0)
    leaves = np.maximum(green - np.maximum(red, blue), 0)
    sky = np.maximum(blue - red, 0)
    infrared = 0.6 * photo.mean(axis=2) + 8 * leaves - 0.8 * sky
    return np.dstack([photo, np.clip(infrared, 0, 1)])


def _mixed(bands: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mix four bands to so many, each with a slow field of its own: a tenth of its values."""
    rng = np.random.default_rng(n)
    weights = rng.dirichlet(np.ones(bands.shape[2]), n)
    y, x = np.ogrid[0 : 1 : bands.shape[0] * 1j, 0 : 1 : bands.shape[1] * 1j]
    waves, phases = rng.uniform(1, 6, (n, 2)), rng.uniform(0, 2 * np.pi, n)
    fields = [
        0.5 + 0.5 * np.sin(across * x + down * y + phase)
        for (down, across), phase in zip(waves, phases, strict=True)
    ]
    mixed: NDArray[np.float64] = 0.9 * (bands @ weights.T) + 0.1 * np.dstack(fields)
    return mixed


def _sea(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Lay a sea along the left side, with bays: about a fifth of the scene."""
    y, x = np.ogrid[: size[0], : size[1]]
    coast = 0.2 + 0.06 * np.sin(14 * y / size[0]) + 0.03 * np.sin(43 * y / size[0])
    sea: NDArray[np.bool_] = x < coast * size[1]
    return sea
