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
#: Colours that are mixed together, at most; they fit the innermost cache.
_BATCH = 256
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


def mix(
    points: NDArray[np.float32], centers: NDArray[np.float32], partners: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Find the two centres that each point is mixed of, and how much of the other.

    One is the nearest; the other is that with which the mean comes nearest to the point and the
    grain is slight.

    Parameters
    ----------
    points : ndarray, (n, dimensions), float32
        In any coordinates in which mixtures lie on straight lines.
    centers : ndarray, (k, dimensions), float32
        Colours of a palette, in the same; at most 65536.
    partners : ndarray, (k, m), int32
        Of `sort_partners`.

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
    deltas = np.zeros((dimensions, _BATCH), np.float32)
    room = np.empty((3, _BATCH), np.float32)
    chosen = np.empty(_BATCH, np.int32)
    start = 0
    while start < n:
        own, size = nearest[order[start]], 0
        while size < _BATCH and start + size < n and nearest[order[start + size]] == own:
            point = points[order[start + size]]
            for axis in range(dimensions):
                deltas[axis, size] = point[axis] - centers[own, axis]
            size += 1
        deltas[:, size:] = 0
        _choose_partner(deltas, centers, own, partners[own], room, chosen)
        part = room[0]
        for i in range(size):
            place = order[start + i]
            n_steps = np.int32(part[i] * np.float32(LEVELS) + np.float32(0.5))
            is_mixed = n_steps >= _FEWEST
            other[place] = chosen[i] if is_mixed else own
            steps[place] = n_steps if is_mixed else 0
        start += size


@jit
def _choose_partner(
    deltas: NDArray[np.float32],  # IN  (dimensions, batch) from the centre to the points
    centers: NDArray[np.float32],  # IN  (k, dimensions)
    own: int,  # the centre of all points
    partners: NDArray[np.int32],  # IN  (m,) the nearest first
    room: NDArray[np.float32],  # OUT (3, batch), of which the first: how much of the partner
    chosen: NDArray[np.int32],  # OUT (batch,) that partner
) -> None:
    """Try one partner after the other."""
    part, best, along = room[0], room[1], room[2]
    part[:], best[:], chosen[:] = 0, -np.inf, own
    for number in range(partners.size):
        j = partners[number]
        across = np.float32(0)
        for axis in range(deltas.shape[0]):
            v = centers[j, axis] - centers[own, axis]
            across += v * v
        if across == 0:
            continue
        along[:] = 0
        for axis in range(deltas.shape[0]):
            d, v = deltas[axis], centers[j, axis] - centers[own, axis]
            for i in range(_BATCH):
                along[i] += d[i] * v
        _try_partner(along, np.float32(1) / across, j, best, part, chosen)


@jit
def _try_partner(
    along: NDArray[np.float32],  # IN  (batch,) d.v, of d to the point and v to the partner
    inverse: np.float32,  # 1 / v.v
    j: int,
    best: NDArray[np.float32],  # INOUT (batch,) what the best mixture gains
    part: NDArray[np.float32],  # INOUT (batch,) how much of its partner there is in it
    chosen: NDArray[np.int32],  # INOUT (batch,) that partner
) -> None:
    """Take centre j where it makes a better mixture than those before; without a branch.

    The mean nearest to the point has t = d.v / v.v of it; its squared distance from the point is
    less than d.d by t d.v, and its pixels vary by t (1 - t) v.v.
    """
    half, grain = np.float32(0.5), np.float32(_GRAIN)
    for i in range(_BATCH):
        t = along[i] * inverse
        gained = t * along[i]
        gain = gained - grain * (along[i] - gained)
        better = (along[i] > 0) & (gain > best[i])
        best[i] = gain if better else best[i]
        part[i] = min(t, half) if better else part[i]
        chosen[i] = j if better else chosen[i]
