"""`Grid`: how the values of pixels of any type become whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import InputError

Floats = NDArray[np.float64]

#: Bits of a code, by the number of bands: the codes of a pixel together have 64 at most.
_BITS = {1: 24, 2: 20, 3: 20, 4: 16}
#: Squares of values beyond this are beyond floats.
_MAX_VALUE = 1e150


def check_reach(lows: NDArray[np.float64], highs: NDArray[np.float64]) -> None:
    """Refuse values, of these ranges, whose squares are beyond floats."""
    if not (np.maximum(np.abs(lows), np.abs(highs)) <= _MAX_VALUE).all():
        raise InputError(
            f"the values reach from {lows.min():g} to {highs.max():g}: beyond "
            f"{_MAX_VALUE:g} distances are beyond floating point: mask or scale such values"
        )


@dataclass(frozen=True, eq=False)
class Grid:
    """How values become codes: ``floor((value - low) / step + 0.5)``, by the band.

    Parameters
    ----------
    dtype : dtype
        Of the pixels.
    lows : ndarray, (channels,), float64
        The value of code 0.
    steps : ndarray, (channels,), float64
        From the value of one code to that of the next.
    bits : int
        Of a code.
    """

    dtype: np.dtype[Any]
    lows: Floats
    steps: Floats
    bits: int

    @classmethod
    def of_type(cls, dtype: Any, channels: int) -> Grid | None:
        """Make the grid of whole numbers of up to 16 bits; None for types that need a range."""
        dtype = np.dtype(dtype)
        if dtype.kind not in "ui" or dtype.itemsize > 2:
            return None
        low = float(np.iinfo(dtype).min)
        return cls(dtype, np.full(channels, low), np.ones(channels), 8 * dtype.itemsize)

    @classmethod
    def of_range(cls, dtype: Any, lows: Any, highs: Any, *, common: bool) -> Grid:
        """Make a grid over a range of each band.

        Parameters
        ----------
        dtype : dtype
        lows, highs : array-like, (channels,)
            Least and greatest value.
        common : bool
            Whether all bands have the same step, for those of the same units. Else each
            has as many codes over its range as the others.
        """
        dtype = np.dtype(dtype)
        lows, highs = np.array(lows, np.float64), np.array(highs, np.float64)
        check_reach(lows, highs)
        bits = _BITS[len(lows)]
        steps = (highs - lows) / ((1 << bits) - 1)
        if common:
            least = 1.0 if dtype.kind in "ui" else 0.0  # nothing lies between whole numbers
            steps = np.full(len(lows), max(float(steps.max()), least))
        steps = np.where(steps >= np.finfo(np.float64).tiny, steps, 1.0)  # bands of one value
        return cls(dtype, lows, steps, bits)

    @property
    def channels(self) -> int:
        """Number of bands."""
        return len(self.lows)

    @property
    def is_exact(self) -> bool:
        """Whether every value has a code of its own, so that none is rounded."""
        return self.dtype.kind in "ui" and bool((self.steps == 1).all())

    def is_same(self, other: Grid) -> bool:
        """Whether pixels have the same codes in both."""
        return self._identity == other._identity

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.dtype, self.lows.tobytes(), self.steps.tobytes(), self.bits
