"""Where on Earth an xarray object lies, as GeoTIFF's tags say it.

CF conventions and rioxarray have a coordinate without a dimension for that, whose attributes
describe the CRS. pyproj, which whoever has such objects has, finds its EPSG code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bigquant.georeference import Tag, Transform, place_tags
from bigquant.xarray_frame import Frame

_UNPLACED = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
#: By so much of a pixel coordinates may lie beside where the transform has them.
_TOLERANCE = 0.01


def find_place(frame: Frame) -> tuple[tuple[Tag, ...], str | None]:
    """Find where an image lies.

    Coordinates along y and x count, if they are evenly spaced, before a "GeoTransform", which
    is not true of a slice any more.

    Returns
    -------
    tags : tuple of Tag
        Empty where no CRS and no transform is named: what x and y count then is not known.
    crs : str, optional
        WKT of a CRS without an EPSG code, which tags cannot name.
    """
    name = frame.grid_mapping or frame.attrs.get("grid_mapping", "spatial_ref")
    if name not in frame.coords.coords:
        return (), None
    mapping = frame.coords.coords[name].attrs
    stored = _parse(mapping.get("GeoTransform"))
    named, wkt = _name_crs(mapping)
    if not named and wkt is None and stored in (None, _UNPLACED):
        return (), None
    return place_tags(_transform_of(frame, stored), **named), wkt


def _parse(said: Any) -> Transform | None:
    """Take the six numbers of a "GeoTransform"."""
    with contextlib.suppress(TypeError, ValueError):
        x, dx, rx, y, ry, dy = map(float, said.split() if isinstance(said, str) else said)
        return x, dx, rx, y, ry, dy
    return None


def _name_crs(mapping: Mapping[Any, Any]) -> tuple[dict[str, Any], str | None]:
    """Name the CRS of a grid mapping as `place_tags` wants it, or by its WKT."""
    said = mapping.get("crs_wkt") or mapping.get("spatial_ref")
    wkt = said if isinstance(said, str) else None
    if wkt is None and "grid_mapping_name" not in mapping:
        return {}, None
    try:
        import pyproj  # noqa: PLC0415 - only for those who have such objects

        crs = pyproj.CRS.from_cf(dict(mapping))
        code = crs.to_epsg(min_confidence=100)
        kind = crs.type_name
        if code is None or kind not in ("Projected CRS", "Geographic 2D CRS"):
            return {}, crs.to_wkt()
        unit = pyproj.CRS.from_epsg(code).axis_info[0]
    except Exception:  # noqa: BLE001 - no pyproj, or what it does not understand
        return {}, wkt
    projected = kind == "Projected CRS"
    return {"code": code, "projected": projected, "unit": int(unit.unit_code or 0)}, None


def _transform_of(frame: Frame, stored: Transform | None) -> Transform | None:
    """Find the transform by the coordinates along x and y, else take the one that is stored."""
    x, y = (_along(frame, dim, stored, at) for dim, at in ((frame.x, 0), (frame.y, 3)))
    if x is None or y is None:
        lie = any(dim in frame.coords.coords for dim in (frame.x, frame.y))
        return None if lie else stored
    return x[0], x[1], 0.0, y[0], 0.0, y[1]


def _along(frame: Frame, dim: Any, stored: Transform | None, at: int) -> tuple[float, float] | None:
    """Find the edge of the first pixel and the step of evenly spaced coordinates."""
    if dim not in frame.coords.coords or frame.coords.coords[dim].dtype.kind not in "iuf":
        return None
    centers = np.asarray(frame.coords.coords[dim].values, float)
    edge, step = (0.0, 0.0) if stored is None else (stored[at], stored[at + 1 + (at > 0)])
    last = len(centers) - 1
    spacing = (centers[-1] - centers[0]) / last if last else step
    even = centers[0] + spacing * np.arange(last + 1)
    if not spacing or not np.abs(centers - even).max() < _TOLERANCE * abs(spacing):
        return None
    if abs(spacing - step) * (last + 1) < _TOLERANCE * abs(spacing):
        pixels = (centers[0] - step / 2 - edge) / step  # to the first one of a slice
        if abs(pixels - round(pixels)) < _TOLERANCE:
            return edge + round(pixels) * step, step
    return centers[0] - spacing / 2, spacing
