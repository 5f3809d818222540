"""Blocks of labels or colours -> every level of an output, each written by the task that made it.

A task writes its block and as many halves of it as stand for themselves, and hands on what is
left, a few kilobytes; tasks of the next tier put that together and go on. Nothing is read
twice, and nothing waits in memory but those rests.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, Protocol

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.utils import key_split
from numpy.typing import NDArray

from bigquant.painting import paint_block
from bigquant.palette_values import PaletteValues
from bigquant.pyramid import Block, Layers
from bigquant.rests import Rests
from bigquant.tiling import Level
from bigquant.underway import TASK, given_up_on_error, writing
from bigquant.watch import compute

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where blocks go. It travels to the workers: small, and made of plain values."""

    def write(self, level: int, row: int, column: int, block: Block) -> None:
        """Store the block of a level, by its place in the grid of blocks."""

    def files(self, level: int, row: int, column: int) -> list[str]:
        """Name the files that a block may have been stored in."""


@dataclass(frozen=True, eq=False)
class Content:
    """What blocks are made of.

    Parameters
    ----------
    layers : Layers
        That are written.
    table : ndarray, (n, channels), optional
        Colour of each label; without it the image comes in colours, which are bytes.
    """

    layers: Layers
    table: NDArray[Any] | None = None

    @classmethod
    def of(cls, palette: PaletteValues, *, labels: bool, table: NDArray[Any] | None) -> Content:
        """Write labels, or colours of a table of them, or both."""
        layers = Layers(
            palette.label_dtype if labels else None,
            None if table is None else table.dtype,
            0 if table is None else table.shape[1],
            bool(palette.first_label),
        )
        return cls(layers, table)

    def block_of(self, pixels: NDArray[Any]) -> Block:
        """Make a block of labels (y, x), or of what another block was packed to."""
        layers = self.layers
        if pixels.ndim == 3:
            return Block.unstack(pixels, layers)
        colors = valid = None
        if self.table is not None:
            colors = paint_block(pixels, self.table)
            valid = (pixels != 0).view(np.uint8) if layers.nodata else None
        return Block(None if layers.labels is None else pixels, colors, valid, layers.nodata)


def write_levels(
    pixels: da.Array,
    tiers: list[list[Level]],
    content: Content,
    sink: Sink,
    shown: str,
    *,
    rests: Rests | None = None,
    tally: da.Array | None = None,
) -> NDArray[np.int64] | None:
    """Compute blocks and write all levels of them.

    Parameters
    ----------
    pixels : dask.array.Array, (y, x) labels or (y, x, channel) colours
    tiers : list of list of Level
        Of `tiling.plan_pyramid`.
    content : Content
    sink : Sink
    shown : str
        Name of the output in errors.
    rests : Rests, optional
        Which blocks are written already: they are neither read nor computed.
    tally : dask.array.Array, (row, column, n), optional
        Of `remap_and_tally`: is computed along with the blocks, from the same tasks, and its sum
        returned. What an interrupted run has counted is not counted again.
    """
    first, run = 0, uuid.uuid4().hex
    _log.info("writing %s in %d levels", shown, sum(len(tier) for tier in tiers))
    for tier in tiers:
        for number, level in enumerate(tier, first):
            _log.debug(
                "level %d: %d x %d pixels, blocks of %d x %d, chunks of %d x %d",
                *(number, level.shape[1], level.shape[0], level.block[1], level.block[0]),
                *(level.inner[1], level.inner[0]),
            )
        pixels = pixels.rechunk((*tier[0].block, *pixels.shape[2:]))
        handed_on = tier is not tiers[-1]
        scale = 2 ** len(tier)
        chunks: tuple[tuple[int, ...], ...] = tuple((1,) * n for n in tier[0].grid)
        if handed_on:
            chunks = tuple(tuple(-(-n // scale) for n in axis) for axis in pixels.chunks[:2])
        pixels = pixels.map_blocks(
            _write_block,
            levels=range(first, first + len(tier)),
            content=content,
            sink=sink,
            shown=shown,
            run=run,
            rests=rests,
            handed_on=handed_on,
            token=TASK,
            dtype=np.uint8,
            new_axis=2 if pixels.ndim == 2 else None,
            chunks=(*chunks, (content.layers.bytes if handed_on else 1,)),
            meta=np.empty((0, 0, 0), np.uint8),
        )
        if rests is not None:
            done = [place for place in np.ndindex(tier[0].grid) if rests.has(first, *place)]
            pixels = _with_rests(pixels, rests, first, done)
        first += len(tier)
    if tally is not None:
        tally = (_kept_tallies(tally, rests.tallies) if rests else tally).sum(axis=(0, 1))
    with given_up_on_error(run):
        computed: NDArray[np.int64] | None = compute(pixels, tally)[1]
    return computed


def _kept_tallies(tallies: da.Array, rests: Rests) -> da.Array:
    """Keep what was counted of each chunk of the image: chunks are not the blocks written."""
    done = [place for place in np.ndindex(tallies.numblocks[:2]) if rests.has(0, *place)]
    saved = tallies.map_blocks(
        _save_tally, rests=rests, token="kept-tally", dtype=tallies.dtype, meta=tallies._meta
    )
    return _with_rests(saved, rests, 0, done)


def _with_rests(
    pixels: da.Array, rests: Rests, level: int, done: list[tuple[int, int]]
) -> da.Array:
    """Put what is kept on disk in the place of what would be computed."""
    if not done:
        return pixels
    name = f"{key_split(pixels.name)}-or-rest-{tokenize(pixels.name, done)}"
    keys = (key for key in product(*map(range, pixels.numblocks)))
    layer: dict[Any, Any] = {(name, *key): (pixels.name, *key) for key in keys}
    layer |= {(name, *place, 0): (rests.load, level, *place) for place in done}
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[pixels])
    return da.Array(graph, name, pixels.chunks, meta=pixels._meta)


# ---------------------------------------------------------------- run in tasks


def _write_block(
    pixels: NDArray[Any],
    levels: range,
    content: Content,
    sink: Sink,
    shown: str,
    run: str,
    rests: Rests | None,
    handed_on: bool,
    block_id: tuple[int, ...],
) -> NDArray[Any]:
    """Write one block at all the levels of its tier; hand on what the next tier goes on with."""
    row, column = block_id[:2]
    with writing(shown, run):  # to the end, even if the run is given up meanwhile
        block = content.block_of(pixels)
        del pixels
        for level in levels:
            sink.write(level, row, column, block)
            if handed_on or level != levels[-1]:
                block = block.halve()
        rest = block.stack() if handed_on else np.ones((1, 1, 1), np.uint8)
        if rests is not None:
            files = chain.from_iterable(sink.files(level, row, column) for level in levels)
            rests.save(levels[0], row, column, rest, files)
    return rest


def _save_tally(
    tally: NDArray[np.int64], rests: Rests, block_id: tuple[int, ...]
) -> NDArray[np.int64]:
    row, column = block_id[:2]
    rests.save(0, row, column, tally)
    return tally
