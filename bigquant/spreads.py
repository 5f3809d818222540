"""`Spread`: how far the values of each column of some points reach. Knows nothing of Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant import rowscan

#: Points that are looked at together: as float64 they take little then.
_SLICE = 1 << 16


#: What 1 can be divided by.
_LEAST_SPAN = np.finfo(np.float64).tiny

_Wholes = tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, eq=False)
class Spread:
    """Range and variance of each column, over points that lack no value.

    A monoid: `create`, `add`, `merge`. Variances are merged as Chan, Golub and LeVeque do
    ("Updating formulae and a pairwise algorithm for computing sample variances", 1979): to the
    same bits where the same parts are merged in the same order.

    Parameters
    ----------
    n : int
        Points.
    lows, highs, means, squares : ndarray, (columns,), float64
        The last are sums of squared differences from the mean.
    wholes : tuple of (int, int), optional
        Of whole numbers of at most 32 bits: the sum of each column, and that of its squares.
        These are exact, for any parts in any order.

    Examples
    --------
    >>> spread = Spread.create(2, float).add(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 9.0]]))
    >>> spread.n, spread.factors("range").tolist(), spread.factors("std").tolist()
    (2, [0.5, 1.0], [1.0, 1.0])
    """

    n: int
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    means: NDArray[np.float64]
    squares: NDArray[np.float64]
    wholes: _Wholes

    @classmethod
    def create(cls, columns: int, dtype: Any) -> Spread:
        """Make the spread of no points."""
        none, dtype = np.zeros(columns), np.dtype(dtype)
        are_whole = dtype.kind in "iu" and dtype.itemsize <= 4
        wholes = ((0, 0),) * columns if are_whole else None
        return cls(0, none + np.inf, none - np.inf, none, none, wholes)

    def add(self, points: NDArray[Any]) -> Spread:
        """Add points (n, columns), or (n, columns + 1): with 0 in the last where a value lacks."""
        found, columns = self, len(self.means)
        for start in range(0, len(points), _SLICE):
            part = points[start : start + _SLICE]
            there = np.isfinite(part[:, :columns]).all(axis=1)
            if part.shape[1] > columns:
                there &= part[:, -1] > 0
            found = found.merge(self._of(part[there, :columns]))
        return found

    def _of(self, values: NDArray[Any]) -> Spread:
        """Find the spread of a few points that lack no value."""
        columns = values.shape[1]
        if not len(values):
            return Spread.create(columns, values.dtype)
        wholes = None
        if self.wholes is not None:
            halves = np.zeros((columns, 2), np.uint64)
            rowscan.sum_squares(values, columns, halves)
            sums = values.sum(axis=0, dtype=np.int64).tolist()
            wholes = tuple(
                zip(sums, ((high << 32) + low for high, low in halves.tolist()), strict=True)
            )
        values = values.astype(np.float64)
        means = values.mean(axis=0)
        squares = ((values - means) ** 2).sum(axis=0)
        return Spread(len(values), values.min(axis=0), values.max(axis=0), means, squares, wholes)

    def merge(self, other: Spread) -> Spread:
        """Add the spread of other points."""
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        apart = other.means - self.means
        return Spread(
            n,
            np.minimum(self.lows, other.lows),
            np.maximum(self.highs, other.highs),
            self.means + apart * (other.n / n),
            self.squares + other.squares + apart**2 * (self.n * other.n / n),
            _added(self.wholes, other.wholes),
        )

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation of each column."""
        if self.wholes is None:
            return np.sqrt(self.squares / self.n)
        n = self.n
        return np.sqrt([(n * squares - total**2) / n**2 for total, squares in self.wholes])

    def factors(self, scale: str) -> NDArray[np.float64]:
        """Tell what each column is multiplied by so that it has range or standard deviation 1.

        A column of one value, or nearly so, is left as it is: it does not matter.
        """
        if scale == "none":
            return np.ones(len(self.means))
        spans = self.highs - self.lows if scale == "range" else self.deviations
        return np.divide(1, spans, out=np.ones_like(spans), where=spans > _LEAST_SPAN)


def _added(some: _Wholes, others: _Wholes) -> _Wholes:
    if some is None or others is None:
        return None
    pairs = zip(some, others, strict=True)
    return tuple((a + c, b + d) for (a, b), (c, d) in pairs)


def spread_block(points: NDArray[Any], columns: int) -> Spread:
    """Find the spread of one block of points."""
    return Spread.create(columns, points.dtype).add(points)
