"""What is nearest to each centre, summed over pixels: exact where they are whole numbers.

Exact sums do not depend on the order of addition, so neither do the centres of the next pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.fused import gather_all

Floats = NDArray[np.float64]

#: Sums of whole numbers are kept in two parts of so many bits, so that they can be of any size.
_PART = 32
#: Types that NumPy and Numba would add to 64 bits as floats, or not at all, and what they are.
_SIGNED: dict[Any, Any] = {
    np.dtype(np.uint64): np.dtype(np.int64),
    np.dtype(np.bool_): np.dtype(np.uint8),
}
#: Bits after the point that squared sums are divided in.
_FRACTION = 32


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the pixels nearest to each of k centres; a monoid.

    Parameters
    ----------
    masses : ndarray, (k,), int64
        Their number.
    sums : ndarray, (k, channels), float64 or int64
        Of their values. Of whole numbers the lower bits, and these at least 0.
    carries : ndarray, (k, channels), int64
        Of whole numbers the upper bits.
    inertia : float
        Sum of their squared distances to the centre, in scaled units; 0 of whole numbers, for
        which `exact_inertia` tells it.
    """

    masses: NDArray[np.int64]
    sums: NDArray[Any]
    carries: NDArray[np.int64]
    inertia: float

    @classmethod
    def of_block(
        cls, pixels: NDArray[Any], channels: int, centers: Floats, factors: Floats, *, exact: bool
    ) -> Moments:
        """Sum up a block (..., channels [+ alpha]); pixels that are masked do not count.

        Parameters
        ----------
        pixels : ndarray
        channels : int
        centers : ndarray, (k, channels)
            In scaled units: multiplied by the factors.
        factors : ndarray, (channels,)
        exact : bool
            Whether they are whole numbers of at most 32 bits.
        """
        return cls.split(pixels, channels, centers, factors, exact=exact, radii=np.empty(0))[0]

    @classmethod
    def split(
        cls,
        pixels: NDArray[Any],
        channels: int,
        centers: Floats,
        factors: Floats,
        *,
        exact: bool,
        radii: Floats,
    ) -> tuple[Moments, Moments, NDArray[Any]]:
        """Sum up a block, apart the rows that another centre may soon be nearest to.

        The parameters are those of `of_block`, and how far each centre may move, in scaled units,
        (k,), or (0,) where no rows are to be set apart.

        Returns
        -------
        settled, unsettled : Moments
        rows : ndarray, (m, channels)
            Those that the second is of.
        """
        rows = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1])
        if exact:
            rows = rows.astype(_SIGNED.get(rows.dtype, rows.dtype), copy=False)
        elif rows.dtype not in (np.float32, np.float64):
            rows = rows.astype(np.float32 if rows.dtype == np.float16 else np.float64)
        k, halves = len(centers), 2 if radii.size else 1
        masses = np.zeros(halves * (k + 1), np.int64)
        sums = np.zeros((len(masses), channels), np.int64 if exact else np.float64)
        aside = np.empty(len(rows) + 1 if radii.size else 0, np.int64)
        inertia, inertia_aside, n_aside = gather_all(
            rows, channels, centers, factors, not exact, radii, sums, masses, aside
        )
        empty = np.zeros(centers.shape, np.int64)
        settled = cls._normal(masses[:k], sums[:k], empty, inertia)
        if not radii.size:
            none = rows[:0, :channels].copy()  # a view would hold the block
            return settled, cls(empty[:, 0], np.zeros_like(sums[:k]), empty, 0.0), none
        unsettled = cls._normal(masses[k + 1 : -1], sums[k + 1 : -1], empty, inertia_aside)
        return settled, unsettled, rows[aside[:n_aside], :channels]

    @classmethod
    def _normal(
        cls,
        masses: NDArray[np.int64],
        sums: NDArray[Any],
        carries: NDArray[np.int64],
        inertia: float,
    ) -> Moments:
        if sums.dtype != np.int64:
            return cls(masses, sums, carries, inertia)
        return cls(masses, sums & ((1 << _PART) - 1), carries + (sums >> _PART), inertia)

    def merge(self, other: Moments) -> Moments:
        """Add what other pixels have, nearest to the same centres."""
        return Moments._normal(
            self.masses + other.masses,
            self.sums + other.sums,
            self.carries + other.carries,
            self.inertia + other.inertia,
        )

    def around(self, centers: Floats, moved: Floats, factors: Floats) -> Moments:
        """Tell the same of these pixels where their centres, scaled, have moved."""
        if self.sums.dtype == np.int64:
            return self
        steps, masses = moved - centers, self.masses[:, None]
        offsets = self.sums * factors - masses * centers
        change = float((masses * steps**2 - 2 * steps * offsets).sum())
        return replace(self, inertia=self.inertia + change)

    @property
    def means(self) -> Floats:
        """Mean of what is nearest to each centre, (k, channels); 0 where that is nothing."""
        totals = self.sums + self.carries * float(1 << _PART)
        found: Floats = totals / np.maximum(self.masses, 1)[:, None]
        return found

    def exact_inertia(self, squares: tuple[int, ...], centers: Floats, factors: Floats) -> float:
        """Tell the inertia of whole numbers, to the same bits however they were added up.

        Parameters
        ----------
        squares : tuple of int
            Sum of the squared values of each band.
        centers : ndarray, (k, channels)
            As the pixels are, not scaled.
        factors : ndarray, (channels,)
        """
        taken = np.flatnonzero(self.masses)
        masses, means = self.masses[taken], self.means[taken]
        counts = masses.tolist()
        total = float((masses[:, None] * ((centers[taken] - means) * factors) ** 2).sum())
        for band, square in enumerate(squares):
            lows, highs = self.sums[taken, band].tolist(), self.carries[taken, band].tolist()
            wholes = [(high << _PART) + low for low, high in zip(lows, highs, strict=True)]
            parts = zip(wholes, counts, strict=True)
            around_zero = sum((whole * whole << _FRACTION) // n for whole, n in parts)
            around_means = ((square << _FRACTION) - around_zero) / (1 << _FRACTION)
            total += around_means * float(factors[band]) ** 2
        return max(0.0, total)
