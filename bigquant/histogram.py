"""Dask images -> what one pass finds: their colours, counted, and a thumbnail; merged as a tree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from bigquant.colorcounts import ColorHistogram
from bigquant.errors import BigquantError, ClusterLost
from bigquant.planes import map_pixels
from bigquant.watch import compute, persist, release

#: Blocks that are counted in one go: enough to keep a cluster busy.
_BATCH = 512
_log = logging.getLogger(__name__)


def count_block(pixels: NDArray[Any], channels: int) -> ColorHistogram:
    """Count one block of an image, ``(..., channels [+ alpha])``."""
    return ColorHistogram.create(channels, pixels.dtype).add(pixels)


def count_weighted(rows: NDArray[Any], weights: NDArray[Any]) -> ColorHistogram:
    """Count one block of rows (n, channels) with a weight each, (n, 1)."""
    return ColorHistogram.create(rows.shape[1], rows.dtype).add(rows, weights[:, 0])


def count_rows(rows: da.Array, weights: da.Array | None = None) -> Delayed:
    """Plan to count the distinct rows of a matrix (n, channels), each read once.

    Parameters
    ----------
    rows : dask.array.Array, (n, channels), any real type
    weights : dask.array.Array, (n,), optional
        Weight of each row, float64, instead of 1.
    """
    rows = rows.rechunk({1: -1})
    if weights is None:
        parts = map_pixels(count_block, rows, rows.shape[1], token="count-block", dtype=object)
    else:
        parts = da.map_blocks(
            count_weighted,
            rows,
            weights.rechunk((rows.chunks[0],))[:, None],
            token="count-block",
            dtype=object,
            drop_axis=1,
            meta=np.empty(0, object),
        )
    return merge_tree(parts.to_delayed().ravel().tolist())


#: Counts the pixels (y, x, channel) of a block, whose first one stands at a row and a column.
Counter = Callable[[NDArray[Any], int, int], Any]


@dataclass(frozen=True)
class ColorCounter:
    """Counts every distinct colour, of so many bands."""

    channels: int

    def __call__(self, pixels: NDArray[Any], row: int, column: int) -> ColorHistogram:  # noqa: ARG002
        """Count a block."""
        return count_block(pixels, self.channels)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over an image finds: its colours, and a thumbnail of every n-th pixel.

    Parameters
    ----------
    histogram : ColorHistogram, BinnedHistogram or Sample
    pieces : tuple of (int, int, ndarray)
        Of the thumbnail: first row, first column, and pixels (y, x, channel).
    """

    histogram: Any
    pieces: tuple[tuple[int, int, NDArray[Any]], ...] = ()

    def merge(self, other: Survey) -> Survey:
        """Add what was found in other blocks."""
        return Survey(self.histogram.merge(other.histogram), self.pieces + other.pieces)

    @property
    def thumbnail(self) -> NDArray[Any] | None:
        """The pieces put together, (y, x, channel); None without any."""
        if not self.pieces:
            return None
        height = max(row + len(pixels) for row, _, pixels in self.pieces)
        width = max(column + pixels.shape[1] for _, column, pixels in self.pieces)
        last = self.pieces[-1][2]
        whole = np.zeros((height, width, last.shape[2]), last.dtype)
        for row, column, pixels in self.pieces:
            whole[row : row + len(pixels), column : column + pixels.shape[1]] = pixels
        return whole

    def __sizeof__(self) -> int:
        """Tell schedulers and workers what it takes to hold or to move it."""
        own = object.__sizeof__(self) + sum(pixels.nbytes for _, _, pixels in self.pieces)
        return own + int(self.histogram.__sizeof__())


def survey_block(
    pixels: NDArray[Any],
    counter: Counter,
    step: int,
    starts: tuple[int, int],
    row: int,
    column: int,
) -> Survey:
    """Count one block of an image, and take its part of the thumbnail, if `step` is not 0.

    Its first pixel stands at `row` and `column`, the thumbnail's at `starts`.
    """
    histogram = counter(pixels, row, column)
    if not step:
        return Survey(histogram)
    begin = (row, column)
    skipped = [(start - first) % step for start, first in zip(starts, begin, strict=True)]
    piece = pixels[skipped[0] :: step, skipped[1] :: step]
    row, column = ((first + skip) // step for first, skip in zip(begin, skipped, strict=True))
    return Survey(histogram, ((row, column, piece.copy()),) if piece.size else ())


def survey(image: da.Array, counter: Counter, side: int = 0) -> Delayed:
    """Plan to count the colours of an image, each pixel read once.

    Parameters
    ----------
    image : dask.array.Array, (y, x, channel)
    counter : Counter
        Travels to the workers.
    side : int
        Of a thumbnail that is taken by the way; 0 for none.

    Returns
    -------
    Delayed
        Of the `Survey`. Nothing is read before it is computed.
    """
    step = thumbnail_step(image.shape, side) if side else 0
    starts = thumbnail_starts(image.shape, step)
    parts = map_pixels(
        survey_block, image, counter, step, starts, token="count-block", dtype=object, placed=True
    )
    return merge_tree(parts.to_delayed().ravel().tolist(), Survey.merge)


def thumbnail_step(shape: Sequence[int], side: int) -> int:
    """Tell which pixels make a thumbnail whose sides are at most `side`: every how many-th."""
    return max(1, -(-max(shape[:2]) // side))


def thumbnail_starts(shape: Sequence[int], step: int) -> tuple[int, int]:
    """Tell the first row and column of a thumbnail: the middle of the first `step` of them."""
    height, width = shape[:2]
    return min(step, height) // 2, min(step, width) // 2


def survey_images(
    images: Sequence[da.Array], plan: Callable[[int], Delayed], merge: Callable[[Any, Any], Any]
) -> tuple[Delayed, dict[int, BigquantError]]:
    """Look at several images together, in one pass over each.

    Parameters
    ----------
    images : sequence of dask.array.Array, (y, x, channel)
    plan : callable
        Plans what is to be found in the image of a number.
    merge : callable
        Adds up what was found in two of them.

    Returns
    -------
    found : Delayed
        What was found in all readable images; it is computed, and lies where the workers are.
    failures : dict
        What went wrong with the images that could not be read, by their place in `images`,
        unless there is only one: then it is raised. Nothing of them is counted.
    """
    if len(images) == 1:
        return _found(images, [0], plan, merge), {}
    parts: list[Delayed] = []
    failures: dict[int, BigquantError] = {}
    for numbers in _batches(images):
        try:
            parts.append(_awaited(images, numbers, plan, merge))
        except ClusterLost:
            raise
        except BigquantError:
            for number in numbers:  # find out which
                try:
                    parts.append(_awaited(images, [number], plan, merge))
                except ClusterLost:
                    raise
                except BigquantError as error:
                    failures[number] = error
    if not parts:
        raise next(iter(failures.values()))
    if len(parts) == 1:
        return parts[0], failures
    return persist(merge_tree(parts, merge)), failures


def count_images(
    images: Sequence[da.Array], counters: Sequence[Counter], side: int = 0
) -> tuple[Delayed, dict[int, BigquantError]]:
    """Count the colours of several images together; `Survey` and failures of `survey_images`.

    Parameters
    ----------
    images : sequence of dask.array.Array, (y, x, channel)
        Of as many bands of one type; with alpha or without.
    counters : sequence of Counter
        Of each image.
    side : int
        Of a thumbnail of the first image; 0 for none.
    """

    def plan(number: int) -> Delayed:
        return survey(images[number], counters[number], 0 if number else side)

    return survey_images(images, plan, Survey.merge)


def _batches(images: Sequence[da.Array]) -> Iterator[list[int]]:
    batch: list[int] = []
    blocks = 0
    for number, image in enumerate(images):
        batch.append(number)
        blocks += image.npartitions
        if blocks >= _BATCH:
            yield batch
            batch, blocks = [], 0
    if batch:
        yield batch


def _awaited(
    images: Sequence[da.Array],
    numbers: list[int],
    plan: Callable[[int], Delayed],
    merge: Callable[[Any, Any], Any],
) -> Delayed:
    total = _found(images, numbers, plan, merge)
    try:  # a cluster tells only when asked what went wrong
        compute(dask.delayed(_is_there, pure=False, traverse=False)(total))
    except BaseException:
        release(total)
        raise
    return total


def _is_there(_: Any) -> bool:
    return True


def _found(
    images: Sequence[da.Array],
    numbers: list[int],
    plan: Callable[[int], Delayed],
    merge: Callable[[Any, Any], Any],
) -> Delayed:
    for number in numbers:
        image = images[number]
        _log.info(
            "reading %d x %d pixels in %d blocks of %d x %d",
            *(image.shape[1], image.shape[0], image.npartitions),
            *(image.chunksize[1], image.chunksize[0]),
        )
    return persist(merge_tree([plan(number) for number in numbers], merge))


def merge_blocks(
    blocks: Sequence[da.Array],
    function: Callable[..., Any],
    merge: Callable[[Any, Any], Any],
    *arguments: Any,
    token: str,
) -> Delayed:
    """Plan to look at every block of images or tables once, and to merge what is found.

    Parameters
    ----------
    blocks : sequence of dask.array.Array, (y, x, channel) or (n, channels)
    function : callable
        Of a block and the arguments.
    merge : callable
        Adds up what was found in two blocks.
    *arguments
        Further arguments of the function.
    token : str
        Beginning of the tasks' names.
    """
    return merge_tree(plan_blocks(blocks, function, *arguments, token=token), merge)


def plan_blocks(
    blocks: Sequence[da.Array], function: Callable[..., Any], *arguments: Any, token: str
) -> list[Delayed]:
    """Plan to look at every block once, a task each; parameters are those of `merge_blocks`."""
    parts: list[Delayed] = []
    for block in blocks:
        found = map_pixels(function, block, *arguments, token=token, dtype=object)
        parts += found.to_delayed().ravel().tolist()
    return parts


def merge_tree(
    parts: list[Delayed], merge: Callable[[Any, Any], Any] = ColorHistogram.merge
) -> Delayed:
    """Plan to merge histograms in pairs: two and their sum are all that a task holds.

    Other sums of whole numbers have a `merge` of their own.
    """
    keys: list[Any] = [part.key for part in parts]
    if len(keys) == 1:
        return parts[0]
    name = f"merge-counts-{tokenize(keys, merge)}"
    layer: dict[Any, Any] = {}
    while len(keys) > 1:
        paired = [(name, len(layer) + i) for i in range(len(keys) // 2)]
        halves = zip(keys[::2], keys[1::2], strict=False)
        layer |= {key: (merge, *pair) for key, pair in zip(paired, halves, strict=True)}
        keys = paired + keys[len(keys) & ~1 :]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=parts)
    return Delayed(keys[0], graph, layer=name)
