"""Images -> palettes: the colours are counted once, and fitted for as many k as are wanted."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import BigquantError, InputError
from bigquant.histogram import count_images
from bigquant.image import Image
from bigquant.iteration import Fit
from bigquant.kept import in_channels
from bigquant.metrics import ciede2000, find_knee
from bigquant.nearest import assign
from bigquant.palette import Palette
from bigquant.parallel_fit import plan_fit
from bigquant.watch import compute, released

#: Side of the thumbnail that is taken while colours are counted.
_THUMBNAIL = 512
#: Sources that a palette names; a collection may have any number.
_NAMED = 100
#: Colours, or of more colours pixels, that the mean difference of a sweep is taken of: CIEDE2000
#: takes ten times as long as a fit. It differs from the mean of all by less than one percent.
_DIFFERENCE_COLORS = 1 << 16
#: Restarts of each fit of a sweep, one more than of a fit alone: curves show what is missed.
_RESTARTS = 3
_MAX_ITER, _TOL = 300, 1e-4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Counted:
    """Images whose distinct colours are counted, together.

    Parameters
    ----------
    images : list of Image
        Those that could be read.
    histogram : Delayed
        Of a `ColorHistogram` that is computed already, and lies where the workers are.
    n_colors : int
    kept : ndarray, (m, channels), uint8
        Colours that are in every palette.
    first_label : {0, 1}
    failures : Mapping
        What went wrong with other images, by their place among those that were given.
    seconds : float
    thumbnail : ndarray, (y, x, channel), uint8, or None
        Of the first image, of every n-th pixel; None if that could not be read.
    """

    images: list[Image]
    histogram: Delayed
    n_colors: int
    kept: NDArray[np.uint8]
    first_label: int
    failures: Mapping[int, BigquantError]
    seconds: float
    thumbnail: NDArray[np.uint8] | None

    def n_centers(self, k: int) -> int:
        """Tell how many colours a palette of k can have."""
        if self.n_colors >= k:
            return k
        return int(compute(self.histogram.n_centers(k, self.kept))[0])


@contextmanager
def counting(images: Sequence[Image], kept: NDArray[np.uint8]) -> Iterator[Counted]:
    """Count the colours of images, (y, x, channel) uint8, in one pass over all of them.

    A cluster keeps them to the end of the block.

    Raises
    ------
    InputError
        If they have no pixel, or the kept colours (m, 3) are none of theirs: gray, say.
    """
    kept = in_channels(kept, split_channels(images[0].shape[2])[0])
    first_label = int(any(split_channels(image.shape[2])[1] for image in images))
    start = time.perf_counter()
    found, failures = count_images(images, _THUMBNAIL)
    with released(found):
        yield _counted(images, kept, first_label, found, failures, start)


def _counted(
    images: Sequence[Image],
    kept: NDArray[np.uint8],
    first_label: int,
    found: Delayed,
    failures: Mapping[int, BigquantError],
    start: float,
) -> Counted:
    images = [image for number, image in enumerate(images) if number not in failures]
    histogram = found.histogram
    n_colors, thumbnail = compute(histogram.n_colors, found.thumbnail)
    seconds = time.perf_counter() - start
    if not n_colors:
        whose = "the image" if len(images) == 1 else "the images"
        raise InputError(f"every pixel of {whose} is transparent: there is nothing to fit")
    _log.info("%d distinct colours", n_colors)
    return Counted(images, histogram, n_colors, kept, first_label, failures, seconds, thumbnail)


def fit_palette(
    counted: Counted,
    k: int,
    *,
    algorithm: str = "auto",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Palette:
    """Fit one palette, by `KMeans`; the parameters are those of `quantize`."""
    # dask-ml takes seconds to import, and only this wants it
    from bigquant.kmeans import KMeans, image_rows  # noqa: PLC0415

    k = counted.n_centers(k)
    _log.info("fitting %d of them", k - len(counted.kept))
    model = KMeans(k, algorithm=algorithm, n_init=n_init, random_state=random_state)
    if algorithm == "dask-ml":
        channels, _ = split_channels(counted.images[0].shape[2])
        rows = [image_rows(image, channels) for image in counted.images]
        model.fit(da.concatenate(rows))
    else:
        model.fit_histogram(counted.histogram, counted.kept.astype(np.float64))
    planned = dask.delayed(Palette.from_fit, pure=False)(
        counted.histogram, model.cluster_centers_, counted.first_label, len(counted.kept)
    )
    palette: Palette = compute(planned)[0]
    return _with_facts(counted, palette, algorithm, random_state)


def fit_palettes(
    counted: Counted,
    ks: Sequence[int],
    *,
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> list[Palette]:
    """Fit a palette for each k, ascending, each also from the one before: no error ever rises."""
    _log.info("fitting %d to %d of them", ks[0], ks[-1])
    chain = _Chain(counted, n_init, random_state)
    palettes = _together([chain.plan(k)[1] for k in ks])
    return [_with_facts(counted, palette, "auto", random_state) for palette in palettes]


def mean_differences(counted: Counted, palettes: Sequence[Palette]) -> list[float]:
    """Average CIEDE2000 between the pixels and their colours in each palette."""
    seen = dask.delayed(ColorHistogram.sample)(counted.histogram, _DIFFERENCE_COLORS)
    measure = dask.delayed(_mean_difference)
    return _together([measure(seen, palette.colors) for palette in palettes])


def _together(planned: list[Delayed]) -> list[Any]:
    """Compute as one: apart, each would have its graph looked through."""
    found: list[Any] = compute(dask.delayed(list)(planned))[0]
    return found


def fit_at_the_knee(
    counted: Counted, most: int, *, n_init: str | int = "auto", random_state: int | None = 0
) -> Palette:
    """Fit palettes of 2 to `most` colours, and choose the one at the knee of their errors.

    Of an image of no more colours than that, choose all of them.
    """
    least, most = max(2, len(counted.kept)), counted.n_centers(most)
    if counted.n_colors <= most or most < least:
        return fit_palette(counted, most, n_init=n_init, random_state=random_state)
    ks = range(least, most + 1)
    palettes = fit_palettes(counted, ks, n_init=n_init, random_state=random_state)
    knee = find_knee(ks, [palette.mse for palette in palettes])
    return palettes[-1 if knee is None else ks.index(knee)]


def fit_until(
    counted: Counted,
    psnr: float,
    most: int,
    *,
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Palette:
    """Fit the smallest palette, of at most so many colours, whose PSNR in dB is reached.

    The number of colours is doubled until it is; then the interval is halved.

    Raises
    ------
    BigquantError
        If so many colours do not reach it.
    """
    chain = _Chain(counted, n_init, random_state)
    most = counted.n_centers(most)
    low, high = max(0, len(counted.kept) - 1), min(most, max(1, len(counted.kept)))
    best = chain.compute(high)
    while best.psnr < psnr and high < most:
        low, high = high, min(2 * high, most)
        best = chain.compute(high)
    if best.psnr < psnr:
        raise BigquantError(
            f"{best.k} colours reach {best.psnr:.2f} dB, not {psnr:g}: allow more colours (k), or "
            "ask for less"
        )
    chain.go_back_to(low)
    while high - low > 1:
        middle = (low + high) // 2
        palette = chain.compute(middle)
        if palette.psnr < psnr:
            low = middle
        else:
            high, best = middle, palette
            chain.go_back_to(low)
    return _with_facts(counted, best, "auto", random_state)


class _Chain:
    """Fits of ever more colours to the same histogram, each from the one before, too."""

    def __init__(self, counted: Counted, n_init: Any, random_state: int | None) -> None:
        self.counted = counted
        self.n_init = _RESTARTS if n_init == "auto" else n_init
        # the seed that `KMeans` would draw
        self.seed = np.random.RandomState(random_state).randint(2**31 - 1)
        self.last: tuple[Any, Any] = (None, None)  # a fit and its palette, or delayed ones
        self.found: dict[int, tuple[Fit, Palette]] = {}

    def plan(self, k: int) -> tuple[Delayed, Delayed]:
        """Plan a fit after the last, and its palette."""
        counted, kept = self.counted, self.counted.kept.astype(np.float64)
        fit = plan_fit(
            counted.histogram, k, "k-means++", self.n_init, _MAX_ITER, _TOL, self.seed, kept,
            before=self.last[0],
        )  # fmt: skip
        palette = dask.delayed(_palette_after)(
            counted.histogram, fit, counted.first_label, len(kept), self.last[1]
        )
        self.last = fit, palette
        return self.last

    def compute(self, k: int) -> Palette:
        """Compute a fit after the last."""
        fit, palette = compute(*self.plan(k))
        self.last = self.found[k] = fit, palette
        return palette  # type: ignore[no-any-return]

    def go_back_to(self, k: int) -> None:
        """Let the next fit come after that of k colours; after none if there was none."""
        self.last = self.found.get(k, (None, None))


def _palette_after(
    histogram: ColorHistogram, fit: Fit, first_label: int, n_kept: int, before: Palette | None
) -> Palette:
    """Make a palette whose error is no more than that of one of fewer colours."""
    palette = Palette.from_fit(histogram, fit.centers, first_label, n_kept)
    if before is None or palette.inertia <= before.inertia:
        return palette
    # rounding has cost more than the colour gained: take the palette before, and one colour more
    _, distances = assign(histogram.colors, before.colors.astype(np.float64))
    worst = histogram.colors[[np.argmax(histogram.counts * distances)]]
    return Palette.from_fit(histogram, np.vstack([before.centers, worst]), first_label)


def _mean_difference(seen: ColorHistogram, colors: NDArray[np.uint8]) -> float:
    labels, _ = assign(seen.colors, colors.astype(np.float64))
    apart = ciede2000(seen.colors, colors[labels])
    return float(np.average(apart, weights=seen.counts))


def _with_facts(
    counted: Counted, palette: Palette, algorithm: str, random_state: int | None
) -> Palette:
    """Write down what the palette was fitted to, and how."""
    paths = [image.source.path for image in counted.images if image.source.path]
    kept = {"keep": Palette.from_colors(counted.kept).hex} if len(counted.kept) else {}
    _log.info("fitted %d: MSE %.2f, PSNR %.2f dB", palette.k, palette.mse, palette.psnr)
    return palette.with_facts(
        algorithm=algorithm,
        random_state=random_state,
        distinct_colors=counted.n_colors,
        sources=paths[:_NAMED],
        versions=_versions(algorithm),
        **kept,
    )


def _versions(algorithm: str) -> dict[str, str]:
    """Tell the versions of bigquant and of what fits by `algorithm`."""
    fitting = ("dask-ml", "scikit-learn") if algorithm == "dask-ml" else ("numba", "numpy")
    return {name: _version(name) for name in ("bigquant", *fitting)}


_version = functools.cache(importlib.metadata.version)  # which looks into files each time
