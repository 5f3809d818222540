"""Two colours of a palette in place of one that it lacks: which two, and in which ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit
from bigquant.nearest import cell_candidates, nearest_in_cells, nearest_of_all

#: Starts and ids of `nearest.cell_candidates`.
Cells = tuple[NDArray[np.int64], NDArray[np.int32]]

#: Steps of the ratio of a mixture.
LEVELS = 1 << 12
#: What the grain of a mixture counts, beside the distance of its mean from the colour, squared.
#: So of two mixtures that are about as good that of nearer colours is taken.
_GRAIN = 1 / 8
#: Fewer pixels of a second colour than these steps are but specks: they are left out.
_FEWEST = LEVELS // 64
#: Colours that are mixed together, at most; they fit the innermost cache.
_BATCH = 256
#: The processor takes so many of them with a few instructions; odd ones would cost it more.
_AT_ONCE = 16
#: So many are tried in less time than the candidates of a cell.
_FEW_CENTERS = 128
#: Centres that one may be mixed with, its nearest.
_PARTNERS = 32


def sort_partners(centers: NDArray[np.float32]) -> NDArray[np.int32]:
    """List for each centre those that it may be mixed with, the nearest first, (k, at most 33).

    It is itself among them. Mixtures with others are coarse, and seldom better.
    """
    k = len(centers)
    order = np.empty((k, min(k, _PARTNERS + 1)), np.int32)
    for i in range(k):
        apart = ((centers - centers[i]) ** 2).sum(axis=1)
        order[i] = np.argsort(apart, kind="stable")[: order.shape[1]]
    return order


def list_cells(centers: NDArray[np.float32]) -> Cells | None:
    """List which 8-bit RGB centres may be nearest, by cell, where that is quicker than to try all.

    Only for points that are 8-bit colours, too, whose distances single precision holds exactly.
    """
    if centers.shape[1] < 3 or len(centers) < _FEW_CENTERS:
        return None
    return cell_candidates(centers.astype(np.float64))


def mix(
    points: NDArray[np.float32],
    centers: NDArray[np.float32],
    partners: NDArray[np.int32],
    cells: Cells | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Find the two centres that each point is mixed of, and how much of the other.

    One is the nearest; the other is that with which the mean comes nearest to the point and the
    grain is slight.

    Parameters
    ----------
    points : ndarray, (n, dimensions), float32
        In any coordinates, three at most, in which mixtures lie on straight lines.
    centers : ndarray, (k, dimensions), float32
        Colours of a palette, in the same; at most 65536.
    partners : ndarray, (k, m), int32
        Of `sort_partners`.
    cells : (ndarray, ndarray), optional
        Of `list_cells`.

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
    if cells is None:
        nearest_of_all(points, centers, nearest, np.empty(n, np.float32))
    else:  # to the same bits
        nearest_in_cells(points, centers.astype(np.float64), *cells, nearest, np.empty(n))
    order = np.argsort(nearest.astype(np.uint16), kind="stable")  # sorted by radix
    _find_others(points, centers, partners, nearest, order, other, steps)
    return nearest, other, steps


@jit
def _find_others(
    points: NDArray[np.float32],  # IN  (n, dimensions)
    centers: NDArray[np.float32],  # IN  (k, dimensions)
    partners: NDArray[np.int32],  # IN  (k, m) of `sort_partners`
    nearest: NDArray[np.int32],  # IN  (n,) centre of each point
    order: NDArray[np.int64],  # IN  (n,) points by their centre
    other: NDArray[np.int32],  # OUT (n,) as of `mix`
    steps: NDArray[np.int32],  # OUT (n,) how much of the other, at most one half, in `LEVELS`
) -> None:
    """Find the centre that each point's nearest one is best mixed with, and how much of it.

    Some points of one centre at a time are held against its partners.
    """
    n, dimensions = points.shape
    deltas, towards = np.zeros((3, _BATCH), np.float32), np.zeros(3, np.float32)
    part, best = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.float32)
    chosen = np.empty(_BATCH, np.int32)
    start = 0
    while start < n:
        own, size = nearest[order[start]], 0
        while size < _BATCH and start + size < n and nearest[order[start + size]] == own:
            point = points[order[start + size]]
            for axis in range(dimensions):
                deltas[axis, size] = point[axis] - centers[own, axis]
            size += 1
        filled = (size + _AT_ONCE - 1) // _AT_ONCE * _AT_ONCE
        part[:filled], best[:filled], chosen[:filled] = 0, -np.inf, own
        for number in range(partners.shape[1]):
            partner = partners[own, number]
            for axis in range(dimensions):
                towards[axis] = centers[partner, axis] - centers[own, axis]
            _try_partner(deltas, towards, partner, filled, best, part, chosen)
        for i in range(size):
            place = order[start + i]
            n_steps = np.int32(part[i] * np.float32(LEVELS) + np.float32(0.5))
            is_mixed = n_steps >= _FEWEST
            other[place] = chosen[i] if is_mixed else own
            steps[place] = n_steps if is_mixed else 0
        start += size


@jit
def _try_partner(
    deltas: NDArray[np.float32],  # IN  (3, batch) from the centre to the points
    towards: NDArray[np.float32],  # IN  (3,) from the centre to the partner
    j: int,
    n: int,  # points of the batch
    best: NDArray[np.float32],  # INOUT (batch,) what the best mixture gains
    part: NDArray[np.float32],  # INOUT (batch,) how much of its partner there is in it
    chosen: NDArray[np.int32],  # INOUT (batch,) that partner
) -> None:
    """Take centre j where it makes a better mixture than those before; without a branch.

    With d to the point and v to the partner, the mean nearest to the point has t = d.v / v.v of
    it; its squared distance from the point is less than d.d by t d.v, and its pixels vary by
    t (1 - t) v.v.
    """
    half, grain = np.float32(0.5), np.float32(_GRAIN)
    x, y, z = deltas[0], deltas[1], deltas[2]
    vx, vy, vz = towards[0], towards[1], towards[2]
    across = vx * vx + vy * vy + vz * vz
    if across == 0:
        return
    inverse = np.float32(1) / across
    for i in range(n):
        along = x[i] * vx + y[i] * vy + z[i] * vz
        t = along * inverse
        gained = t * along
        gain = gained - grain * (along - gained)
        better = (along > 0) & (gain > best[i])
        best[i] = gain if better else best[i]
        part[i] = min(t, half) if better else part[i]
        chosen[i] = j if better else chosen[i]
