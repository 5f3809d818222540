"""Images -> what their palettes are fitted to, found in as few passes as their type allows."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.array_reader import type_range
from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.binning import count_block, measure_ranges
from bigquant.colorspace import points_of
from bigquant.display import PERCENTILES, Display, choose_display
from bigquant.errors import BigquantError, InputError
from bigquant.histogram import ColorCounter, Counter, count_images, survey_images
from bigquant.image import Image
from bigquant.kept import in_channels
from bigquant.rowscan import merge_ranges
from bigquant.samplecounts import SampleCounter
from bigquant.spacecounts import SpaceHistogram
from bigquant.watch import compute, released
from bigquant.ways import BINNED, HISTOGRAM, LLOYD, choose_way, needs_range

#: Side of the thumbnail that is taken while colours are counted.
_THUMBNAIL = 512
#: What was counted, in words.
_COUNTED = {HISTOGRAM: "distinct colours", BINNED: "bins", LLOYD: "distinct sampled pixels"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rule:
    """What palettes are made by of the centres of a fit.

    Parameters
    ----------
    first_label : {0, 1}
    n_kept : int
        So many centres, the first, are kept colours.
    display : Display
    scale : {"none", "range", "std"}
    factors : ndarray, (channels,), float64
        What the values of each band are multiplied by before distances are taken.
    ranges : ndarray, (channels, 2), float64
        Least and greatest value of each band.
    space : {"srgb", "linear", "oklab", "lab"}
        Where distances are measured.
    """

    first_label: int
    n_kept: int
    display: Display
    scale: str
    factors: NDArray[np.float64]
    ranges: NDArray[np.float64]
    space: str


@dataclass(frozen=True, eq=False)
class Counted:
    """Images whose colours are counted, together.

    Parameters
    ----------
    images : list of Image
        Those that could be read.
    way : str
        Of `ways.way_of`.
    histogram : Delayed
        Of a `ColorHistogram`, `BinnedHistogram` or `Sample` that is computed already, and lies
        where the workers are.
    n_colors : int
        Distinct colours, or bins, or distinct rows of the sample.
    kept : ndarray, (m, channels), uint8
        Colours that are in every palette.
    rule : Rule
        Of their palettes.
    failures : Mapping
        What went wrong with other images, by their place among those that were given.
    seconds : float
    thumbnail : ndarray, (y, x, channel), or None
        Of the first image, of every n-th pixel; None if that could not be read.
    """

    images: list[Image]
    way: str
    histogram: Delayed
    n_colors: int
    kept: NDArray[np.uint8]
    rule: Rule
    failures: Mapping[int, BigquantError]
    seconds: float
    thumbnail: NDArray[Any] | None

    @functools.cached_property
    def scaled(self) -> Delayed:
        """The histogram as distances see it."""
        if self.rule.space != "srgb":
            see = dask.delayed(SpaceHistogram, pure=False, traverse=False)
            return see(self.histogram, self.rule.space)
        if self.rule.scale == "none" and self.way != LLOYD:
            return self.histogram
        scale = dask.delayed(_scaled, pure=False, traverse=False)
        return scale(self.histogram, self.rule.factors)

    @property
    def described(self) -> Delayed:
        """The histogram that palettes are made of: in the image's units, but in its space."""
        return self.histogram if self.rule.space == "srgb" else self.scaled

    @property
    def kept_points(self) -> NDArray[np.float64]:
        """The kept colours where the fit sees them."""
        if self.rule.space == "srgb":
            return self.kept.astype(np.float64)
        return points_of(self.kept, self.rule.space)

    def n_centers(self, k: int) -> int:
        """Tell how many colours a palette of k can have."""
        if self.n_colors >= k:
            return k
        return int(compute(self.histogram.n_centers(k, self.kept))[0])


def _scaled(histogram: Any, factors: NDArray[np.float64]) -> Any:
    return histogram.scaled(factors)


@contextmanager
def counting(
    images: Sequence[Image],
    kept: NDArray[np.uint8],
    *,
    algorithm: str = "auto",
    scale: str = "none",
    space: str = "srgb",
    seed: int = 0,
) -> Iterator[Counted]:
    """Count the colours of images, (y, x, channel) of one type, in one pass over all of them.

    A pass before it finds the range of the values, where they are counted in bins and the type
    does not tell it. A cluster keeps what is found to the end of the block.

    Parameters
    ----------
    images : sequence of Image
        Of `parameters.alike`.
    kept : ndarray, (m, 3), uint8
    algorithm, scale, space : str
        As for `quantize`.
    seed : int
        Of the sample, where one is taken.

    Raises
    ------
    InputError
        If they have no pixel, or the kept colours are none of theirs: gray, say.
    """
    first = images[0]
    way = choose_way(first.dtype, first.channels, algorithm)
    none = np.empty((0, first.channels), np.uint8)
    kept = in_channels(kept, first.channels) if len(kept) else none
    start = time.perf_counter()
    failures: dict[int, BigquantError] = {}
    grid = None
    if way == BINNED:
        grid, failures = _find_grid(images, scale)
    numbers = [number for number in range(len(images)) if number not in failures]
    chosen = [images[number] for number in numbers]
    side = 0 if 0 in failures else _THUMBNAIL
    found, unread = count_images(chosen, _counters(chosen, way, grid, seed), side)
    failures |= {numbers[place]: error for place, error in unread.items()}
    readable = [image for place, image in enumerate(chosen) if place not in unread]
    with released(found):
        yield _counted(readable, way, kept, scale, space, found, failures, start)


def _counted(
    images: list[Image],
    way: str,
    kept: NDArray[np.uint8],
    scale: str,
    space: str,
    found: Delayed,
    failures: Mapping[int, BigquantError],
    start: float,
) -> Counted:
    histogram = found.histogram
    known = dask.delayed(_facts_of, pure=False, traverse=False)(histogram, scale)
    facts, thumbnail = compute(known, found.thumbnail)
    seconds = time.perf_counter() - start
    if facts is None:
        whose = "the image" if len(images) == 1 else "the images"
        how = "transparent, or no finite number" if images[0].dtype.kind == "f" else "transparent"
        raise InputError(f"every pixel of {whose} is {how}: there is nothing to fit")
    n_colors, ranges, factors, percentiles = facts
    if images[0].dtype == np.uint8:
        ranges = np.tile([0.0, 255.0], (len(ranges), 1))
    _log.info("%d %s", n_colors, _COUNTED[way])
    display = choose_display(
        images[0].dtype,
        images[0].channels,
        declared=images[0].declared,
        ranges=ranges,
        percentiles=percentiles,
        valid_range=_declared_range(images[0]),
    )
    first_label = int(any(image.has_nodata for image in images))
    rule = Rule(first_label, len(kept), display, scale, factors, ranges, space)
    return Counted(images, way, histogram, n_colors, kept, rule, failures, seconds, thumbnail)


def _facts_of(
    histogram: Any, scale: str
) -> tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Tell the number of colours, the range of each band, its factor, and its percentiles."""
    if not histogram.n_colors:
        return None
    ranges = histogram.ranges
    spread = {"none": np.ones(len(ranges)), "range": ranges[:, 1] - ranges[:, 0]}
    width = histogram.deviations if scale == "std" else spread[scale]
    factors = 1 / np.where(width > 0, width, 1)  # what never changes makes no distance
    return histogram.n_colors, ranges, factors, histogram.percentiles(PERCENTILES)


def _declared_range(image: Image) -> tuple[float, float] | None:
    """Get the range of the values that the file tells, if it tells more than the type does."""
    limits = image.source.valid_range
    return None if limits == type_range(image.dtype) else limits


def _find_grid(images: Sequence[Image], scale: str) -> tuple[Grid, dict[int, BigquantError]]:
    """Choose the bins: of the type's range, or of the values' own."""
    dtype, channels = images[0].dtype, images[0].channels
    if not needs_range(dtype, scaled=scale != "none"):
        grid = Grid.of_type(dtype, channels)
        assert grid is not None
        return grid, {}
    _log.info("finding the range of the values")
    found, failures = survey_images(
        images, lambda number: measure_ranges([images[number]], channels), merge_ranges
    )
    with released(found):
        lows, highs = compute(found)[0].T
    if not np.isfinite(lows).all():  # there is no pixel: whatever counts them will tell
        lows, highs = np.zeros(channels), np.ones(channels)
    return Grid.of_range(dtype, lows, highs, common=scale == "none"), failures


@dataclass(frozen=True, eq=False)
class BinCounter:
    """Counts colours in the bins of a grid."""

    grid: Grid

    def __call__(self, pixels: NDArray[Any], row: int, column: int) -> BinnedHistogram:  # noqa: ARG002
        """Count a block."""
        return count_block(pixels, self.grid)


def _counters(images: Sequence[Image], way: str, grid: Grid | None, seed: int) -> Sequence[Counter]:
    """Make what counts the blocks of each image."""
    channels = images[0].channels
    if way == LLOYD:
        return SampleCounter.of_shapes([image.shape for image in images], channels, seed)
    return [BinCounter(grid) if grid else ColorCounter(channels)] * len(images)
