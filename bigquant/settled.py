"""Looks that are put off: rows whose nearest centre stays are summed up once, for iterations.

A row stays with its centre while that and any other move, together, by less than the row is
nearer to the one than to the other (Elkan, "Using the triangle inequality to accelerate k-means",
2003). So a pass over all rows keeps those at hand for which that is little, and the next
iterations look at them only, and may do with them as the pass did with all. What comes out is
what passes would give.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from bigquant.fused import find_lifetimes
from bigquant.histogram import merge_tree, plan_blocks
from bigquant.moments import Moments
from bigquant.watch import compute, persist_all, release

Floats = NDArray[np.float64]

#: What rows that a pass keeps at hand may take of memory, and as much those of looks after it.
_BYTES = 1 << 27
#: So few rows are brought together; more lie where the blocks do.
_FEW = 1 << 16
#: More centres than these are never waited for: what they are compared by would fill the cache.
_MOST_CENTERS = 1024
#: What it costs to split rows, in looks at them, and the part of all looks that must be saved.
_SPLIT_COST, _WORTH = 1.4, 0.1
#: No centre is taken to move less than this part of the farthest step.
_LEAST_STEP = 0.1

#: What is settled of a block, what is not, and the rows of that, (m, channels).
_Part = tuple[Moments, Moments, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Look:
    """What a look at rows has found, and for how long it holds.

    Parameters
    ----------
    centers : ndarray, (k, channels)
        At that time; scaled, as all centres here.
    radii : ndarray, (k,)
        Rows that it has settled stay with their centre while none has moved farther than that.
    settled : Moments
        Of these rows.
    share : float
        Part of all rows that it keeps at hand, about.
    parts : list of Delayed
        Of `_Part`, with the rows at hand.
    """

    centers: Floats
    radii: Floats
    settled: Moments
    share: float
    parts: list[Delayed]

    def rest(self, centers: Floats) -> Floats:
        """Tell how far each centre may move from where it is now."""
        rest: Floats = self.radii - _distances(self.centers, centers) * (1 + 1e-9)
        return rest


class Gatherer:
    """Sums up what is nearest to each of k centres, again and again, as the centres move.

    Parameters
    ----------
    blocks : sequence of dask.array.Array, (y, x, channel) or (n, channels)
        Of one type; a channel more than `channels` is alpha.
    channels : int
    factors : ndarray, (channels,), float64
    exact : bool
        Whether values are whole numbers of at most 32 bits.
    points : ndarray, (m, channels), float64
        Some scaled pixels, drawn by chance.
    n_pixels : int
        That all are.
    """

    def __init__(
        self,
        blocks: Sequence[da.Array],
        channels: int,
        factors: Floats,
        *,
        exact: bool,
        points: Floats,
        n_pixels: int,
    ) -> None:
        self.blocks, self.points, self.n_pixels = blocks, points, n_pixels
        self.choices = channels, factors, exact
        width = max(4, blocks[0].dtype.itemsize)
        self.share = min(0.5, _BYTES / (n_pixels * channels * width))
        self.centers: Floats | None = None
        self.looks: list[_Look] = []

    def gather(self, centers: Floats) -> Moments:
        """Sum up what is nearest to centres (k, channels), by a pass where one is due."""
        while self.looks and self.looks[-1].rest(centers).min() < 0:
            self._forget()
        before, self.centers = self.centers, centers
        looks = self.looks.copy()
        found = self._look(centers, None if before is None else _distances(before, centers))
        for look in looks:
            found = found.merge(look.settled.around(look.centers, centers, self.choices[1]))
        return found

    def release(self) -> None:
        """Let the rows at hand go."""
        while self.looks:
            self._forget()

    def _forget(self) -> None:
        release(*self.looks.pop().parts)

    def _look(self, centers: Floats, steps: Floats | None) -> Moments:
        """Sum up the rows at hand, or all; keep some of them at hand if that pays."""
        radii, share = self._choose_radii(centers, steps)
        parts = self._plan(centers, radii)
        if not radii.size:
            return _computed(parts)[0]
        if share * self.n_pixels <= _FEW:
            parts = [dask.delayed(_join, pure=False)(parts)]
        parts = persist_all(parts)
        try:
            settled, unsettled = _computed(parts)
        except BaseException:
            release(*parts)
            raise
        self.looks.append(_Look(centers, radii, settled, share, parts))
        return settled.merge(unsettled)

    def _choose_radii(self, centers: Floats, steps: Floats | None) -> tuple[Floats, float]:
        """Choose how far centres may move, and tell the share of rows that may change then.

        They are expected to go on as in their last steps. As many of these are chosen as make
        the rows that are looked at the fewest for each, on average; none if that saves little.
        """
        none = np.empty(0), 0.0
        share, most, rest = 1.0, self.share, np.full(len(centers), np.inf)
        if self.looks:
            share, rest = self.looks[-1].share, self.looks[-1].rest(centers)
            most = share / 2
        if steps is None or not 1 < len(steps) <= _MOST_CENTERS or not steps.any():
            return none
        if share * self.n_pixels <= _FEW:
            return none
        steps = np.maximum(steps, _LEAST_STEP * steps.max())
        lifetimes = np.empty(len(self.points))
        find_lifetimes(self.points, centers, steps, lifetimes)
        numbers, parts = np.sort(lifetimes), np.arange(1, len(lifetimes) + 1) / len(lifetimes)
        fits = (parts <= most) & (numbers <= (rest / steps).min())
        if not fits.any():
            return none
        costs = (_SPLIT_COST * share + numbers[fits] * parts[fits]) / (numbers[fits] + 1)
        number = numbers[int(np.argmin(costs))]
        part = self._part_at_hand(centers, number * steps)
        cost = (_SPLIT_COST * share + number * part) / (number + 1)
        if part > 1.1 * most or cost > (1 - _WORTH) * share:
            return none
        return number * steps, part

    def _part_at_hand(self, centers: Floats, radii: Floats) -> float:
        """Tell the share of rows that a look keeps: also those that single precision cannot tell.

        That can be nearly all of them, where one centre lies far from the others.
        """
        ones = np.ones(centers.shape[1])  # the points are scaled
        _, kept, _ = Moments.split(self.points, len(ones), centers, ones, exact=False, radii=radii)
        return float(kept.masses.sum() / len(self.points))

    def _plan(self, centers: Floats, radii: Floats) -> list[Delayed]:
        """Plan to sum up the rows at hand, or all, split by radii."""
        if self.looks:
            return _plan_rows(self.looks[-1].parts, (centers, *self.choices, radii))
        sent = dask.delayed((centers, radii), traverse=False)  # once to each worker
        return plan_blocks(self.blocks, _split_block, sent, *self.choices, token="split-block")


@contextmanager
def gathering(*arguments: Any, **choices: Any) -> Iterator[Gatherer]:
    """Make a `Gatherer`; the rows that it has at hand go at the end of the block."""
    gatherer = Gatherer(*arguments, **choices)
    try:
        yield gatherer
    finally:
        gatherer.release()


def _distances(before: Floats, centers: Floats) -> Floats:
    """Tell how far each centre has moved."""
    found: Floats = np.sqrt(((centers - before) ** 2).sum(axis=1))
    return found


def _split_block(
    pixels: NDArray[Any],
    sent: tuple[Floats, Floats],
    channels: int,
    factors: Floats,
    exact: bool,
) -> _Part:
    return Moments.split(pixels, channels, sent[0], factors, exact=exact, radii=sent[1])


def _plan_rows(parts: list[Delayed], arguments: tuple[Any, ...]) -> list[Delayed]:
    """Plan to split rows at hand."""
    centers, *choices, radii = arguments
    name = f"split-rows-{tokenize(arguments, [part.key for part in parts])}"
    layer: dict[Any, Any] = {(name, "centers"): (centers, radii)}
    keys = [(name, number) for number in range(len(parts))]
    for key, part in zip(keys, parts, strict=True):
        layer[key] = (_split_rows, part.key, (name, "centers"), *choices)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=parts)
    return [Delayed(key, graph, layer=name) for key in keys]


def _split_rows(part: _Part, *arguments: Any) -> _Part:
    return _split_block(part[2], *arguments)


def _join(parts: list[_Part]) -> _Part:
    settled, unsettled, rows = zip(*parts, strict=True)
    merge = functools.partial(functools.reduce, Moments.merge)
    return merge(settled), merge(unsettled), np.concatenate(rows)


def _computed(parts: list[Delayed]) -> tuple[Moments, Moments]:
    """Compute the sums of what is settled, and of what is not."""
    both = dask.delayed(itemgetter(0, 1), pure=False, traverse=False)
    found: tuple[Moments, Moments] = compute(merge_tree([both(part) for part in parts], _merge))[0]
    return found


def _merge(
    some: tuple[Moments, Moments], others: tuple[Moments, Moments]
) -> tuple[Moments, Moments]:
    return some[0].merge(others[0]), some[1].merge(others[1])
