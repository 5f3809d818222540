"""Beyond 8-bit RGB: 16 bits, near infrared, floats with a NaN sea, and many bands."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask_ml.cluster
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, kmeans_plusplus

import bigquant
from bigquant.nearest import assign

from . import scenes
from .report import Row
from .timing import run_watched, take_turns

TITLE = "Beyond 8-bit RGB"
NOTES = (
    "Of up to four bands, 100 megapixels in memory -> centres and a label for every pixel, beside "
    "scikit-learn's KMeans with `n_init=3`, fitted to one pixel of a hundred, a million. MSE is "
    "of the centres as they are, over all pixels, each with its nearest. `bigquant fit` is the "
    "whole program, from a tiled TIFF without compression to OME-Zarr with both contents. Of more "
    "bands, four million rows, k=8: `KMeans(algorithm='lloyd')` beside dask-ml's own fit, from "
    "the same start to convergence, which takes whole numbers as float32; no labels. How far the "
    "centres are apart is told in standard deviations of the band, at most."
)
_MEGAPIXELS, _FILE_K = 100, 32
_KS = {
    "rgb16": (8, 32, 256),
    "rgb12": (32,),
    "rgbn8": (8, 32, 256),
    "rgbn-float": (8, 32, 256),
}
_MIXTURES = ("6-uint16", "6-float", "13-uint16", "13-float")
_SAMPLED, _SLICE = 0.01, 1 << 20
_ROWS, _ROWS_K, _TOL = 4, 8, 1e-10
_NONE: Row = dict.fromkeys(
    (
        *("", "peer", "seconds", "peer s", "times faster", "MSE", "MSE ratio"),
        *("fit to file s", "peak MB", "iterations", "of peer", "centres apart"),
    )
)
_Fit = tuple[NDArray[np.float64], Any]


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on images of `scale` times the size; programs in `folder`."""
    rows: list[Row] = []
    for name, ks in _KS.items():
        pixels = _computed(name, _MEGAPIXELS * scale)
        for k in ks:
            rows.append(_NONE | {"": f"{name}, k={k}"} | _beside_sklearn(pixels, k))
            if k == _FILE_K:
                rows[-1] |= _file_to_file(name, _MEGAPIXELS * scale, folder)
    for name in _MIXTURES:
        pixels = _computed(name, _ROWS * scale)
        table = pixels.reshape(-1, pixels.shape[2])
        rows.append(_NONE | {"": f"{name}, k={_ROWS_K}"} | _beside_dask_ml(table))
    return rows


def _computed(name: str, megapixels: float) -> NDArray[Any]:
    pixels: NDArray[Any] = scenes.scene(name, megapixels).compute(scheduler="threads")
    return pixels


def _beside_sklearn(pixels: NDArray[Any], k: int) -> Row:
    small = np.ascontiguousarray(pixels[::8, ::8])
    for prepare in (_ours, _on_a_sample):
        prepare(small, 2)()  # imports, compiles
    timed = take_turns({"ours": _ours(pixels, k)}, 2)
    timed |= take_turns({"theirs": _on_a_sample(pixels, k)}, 1)
    ours, theirs = timed["ours"], timed["theirs"]
    mse = _mean_squared_error(pixels, ours.result[0])
    return {
        "peer": "scikit-learn, a hundredth",
        "seconds": ours.seconds,
        "peer s": theirs.seconds,
        "times faster": theirs.seconds / ours.seconds,
        "MSE": mse,
        "MSE ratio": mse / _mean_squared_error(pixels, theirs.result[0]),
    }


def _ours(pixels: NDArray[Any], k: int) -> Callable[[], _Fit]:
    bands = tuple(range(1, pixels.shape[2] + 1))

    def run() -> _Fit:
        with dask.config.set(scheduler="threads"):
            result = bigquant.quantize(pixels, k, bands=bands)
            return result.palette.centers, result.labels.compute()

    return run


def _on_a_sample(pixels: NDArray[Any], k: int) -> Callable[[], _Fit]:
    """scikit-learn on a hundredth of the pixels; all are labelled by slices, to save memory."""
    rows = pixels.reshape(-1, pixels.shape[2])

    def run() -> _Fit:
        picks = np.random.default_rng(0).integers(0, len(rows), round(_SAMPLED * len(rows)))
        model = KMeans(k, n_init=3, random_state=0).fit(_finite(rows[picks]).astype(np.float32))
        parts = (rows[start : start + _SLICE] for start in range(0, len(rows), _SLICE))
        labels = [model.predict(_finite(part).astype(np.float32)) for part in parts]
        return np.asarray(model.cluster_centers_, np.float64), labels

    return run


def _finite(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[np.isfinite(rows).all(axis=1)] if rows.dtype.kind == "f" else rows


def _mean_squared_error(pixels: NDArray[Any], centers: NDArray[np.float64]) -> float:
    """Mean over all pixels of the squared distance to the centre that is nearest."""
    rows = pixels.reshape(-1, pixels.shape[2])

    def measure_slice(start: int) -> tuple[float, int]:
        part = _finite(rows[start : start + _SLICE])
        return float(assign(part, centers)[1].sum()), len(part)

    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(measure_slice, range(0, len(rows), _SLICE)))
    return math.fsum(error for error, _ in parts) / sum(size for _, size in parts)


def _file_to_file(name: str, megapixels: float, folder: Path) -> Row:
    path, output = folder / f"{name}.tif", folder / "out.zarr"
    scenes.write_scene(path, name, megapixels, None)
    bands = ",".join(str(1 + band) for band in range(scenes.SCENES[name].bands))
    ran = run_watched(
        *("bigquant", "fit", str(path), "-o", str(output), "-k", str(_FILE_K)),
        *("--bands", bands, "--overwrite", "--json"),
    )
    path.unlink()
    return {"fit to file s": ran.seconds, "peak MB": (ran.peak or 0) / 1e6}


def _beside_dask_ml(table: NDArray[Any]) -> Row:
    """Fit rows from the same start; more of its iterations would move no centre."""
    sample = table[:: max(1, len(table) // 10_000)].astype(np.float64)
    start, _ = kmeans_plusplus(sample, _ROWS_K, random_state=0)
    few = table[:: max(1, len(table) // 1000)]
    for prepare in (_lloyd, _dask_ml):
        prepare(few, start)()  # imports, compiles
    timed = take_turns({"ours": _lloyd(table, start)}, 3)
    timed |= take_turns({"theirs": _dask_ml(table, start)}, 1)
    ours, theirs = timed["ours"], timed["theirs"]
    apart = np.abs(ours.result[0] - theirs.result[0]) / table.std(axis=0, dtype=np.float64)
    return {
        "peer": "dask-ml",
        "seconds": ours.seconds,
        "peer s": theirs.seconds,
        "times faster": theirs.seconds / ours.seconds,
        "iterations": ours.result[1],
        "of peer": theirs.result[1],
        "centres apart": f"{apart.max():.1e}",
    }


def _lloyd(table: NDArray[Any], start: NDArray[np.float64]) -> Callable[[], _Fit]:
    def run() -> _Fit:
        with dask.config.set(scheduler="threads"):
            model = bigquant.KMeans(len(start), init=start, tol=_TOL, algorithm="lloyd").fit(table)
            return model.cluster_centers_, model.n_iter_

    return run


def _dask_ml(table: NDArray[Any], start: NDArray[np.float64]) -> Callable[[], _Fit]:
    rows = da.from_array(table.astype(np.float32), chunks=(1 << 18, -1))
    tol = _TOL * float(table.var(axis=0, dtype=np.float64).mean())  # as it is meant in ours

    def run() -> _Fit:
        with dask.config.set(scheduler="threads"):
            model = dask_ml.cluster.KMeans(len(start), init=start, tol=tol).fit(rows)
            return model.cluster_centers_, model.n_iter_

    return run
