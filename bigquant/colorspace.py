"""Spaces that 8-bit colours are measured in: where each lies there, and what lies where.

The formulas are coloraide's, those of CSS Color 4: sRGB's transfer curve, OKLab (B. Ottosson,
2020) and CIELAB, both under the white of D65. Points of OKLab have a and b twice as far apart, so
that their distances are those of the formula dE OK2: Ottosson found that scale to fit what people
see, better than OKLab as it is. coloraide converts one colour at a time; here its curve and its
matrices are tabulated, so that millions take no longer than they must.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bigquant.jit import jit

Floats = NDArray[np.float64]

#: What distances can be measured in: values as they are stored, light, OKLab or CIELAB.
SPACES = ("srgb", "linear", "oklab", "lab")
#: Colours whose points are made at once: what that takes stays in the cache.
_SLICE = 1 << 13
#: How much farther apart than OKLab has them the points' a and b are.
_OK2 = 2.0
#: What a point of CIELAB is made of: L, a and b by the compressed light of X, Y and Z.
_LAB_OF_ROOTS = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))


def points_of(colors: NDArray[np.uint8], space: str) -> Floats:
    """Find where colours lie in a space.

    A colour's point is the same bits wherever in the array it stands: its light is added up
    from tables, and no matrix is multiplied by a BLAS.

    Parameters
    ----------
    colors : ndarray, (n, 1 or 3), uint8
        Gray, which is RGB of three equal values, or RGB.
    space : {"linear", "oklab", "lab"}

    Returns
    -------
    ndarray, (n, 3), float64
        Light of red, green and blue, 0 to 1; or lightness, a and b: of OKLab 0 to 1 and twice a
        and b, of CIELAB 0 to 100.

    Examples
    --------
    >>> points_of(np.array([[255, 255, 255], [255, 0, 0]], np.uint8), "oklab").round(3).tolist()
    [[1.0, -0.0, 0.0], [0.628, 0.45, 0.252]]
    """
    points = np.empty((len(colors), 3))
    for start in range(0, len(colors), _SLICE):
        part = slice(start, start + _SLICE)
        _fill(colors[part], space, points[part])
    return points


def _fill(colors: NDArray[np.uint8], space: str, points: Floats) -> None:
    """Find the points of a slice of colours."""
    red, green, blue = np.broadcast_to(colors, points.shape).T
    lights = _lights(space)
    mixed = lights[0][:, red] + lights[1][:, green] + lights[2][:, blue]
    if space == "linear":
        points[:] = mixed.T
        return
    first, second, third = _compressed(mixed) if space == "lab" else _cube_roots(mixed)
    for axis, (x, y, z) in enumerate(_matrix(space)):
        points[:, axis] = x * first + y * second + z * third
    if space == "lab":
        points[:, 0] -= 16.0


def points_of_centers(centers: Floats, space: str) -> Floats:
    """Do the same with colours between those of 8 bits, (k, 1 or 3), 0 to 255, one at a time."""
    from coloraide.spaces.srgb import eotf_srgb  # noqa: PLC0415 - few want another space

    rows = np.broadcast_to(centers / 255, (len(centers), 3)).tolist()
    into = _from_light(space)
    return np.array([into(eotf_srgb(row)) for row in rows]) * _scales(space)


def centers_of(points: Floats, space: str, channels: int) -> Floats:
    """Find the colours that lie at points of a space, in terms of 8 bits but not rounded.

    Parameters
    ----------
    points : ndarray, (k, 3), float64
    space : {"linear", "oklab", "lab"}
    channels : {1, 3}
        Of the colours. Gray is the mean of red, green and blue.

    Returns
    -------
    ndarray, (k, channels), float64
        0 to 255; what no screen can show is brought there channel by channel.
    """
    from coloraide.spaces.srgb import inverse_eotf_srgb  # noqa: PLC0415 - few want another space

    back = _to_light(space)
    rows = (points / _scales(space)).tolist()
    values = np.array([inverse_eotf_srgb(back(row)) for row in rows])
    shown: Floats = np.clip(values, 0.0, 1.0) * 255
    return shown.mean(axis=1, keepdims=True) if channels == 1 else shown


def _scales(space: str) -> Floats:
    """Tell what the coordinates of a space are multiplied by."""
    return np.array([1.0, _OK2, _OK2] if space == "oklab" else [1.0, 1.0, 1.0])


def _compressed(light: Floats) -> Floats:
    """Compress light as CIELAB does, (3, n): by cube roots, by a line where it is dark."""
    from coloraide.spaces.lab import EPSILON, KAPPA  # noqa: PLC0415

    found: Floats = np.where(light > EPSILON, _cube_roots(light), (KAPPA * light + 16) / 116)
    return found


@jit
def _cube_roots(light: Floats) -> Floats:
    """Take the C library's cube roots, (3, n): NumPy's last bits depend on the processor."""
    roots = np.empty_like(light)
    for i in range(light.shape[0]):
        for j in range(light.shape[1]):
            roots[i, j] = np.cbrt(light[i, j])
    return roots


@functools.cache
def _matrix(space: str) -> tuple[tuple[float, ...], ...]:
    """Get the matrix that makes lightness, a and b of compressed light."""
    from coloraide.spaces.oklab import LMS3_TO_OKLAB  # noqa: PLC0415

    if space == "lab":
        return _LAB_OF_ROOTS
    lightness, *chroma = map(tuple, LMS3_TO_OKLAB)
    return lightness, *(tuple(_OK2 * number for number in row) for row in chroma)


@functools.cache
def _lights(space: str) -> Floats:
    """Tabulate the light of each value of each channel alone, (channel, 3, value): it adds up.

    In terms of what the space compresses: cones of OKLab, X, Y and Z of CIELAB by their white.
    """
    from coloraide.spaces.oklab import XYZD65_TO_LMS  # noqa: PLC0415
    from coloraide.spaces.srgb import eotf_srgb  # noqa: PLC0415
    from coloraide.spaces.srgb_linear import RGB_TO_XYZ  # noqa: PLC0415

    linear = np.array(eotf_srgb((np.arange(256) / 255).tolist()))
    to_xyz = np.array(RGB_TO_XYZ)
    matrix = {
        "linear": np.eye(3),
        "oklab": _product(np.array(XYZD65_TO_LMS), to_xyz),
        "lab": to_xyz / np.array(_white())[:, None],
    }[space]
    lights: Floats = matrix.T[:, :, None] * linear
    return lights


def _product(first: Floats, second: Floats) -> Floats:
    """Multiply matrices (3, 3), adding up in one order, whatever the processor."""
    product: Floats = (
        first[:, :1] * second[0] + first[:, 1:2] * second[1] + first[:, 2:] * second[2]
    )
    return product


def _white() -> list[float]:
    """Get the white of D65, (X, Y, Z), that of sRGB."""
    from coloraide import cat, util  # noqa: PLC0415

    return util.xy_to_xyz(cat.WHITES["2deg"]["D65"])


def _from_light(space: str) -> Callable[[list[float]], list[float]]:
    """Get coloraide's way from light of red, green and blue into a space."""
    from coloraide.spaces import lab, oklab, srgb_linear  # noqa: PLC0415

    if space == "linear":
        return list
    if space == "oklab":
        return lambda light: oklab.xyz_d65_to_oklab(srgb_linear.lin_srgb_to_xyz(light))
    white = _white()
    return lambda light: lab.xyz_to_lab(srgb_linear.lin_srgb_to_xyz(light), white)


def _to_light(space: str) -> Callable[[list[float]], list[float]]:
    """Get coloraide's way back."""
    from coloraide.spaces import lab, oklab, srgb_linear  # noqa: PLC0415

    if space == "linear":
        return list
    if space == "oklab":
        return lambda point: srgb_linear.xyz_to_lin_srgb(oklab.oklab_to_xyz_d65(point))
    white = _white()
    return lambda point: srgb_linear.xyz_to_lin_srgb(lab.lab_to_xyz(point, white))
