"""Points of which some lack a value -> centres, by the way that their type asks for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.binning import count_bins
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.histogram import count_block, merge_blocks
from bigquant.iteration import Fit
from bigquant.parallel_fit import plan_fit
from bigquant.passes import fit_lloyd, sample_blocks
from bigquant.spreads import Spread, spread_block
from bigquant.watch import compute, persist, released
from bigquant.ways import BINNED, LLOYD, choose_way, needs_range

_MAX_ITER, _TOL = 300, 1e-4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Found:
    """Centres of points, those of the most points first.

    Parameters
    ----------
    way : str
        Of `ways.choose_way`.
    centers : ndarray, (k, columns), float64
        As the points are, not scaled.
    factors : ndarray, (columns,), float64
        What values are multiplied by before distances are taken.
    """

    way: str
    centers: NDArray[np.float64]
    factors: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """Points to fit centres to.

    Parameters
    ----------
    blocks : dask.array.Array, (n, columns) or (n, columns + 1)
        With NaN where a value is lacking, or 0 in a last column more: such points take no part.
    columns : int
    """

    blocks: da.Array
    columns: int

    def fit(self, n_clusters: int, *, scale: str, algorithm: str, seed: int) -> Found:
        """Fit centres in as few passes as the type of the values allows.

        Parameters
        ----------
        n_clusters : int
            Fewer are found if there are fewer distinct points.
        scale : {"none", "range", "std"}
            By what distances in each column are measured.
        algorithm : {"auto", "histogram", "lloyd"}
        seed : int

        Raises
        ------
        InputError
            If every point lacks a value.
        """
        dtype, is_scaled = self.blocks.dtype, scale != "none"
        way = choose_way(dtype, self.columns, algorithm)
        factors, spread = np.ones(self.columns), None
        if is_scaled or (way == BINNED and needs_range(dtype)):
            spread = self._spread()
            factors = spread.factors(scale)
        if way == LLOYD:
            centers, masses = self._fit_passes(n_clusters, factors, seed)
        else:
            counted = self._count(way, spread, is_scaled)
            centers, masses = _fit_counted(counted, n_clusters, factors, is_scaled, seed)
        order = np.lexsort((*centers.T[::-1], -masses))
        return Found(way, centers[order], factors)

    def _spread(self) -> Spread:
        _log.info("finding the range of %d columns", self.columns)
        planned = merge_blocks(
            [self.blocks], spread_block, Spread.merge, self.columns, token="range-block"
        )
        spread: Spread = compute(planned)[0]
        _refuse_none(spread.n)
        return spread

    def _fit_passes(
        self, n_clusters: int, factors: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        blocks, columns = [self.blocks], self.columns
        sample = persist(sample_blocks(blocks, columns, seed))
        with released(sample):
            _refuse_none(compute(sample.n_pixels)[0])
            options: dict[str, Any] = {"max_iter": _MAX_ITER, "tol": _TOL, "seed": seed}
            found = fit_lloyd(
                blocks, sample, n_clusters, channels=columns, factors=factors, **options
            )
        return found.centers, found.masses

    def _count(self, way: str, spread: Spread | None, is_scaled: bool) -> Delayed:
        """Plan to count the points: all that are distinct, or in bins."""
        if way != BINNED:
            merge = ColorHistogram.merge
            return merge_blocks(
                [self.blocks], count_block, merge, self.columns, token="count-block"
            )
        dtype = self.blocks.dtype
        if spread is None:
            grid = Grid.of_type(dtype, self.columns)
            assert grid is not None
        else:
            grid = Grid.of_range(dtype, spread.lows, spread.highs, common=not is_scaled)
        return count_bins([self.blocks], grid)


def _fit_counted(
    counted: Delayed, n_clusters: int, factors: NDArray[np.float64], is_scaled: bool, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fit centres to what was counted; tell how many points are nearest to each."""
    counted = persist(counted)
    with released(counted):
        _refuse_none(compute(counted.n_pixels)[0])
        if is_scaled:
            counted = dask.delayed(_scaled, pure=False, traverse=False)(counted, factors)
        planned = plan_fit(counted, n_clusters, "k-means++", None, _MAX_ITER, _TOL, seed)
        masses = dask.delayed(_gather_masses, pure=False, traverse=False)(counted, planned)
        found, masses = compute(planned, masses)
    return found.centers / factors, masses


def _scaled(
    counted: ColorHistogram | BinnedHistogram, factors: NDArray[np.float64]
) -> ColorHistogram | BinnedHistogram:
    return counted.scaled(factors)


def _gather_masses(counted: ColorHistogram | BinnedHistogram, found: Fit) -> NDArray[np.int64]:
    return counted.gather_masses(found.centers)


def _refuse_none(n: int) -> None:
    if not n:
        raise InputError("no row has a value in each of the columns")
