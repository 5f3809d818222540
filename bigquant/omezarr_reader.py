"""What the attributes of an OME-Zarr group say of its image: levels, axes, colours, pixel size.

Specifications 0.1 to 0.5: https://ngff.openmicroscopy.org. Knows no arrays, only JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bigquant.bands import named_colors

_MICROMETERS = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "kilometer": 1e9,
    "inch": 25400.0,
    "foot": 304800.0,
}
_PRIMARIES = ("FF0000", "00FF00", "0000FF")


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find OME's part of the attributes of a group: since 0.5 they lie under "ome"."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def axis_names(multiscale: Mapping[str, Any], ndim: int) -> tuple[list[str], int | None]:
    """Names of the axes, and which holds the channels; before 0.3 they were t, c, z, y, x."""
    axes = multiscale.get("axes") or list("tczyx"[-ndim:])
    if len(axes) != ndim:
        raise ValueError(f"{len(axes)} axes for an array of {ndim}")
    names = [str(axis["name"] if isinstance(axis, Mapping) else axis) for axis in axes]
    kinds = [axis.get("type") if isinstance(axis, Mapping) else None for axis in axes]
    return names, kinds.index("channel") if kinds.count("channel") == 1 else None


def pixel_size(
    multiscale: Mapping[str, Any], level: int, y: int, x: int
) -> tuple[float, float] | None:
    """Height and width of a pixel of a level in micrometers, where the axes have units."""
    axes = multiscale.get("axes") or ()
    steps = [
        *(multiscale["datasets"][level].get("coordinateTransformations") or ()),
        *(multiscale.get("coordinateTransformations") or ()),
    ]
    scales = [step["scale"] for step in steps if step.get("type") == "scale" and "scale" in step]
    sizes = []
    for axis in (y, x):
        if not scales or axis >= len(axes) or not isinstance(axes[axis], Mapping):
            return None
        unit = _MICROMETERS.get(axes[axis].get("unit"), 0.0)
        sizes.append(unit * math.prod(float(scale[axis]) for scale in scales))
    return (sizes[0], sizes[1]) if all(0 < size < math.inf for size in sizes) else None


def omero_channels(attributes: Mapping[str, Any], depth: int) -> list[Mapping[str, Any]]:
    """List what is said of each channel; nothing unless it is said of all."""
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or len(channels) != depth:
        return []
    return [channel if isinstance(channel, Mapping) else {} for channel in channels]


def find_colors(channels: Sequence[Mapping[str, Any]], depth: int) -> tuple[int, ...] | None:
    """Tell which channels are gray or RGB, by their labels or colours; none is alpha."""
    named = named_colors([channel.get("label") for channel in channels])
    if named is not None:
        return named
    shown = [str(channel.get("color", "")).upper() for channel in channels]
    if sorted(shown) == sorted(_PRIMARIES):
        return tuple(shown.index(color) for color in _PRIMARIES)
    return tuple(range(depth)) if depth in (1, 3) else None


def find_range(channels: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Tell what samples can be: from the least to the most of all channels' windows."""
    ends: list[float] = []
    for channel in channels:
        window = channel.get("window")
        if not isinstance(window, Mapping):
            return None
        found = [window.get(end) for end in ("min", "max")]
        ends += [end for end in found if isinstance(end, int | float) and math.isfinite(end)]
    known = ends and len(ends) == 2 * len(channels) and min(ends) < max(ends)
    return (min(ends), max(ends)) if known else None
