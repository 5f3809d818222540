"""File to file: a fit beside its floor, the same file decoded twice and the output encoded once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

import bigquant
from bigquant.samples import sample_image
from bigquant.zarr_shard import encode_shard

from .report import Row
from .timing import take_turns

TITLE = "File to file"
NOTES = (
    "A tiled TIFF to OME-Zarr with its pyramid; k=32; threads. The floor: the blocks of the file "
    "decoded twice, and the arrays of the output, out of memory, encoded once by zarr (zstd 3, the "
    "same chunks and shards) and written. Our own encoding is faster than zarr's: `own encode` is "
    "it alone, and `own floor` the floor with it. `tifffile` is its own decoding of the tiles, "
    "twice, with as many threads, to show that the decoding is none of our making."
)
K = 32
_THREADS = 2
_COMPRESSIONS: dict[str, dict[str, Any]] = {
    "zstd": {"compression": "zstd", "predictor": True},
    "deflate": {"compression": "zlib", "predictor": True},
    "JPEG": {"compression": "jpeg", "compressionargs": {"level": 90}},
}


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them in `folder`, on images of `scale` times 400 megapixels."""
    rows: list[Row] = []
    pixels = sample_image("china", 400 * scale).compute(scheduler="threads")
    for compression, options in _COMPRESSIONS.items():
        path = folder / f"{compression}.tif"
        tifffile.imwrite(
            path, pixels, tile=(512, 512), photometric="rgb", maxworkers=_THREADS, **options
        )
    n_pixels = pixels.shape[0] * pixels.shape[1]
    del pixels
    with dask.config.set(scheduler="threads", num_workers=_THREADS):
        for compression, content in itertools.product(_COMPRESSIONS, ("labels", "both")):
            figures = _compare(folder / f"{compression}.tif", content, n_pixels)
            rows.append({"": f"{compression}, {content}", "megapixels": n_pixels / 1e6, **figures})
    return rows


def _compare(path: Path, content: str, n_pixels: int) -> Row:
    output = path.with_name("out.zarr")
    _fit(path, output, content)
    contenders: dict[str, Callable[[], Any]] = {
        "fit": lambda: _fit(path, output, content),
        "decode": lambda: _decode(path),
        "encode": _encoding(output, path.with_name("floor.zarr")),
        "own encode": _own_encoding(output, path.with_name("floor")),
        "tifffile": lambda: _decode_by_tifffile(path),
    }
    timed = take_turns(contenders, rounds=3)
    seconds = {name: each.seconds for name, each in timed.items()}
    return {
        "total s": seconds["fit"],
        **{f"{stage} s": spent for stage, spent in timed["fit"].result.items()},
        "ns per pixel": seconds["fit"] / n_pixels * 1e9,
        "decode twice s": 2 * seconds["decode"],
        "encode s": seconds["encode"],
        "own encode s": seconds["own encode"],
        "total / floor": seconds["fit"] / (2 * seconds["decode"] + seconds["encode"]),
        "total / own floor": seconds["fit"] / (2 * seconds["decode"] + seconds["own encode"]),
        "tifffile twice s": 2 * seconds["tifffile"],
    }


def _fit(path: Path, output: Path, content: str) -> dict[str, float]:
    result = bigquant.quantize(bigquant.open_image(path), K)
    start = time.perf_counter()
    result.to_zarr(output, content=content, overwrite=True)
    return {**result.seconds, "write": time.perf_counter() - start}


def _decode(path: Path) -> None:
    """Decode all blocks, as the fit reads them, and drop them."""
    image = bigquant.open_image(path)
    image.map_blocks(_drop, dtype=np.uint8, chunks=(1, 1, 1), meta=np.empty((0, 0, 0))).compute()


def _drop(_: NDArray[Any]) -> NDArray[Any]:
    return np.zeros((1, 1, 1), np.uint8)


def _decode_by_tifffile(path: Path) -> None:
    with tifffile.TiffFile(path) as tif:
        for _ in tif.pages.first.segments(maxworkers=_THREADS):
            pass


def _arrays(output: Path) -> dict[str, zarr.Array[Any]]:
    members = zarr.open_group(output, mode="r").members(max_depth=None)
    return {str(path): array for path, array in members if isinstance(array, zarr.Array)}


def _own_encoding(output: Path, folder: Path) -> Callable[[], None]:
    """Load an output, and plan to encode and write its shards as a fit does, and nothing else."""
    arrays = _arrays(output)
    # colours as a fit has them: the channels of a pixel side by side
    loaded = {
        name: np.ascontiguousarray(np.moveaxis(pixels, 0, 2) if pixels.ndim == 3 else pixels)
        for name, pixels in ((name, np.asarray(array[:])) for name, array in arrays.items())
    }
    folder.mkdir(exist_ok=True)

    def write(name: str, number: int, place: tuple[slice, ...], array: zarr.Array[Any]) -> None:
        inner, shard = array.chunks[-2:], (array.shards or array.chunks)[-2:]
        pieces = encode_shard(loaded[name][place[-2:]], inner, shard)  # type: ignore[arg-type]
        (folder / f"{name.replace('/', '-')}-{number}").write_bytes(b"".join(pieces))

    def encode() -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            jobs = [
                threads.submit(write, name, number, place, array)
                for name, array in arrays.items()
                for number, place in enumerate(_shards(array))
            ]
            for job in jobs:
                job.result()

    return encode


def _encoding(output: Path, copy: Path) -> Callable[[], None]:
    """Load an output, and plan to write its arrays once more."""
    arrays = _arrays(output)
    loaded = {name: np.asarray(array[:]) for name, array in arrays.items()}

    def encode() -> None:
        written = zarr.open_group(copy, mode="w")
        with ThreadPoolExecutor(_THREADS) as threads:
            jobs = []
            for name, array in arrays.items():
                target = written.create_array(
                    name,
                    shape=array.shape,
                    dtype=array.dtype,
                    chunks=array.chunks,
                    shards=array.shards,
                    filters=array.filters,
                    compressors=array.compressors,
                    config={"write_empty_chunks": True},
                )
                for place in _shards(array):
                    jobs.append(threads.submit(target.__setitem__, place, loaded[name][place]))
            for job in jobs:
                job.result()

    return encode


def _shards(array: zarr.Array[Any]) -> Iterator[tuple[slice, ...]]:
    """List the places of an array's shards."""
    sides = list(zip(array.shape, array.shards or array.chunks, strict=True))
    starts = itertools.product(*(range(0, length, step) for length, step in sides))
    for corner in starts:
        yield tuple(slice(i, i + step) for i, (_, step) in zip(corner, sides, strict=True))
