"""Two colours of a palette in place of one that it lacks: which two, and in which ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit
from bigquant.nearest import nearest_of_all

#: Steps of the ratio of a mixture.
LEVELS = 1 << 12
#: What the grain of a mixture counts, beside the distance of its mean from the colour, squared.
#: So of two mixtures that are about as good that of nearer colours is taken.
_GRAIN = 1 / 8
#: Fewer pixels of a second colour than these steps are but specks: they are left out.
_FEWEST = LEVELS // 64
#: Colours that are mixed together; they fit the innermost cache.
_BATCH = 256


def mix(
    points: NDArray[np.float32], centers: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Find the two centres that each point is mixed of, and how much of the other.

    One is the nearest; the other is that with which the mean comes nearest to the point and the
    grain is slight.

    Parameters
    ----------
    points : ndarray, (n, dimensions), float32
        In any coordinates in which mixtures lie on straight lines.
    centers : ndarray, (k, dimensions), float32
        Colours of a palette, in the same.

    Returns
    -------
    nearest : ndarray, (n,), int32
        Of equally near centres the lowest index.
    other : ndarray, (n,), int32
        The nearest again where no other brings the mean nearer to the point, or hardly.
    steps : ndarray, (n,), int32
        Of `LEVELS` pixels so many are of the other: one half at most.
    """
    n = len(points)
    nearest, other, steps = (np.empty(n, np.int32) for _ in range(3))
    nearest_of_all(points, centers, nearest, np.empty(n, np.float32))
    _find_others(points, centers, nearest, np.float32(_GRAIN), other, steps)
    return nearest, other, steps


@jit
def _find_others(
    points: NDArray[np.float32],  # IN  (n, dimensions)
    centers: NDArray[np.float32],  # IN  (k, dimensions)
    nearest: NDArray[np.int32],  # IN  (n,) centre of each point
    grain: np.float32,  # what the variance of a mixture counts
    other: NDArray[np.int32],  # OUT (n,) as of `mix`
    steps: NDArray[np.int32],  # OUT (n,) how much of the other, at most one half, in `LEVELS`
) -> None:
    """Find the centre that each point's nearest one is best mixed with, and how much of it.

    Some points at a time are held against one centre after the other, as in `nearest_of_all`.
    """
    n, dimensions = points.shape
    deltas = np.zeros((dimensions, _BATCH), np.float32)
    bases = np.zeros((dimensions, _BATCH), np.float32)
    along, across = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.float32)
    best, part = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.float32)
    chosen = np.empty(_BATCH, np.int32)
    for start in range(0, n, _BATCH):
        size = min(_BATCH, n - start)
        for i in range(size):
            chosen[i] = nearest[start + i]
            for axis in range(dimensions):
                bases[axis, i] = centers[chosen[i], axis]
                deltas[axis, i] = points[start + i, axis] - bases[axis, i]
        best[:], part[:] = -np.inf, 0
        for j in range(centers.shape[0]):
            _measure(deltas, bases, centers[j], along, across)
            _try_other(along, across, j, grain, best, part, chosen)
        for i in range(size):
            n_steps = np.int32(part[i] * np.float32(LEVELS) + np.float32(0.5))
            is_mixed = n_steps >= _FEWEST
            other[start + i] = chosen[i] if is_mixed else nearest[start + i]
            steps[start + i] = n_steps if is_mixed else 0


@jit
def _measure(
    deltas: NDArray[np.float32],  # IN  (dimensions, batch) from the nearest centres to the points
    bases: NDArray[np.float32],  # IN  (dimensions, batch) the nearest centres
    center: NDArray[np.float32],  # IN  (dimensions,)
    along: NDArray[np.float32],  # OUT (batch,) d.v, of d to the point and v to the centre
    across: NDArray[np.float32],  # OUT (batch,) v.v
) -> None:
    along[:], across[:] = 0, 0
    for axis in range(deltas.shape[0]):
        d, base, end = deltas[axis], bases[axis], center[axis]
        for i in range(along.size):
            v = end - base[i]
            along[i] += d[i] * v
            across[i] += v * v


@jit
def _try_other(
    along: NDArray[np.float32],  # IN  (batch,) of _measure
    across: NDArray[np.float32],  # IN  (batch,) of _measure
    j: int,
    grain: np.float32,
    best: NDArray[np.float32],  # INOUT (batch,) what the best mixture gains
    part: NDArray[np.float32],  # INOUT (batch,) how much of its other centre there is in it
    chosen: NDArray[np.int32],  # INOUT (batch,) that centre
) -> None:
    """Take centre j where it makes a better mixture than those before; without a branch.

    The mean nearest to the point has t = d.v / v.v of it; its squared distance from the point is
    less than d.d by t d.v, and its pixels vary by t (1 - t) v.v.
    """
    half, least = np.float32(0.5), np.float32(1e-30)
    for i in range(best.size):
        t = along[i] / max(across[i], least)
        gained = t * along[i]
        gain = gained - grain * (along[i] - gained)
        better = (along[i] > 0) & (gain > best[i])
        best[i] = gain if better else best[i]
        part[i] = min(t, half) if better else part[i]
        chosen[i] = j if better else chosen[i]
