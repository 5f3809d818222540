"""Distinct 8-bit RGB colours as a tree of cubes, so that k-means looks at few of them.

Every cube of the tree knows the count, sums and sum of squares of its colours: its moments.
Where all of a cube belongs to one centre, the centre takes the cube's moments, and none of
its colours is looked at. This is the filtering algorithm of T. Kanungo et al., "An efficient
k-means clustering algorithm: analysis and implementation" (2002), on an octree. Moments are
integers, so their sums are exact, and the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit
from bigquant.nearest import narrow, nearest_candidate, nearest_of_all

#: Cubes at depth d have 256 >> d codes a side; those of the last depth are not divided.
LAST_DEPTH = 6
_N_KEYS = 1 << 3 * LAST_DEPTH
#: count, sum of r, g, b, sum of squares
N_MOMENTS = 5


@dataclass(frozen=True, eq=False)
class ColorTree:
    """Cubes in the order in which a walk from the root comes upon them.

    Parameters
    ----------
    colors : ndarray, (n, 3), uint8
        Those of a cube side by side.
    counts : ndarray, (n,), int64
    corners : ndarray, (cubes, 3), uint8
        Lowest code of each cube.
    depths : ndarray, (cubes,), int64
    skips : ndarray, (cubes,), int64
        Index of the first cube after a cube's own.
    firsts : ndarray, (cubes + 1,), int64
        Index of a cube's first colour.
    moments : ndarray, (cubes, 5), int64
    """

    colors: NDArray[np.uint8]
    counts: NDArray[np.int64]
    corners: NDArray[np.uint8]
    depths: NDArray[np.int64]
    skips: NDArray[np.int64]
    firsts: NDArray[np.int64]
    moments: NDArray[np.int64]
    _last: dict[bytes, NDArray[np.int64]] = field(default_factory=dict, init=False)

    @classmethod
    def grow(cls, colors: NDArray[np.uint8], counts: NDArray[np.uint64]) -> ColorTree:
        """Make the tree of distinct colours (n, 3) and their counts (n,)."""
        starts = np.zeros(_N_KEYS + 1, np.int64)
        count_keys(colors, starts)
        n_cubes = count_cubes(starts)
        sorted_colors, sorted_counts = np.empty_like(colors), np.empty(len(colors), np.int64)
        sort_by_key(colors, counts, starts[:-1].copy(), sorted_colors, sorted_counts)
        tree = cls(
            sorted_colors,
            sorted_counts,
            np.empty((n_cubes, 3), np.uint8),
            np.empty(n_cubes, np.int64),
            np.empty(n_cubes, np.int64),
            np.empty(n_cubes + 1, np.int64),
            np.zeros((n_cubes, N_MOMENTS), np.int64),
        )
        fill_cubes(
            sorted_colors, sorted_counts, starts,
            tree.corners, tree.depths, tree.skips, tree.firsts, tree.moments,
        )  # fmt: skip
        return tree

    def gather(self, centers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sum the moments (k, 5) of what is nearest to each centre; ties to the lower index.

        Parameters
        ----------
        centers : ndarray, (k, 3), float64
        """
        key = centers.tobytes()
        found = self._last.get(key)
        if found is None:  # who measures a fit asks what its last iteration has just found
            found = np.zeros((len(centers), N_MOMENTS), np.int64)
            gather_moments(
                self.colors, self.counts, self.corners, self.depths, self.skips, self.firsts,
                self.moments, centers, found,
            )  # fmt: skip
            self._last.clear()
            self._last[key] = found
        return found.copy()


@jit
def _spread(v: int) -> int:
    """Spread six bits of a code, so that two places come free after each."""
    spread = 0
    for bit in range(LAST_DEPTH):
        spread |= ((v >> (8 - LAST_DEPTH + bit)) & 1) << (3 * bit)
    return spread


@jit
def _key_parts() -> NDArray[np.int64]:
    parts = np.empty(256, np.int64)
    for v in range(256):
        parts[v] = _spread(v)
    return parts


@jit
def _key(color: NDArray[np.uint8], parts: NDArray[np.int64]) -> int:
    """Tell a colour's cube of the last depth: its path from the root, three bits a step."""
    return int(parts[color[0]] << 2 | parts[color[1]] << 1 | parts[color[2]])


@jit
def count_keys(
    colors: NDArray[np.uint8],  # IN  (n, 3)
    starts: NDArray[np.int64],  # OUT (keys + 1,) zeros before; where each key's colours start
) -> None:
    """Count the colours of every cube of the last depth."""
    parts = _key_parts()
    for i in range(colors.shape[0]):
        starts[_key(colors[i], parts) + 1] += 1
    for key in range(starts.size - 1):
        starts[key + 1] += starts[key]


@jit
def sort_by_key(
    colors: NDArray[np.uint8],  # IN  (n, 3)
    counts: NDArray[np.uint64],  # IN  (n,)
    places: NDArray[np.int64],  # INOUT (keys,) where each key's colours start, then end
    sorted_colors: NDArray[np.uint8],  # OUT (n, 3)
    sorted_counts: NDArray[np.int64],  # OUT (n,)
) -> None:
    """Bring the colours of every cube together."""
    parts = _key_parts()
    for i in range(colors.shape[0]):
        key = _key(colors[i], parts)
        at = places[key]
        places[key] += 1
        for channel in range(3):
            sorted_colors[at, channel] = colors[i, channel]
        sorted_counts[at] = np.int64(counts[i])


@jit
def _parting(key: int, before: int) -> int:
    """Tell the depth from which on two paths differ."""
    depth = LAST_DEPTH
    differing = key ^ before
    while differing > 7:
        differing >>= 3
        depth -= 1
    return depth


@jit
def _add(color: NDArray[np.uint8], count: int, moments: NDArray[np.int64]) -> None:
    """Add the moments of one colour to others."""
    r, g, b = np.int64(color[0]), np.int64(color[1]), np.int64(color[2])
    moments[0] += count
    moments[1] += count * r
    moments[2] += count * g
    moments[3] += count * b
    moments[4] += count * (r * r + g * g + b * b)


@jit
def count_cubes(starts: NDArray[np.int64]) -> int:
    """Count the cubes, of all depths from 1 on, that hold colours."""
    n, before = 0, -1
    for key in range(starts.size - 1):
        if starts[key + 1] > starts[key]:
            n += LAST_DEPTH + 1 - (1 if before < 0 else _parting(key, before))
            before = key
    return n


@jit
def fill_cubes(
    colors: NDArray[np.uint8],  # IN  of ColorTree
    counts: NDArray[np.int64],  # IN  of ColorTree
    starts: NDArray[np.int64],  # IN  of count_keys
    corners: NDArray[np.uint8],  # OUT, and all that follow
    depths: NDArray[np.int64],
    skips: NDArray[np.int64],
    firsts: NDArray[np.int64],
    moments: NDArray[np.int64],  # zeros before
) -> None:
    """Lay the cubes down, and sum their moments."""
    path = np.full(LAST_DEPTH + 1, -1, np.int64)  # the cube of each depth we are in
    n, before = 0, -1
    for key in range(starts.size - 1):
        if starts[key + 1] == starts[key]:
            continue
        parting = 1 if before < 0 else _parting(key, before)
        before = key
        for depth in range(parting, LAST_DEPTH + 1):
            if path[depth] >= 0:
                skips[path[depth]] = n
        for depth in range(parting, LAST_DEPTH + 1):
            path[depth] = n
            depths[n] = depth
            firsts[n] = starts[key]
            side = 256 >> depth
            for channel in range(3):
                corners[n, channel] = colors[starts[key], channel] // side * side
            n += 1
        for i in range(starts[key], starts[key + 1]):
            _add(colors[i], counts[i], moments[n - 1])
        for depth in range(1, LAST_DEPTH):
            for m in range(moments.shape[1]):
                moments[path[depth], m] += moments[n - 1, m]
    for depth in range(1, LAST_DEPTH + 1):
        skips[path[depth]] = n
    firsts[n] = colors.shape[0]


@jit
def gather_moments(
    colors: NDArray[np.uint8],
    counts: NDArray[np.int64],
    corners: NDArray[np.uint8],
    depths: NDArray[np.int64],
    skips: NDArray[np.int64],
    firsts: NDArray[np.int64],
    moments: NDArray[np.int64],
    centers: NDArray[np.float64],  # IN  (k, 3)
    found: NDArray[np.int64],  # OUT (k, 5) zeros before
) -> None:
    """See `ColorTree.gather`; the first arrays are its own."""
    k = centers.shape[0]
    lists = np.empty((LAST_DEPTH + 1, k), np.int32)
    sizes = np.empty(LAST_DEPTH + 1, np.int64)
    lists[0] = np.arange(k)
    sizes[0] = k
    cube = 0
    while cube < depths.size:
        d = depths[cube]
        n = narrow(centers, lists[d - 1], sizes[d - 1], corners[cube], (256 >> d) - 1, lists[d])
        sizes[d] = n
        if n > 1 and d < LAST_DEPTH:
            cube += 1
            continue
        if n == 1:
            for m in range(N_MOMENTS):
                found[lists[d, 0], m] += moments[cube, m]
        else:
            for i in range(firsts[cube], firsts[skips[cube]]):
                r, g, b = float(colors[i, 0]), float(colors[i, 1]), float(colors[i, 2])
                label = nearest_candidate(r, g, b, centers, lists[d], n)
                _add(colors[i], counts[i], found[label])
        cube = skips[cube]


@jit
def gather_means(
    points: NDArray[np.float32],  # IN  (n, 3) means of cubes
    moments: NDArray[np.int64],  # IN  (n, 5) of these cubes
    centers: NDArray[np.float64],  # IN  (k, 3)
    masses: NDArray[np.float64],  # OUT (k,) pixels of the cubes nearest to each centre
    means: NDArray[np.float64],  # OUT (k, 3) their mean; 0 where there are none
) -> float:
    """Sum up the cubes nearest to each centre; tell the inertia around the means."""
    k = centers.shape[0]
    labels, distances = np.empty(len(points), np.int32), np.empty(len(points), np.float32)
    nearest_of_all(points, centers.astype(np.float32), labels, distances)
    found = np.zeros((k, N_MOMENTS), np.int64)
    for i in range(labels.size):
        for m in range(N_MOMENTS):
            found[labels[i], m] += moments[i, m]
    inertia = 0.0
    for j in range(k):
        masses[j] = found[j, 0]
        inertia += found[j, N_MOMENTS - 1]
        for channel in range(3):
            total = float(found[j, 1 + channel])
            means[j, channel] = total / max(masses[j], 1.0)
            inertia -= total * means[j, channel]
    return max(0.0, inertia)
