"""How far colours are apart: the formulas. Knows no chunks."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Pairs of colours that the formula is given at once: what they take stays in the cache.
_SLICE = 1 << 14


def psnr(mse: float, channels: int, peak: float = 255) -> float:
    """Turn a squared error per pixel into a peak signal-to-noise ratio.

    Parameters
    ----------
    mse : float
        Squared error per pixel, summed over the channels.
    channels : int
    peak : float
        The greatest difference that two values can have.

    Returns
    -------
    float
        In dB, per channel value; infinite without an error.
    """
    per_value = mse / channels
    if not per_value:
        return math.inf
    ratio = peak * peak / per_value
    return 10 * math.log10(ratio) if ratio else -math.inf


def find_knee(ks: Sequence[int], errors: Sequence[float]) -> int | None:
    """Find the number of colours from which on more of them gain little; None where there is none.

    That is "Kneedle": V. Satopaa et al., "Finding a 'kneedle' in a haystack" (2011), of a convex
    curve that falls.
    """
    if len(ks) < 3:
        return None
    from kneed import KneeLocator  # noqa: PLC0415 - only sweeps want it, and it imports SciPy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is none
        knee = KneeLocator(list(ks), list(errors), curve="convex", direction="decreasing").knee
    return None if knee is None else int(knee)


def ciede2000(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure how different pairs of sRGB colours look: CIEDE2000, under the white of D65.

    The same bits for a pair, wherever in the arrays it stands.

    Parameters
    ----------
    first, second : ndarray, (n, 1 or 3), uint8
        Gray or RGB.

    Returns
    -------
    ndarray, (n,), float64
        0 for equal colours, 100 from black to white; about 1 can just be seen.
    """
    from skimage.color import deltaE_ciede2000  # noqa: PLC0415 - only comparisons want it

    result = np.empty(len(first))
    for start in range(0, len(first), _SLICE):
        part = slice(start, start + _SLICE)
        result[part] = deltaE_ciede2000(_lab(first[part]), _lab(second[part]), channel_axis=0)
    return result


def _lab(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Turn colours (n, 1 or 3) into CIELAB (3, n)."""
    from skimage.color import xyz2lab  # noqa: PLC0415

    lights = _lights()
    red, green, blue = np.broadcast_to(colors, (len(colors), 3)).T
    lab: NDArray[np.float64] = xyz2lab(
        lights[0][:, red] + lights[1][:, green] + lights[2][:, blue], channel_axis=0
    )
    return lab


@functools.cache
def _lights() -> NDArray[np.float64]:
    """Tabulate the light (XYZ) of each value of each channel alone, (channel, XYZ, value).

    Light adds up. `rgb2xyz` of whole colours is slower, and multiplies matrices by a BLAS, whose
    last bit may depend on where in an array a colour stands.
    """
    from skimage.color import rgb2xyz  # noqa: PLC0415

    alone = np.zeros((3, 256, 3), np.uint8)
    for channel in range(3):
        alone[channel, :, channel] = np.arange(256)
    lights: NDArray[np.float64] = rgb2xyz(alone)
    return lights.transpose(0, 2, 1).copy()
