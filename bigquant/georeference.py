"""Where on Earth pixels lie, as GeoTIFF's tags say it (OGC GeoTIFF 1.1), and world files.

Numbers only: no library that writes GeoTIFF's keys does without GDAL, and what is needed of them
is a CRS by its EPSG code, and an affine transform.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: TIFF tag: (code, data type, count, value), as tifffile's ``extratags`` take it.
Tag = tuple[int, int, int, Any]
#: x of the upper left corner, its step along a row and along a column, then the same of y: as
#: GDAL orders it.
Transform = tuple[float, float, float, float, float, float]

PIXEL_SCALE, TIE_POINTS, MATRIX, KEYS, RPC = 33550, 33922, 34264, 34735, 50844
#: Tags any of which says where pixels lie.
PLACE = {PIXEL_SCALE, MATRIX, KEYS, RPC}
#: Tags that an output inherits. Not GDAL's nodata (42113): labels have their own.
COPIED = (PIXEL_SCALE, TIE_POINTS, MATRIX, KEYS, 34736, 34737, RPC)
_MODEL, _RASTER, _GEOGRAPHIC, _PROJECTED, _UNIT = 1024, 1025, 2048, 3072, 3076
_DOUBLE, _SHORT = 12, 3
#: What tags say is said of the centres of pixels, not of their corners.
_POINT = 2
#: Place of a number among the coefficients of RPCs.
_SAMPLE_SCALE = 8
#: EPSG codes; what is above is the user's own.
_CODES = range(1024, 32767)
_METERS = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}
_WORLD_FILE_BYTES = 4096


def place_tags(
    transform: Transform | None,
    code: int | None = None,
    *,
    projected: bool = True,
    unit: int = 0,
) -> tuple[Tag, ...]:
    """Say where pixels lie.

    Parameters
    ----------
    transform : tuple, optional
    code : int, optional
        EPSG code of the CRS.
    projected : bool
        Whether that is projected, or geographic.
    unit : int
        EPSG code of a projected one's unit of length; 0 where it has none.
    """
    tags: list[Tag] = []
    if transform is not None:
        x, dx, rx, y, ry, dy = transform
        if rx == ry == 0 and dx > 0 > dy:
            tags.append((PIXEL_SCALE, _DOUBLE, 3, (dx, -dy, 0.0)))
            tags.append((TIE_POINTS, _DOUBLE, 6, (0.0, 0.0, 0.0, x, y, 0.0)))
        else:
            matrix = (dx, rx, 0.0, x, ry, dy, 0.0, y, *(0.0,) * 7, 1.0)
            tags.append((MATRIX, _DOUBLE, 16, matrix))
    if code is not None:
        keys = {_MODEL: 1, _RASTER: 1, _PROJECTED: code} | ({_UNIT: unit} if unit else {})
        if not projected:
            keys = {_MODEL: 2, _RASTER: 1, _GEOGRAPHIC: code}
        entries = [number for key, value in keys.items() for number in (key, 0, 1, value)]
        tags.append((KEYS, _SHORT, 4 + len(entries), (1, 1, 0, len(keys), *entries)))
    return tuple(tags)


def world_tags(path: str) -> tuple[Tag, ...]:
    """Say where the pixels of a file lie by the world file beside it, if there is one.

    Its name is one that GDAL looks for: NAME.tfw, NAME.tifw or NAME.wld beside NAME.tif. What
    holds no transform is not taken for one, as there.
    """
    name = Path(path)
    kind = name.suffix[1:]
    for suffix in dict.fromkeys((kind[:1] + kind[-1:] + "w", kind + "w", "wld")):
        for spelled in (suffix.lower(), suffix.upper()):
            with contextlib.suppress(OSError, ValueError):
                with name.with_suffix(f".{spelled}").open(encoding="ascii") as file:
                    numbers = file.read(_WORLD_FILE_BYTES).split()[:6]
                # of the centre of the first pixel
                dx, ry, rx, dy, x, y = map(float, numbers)
                transform = (x - (dx + rx) / 2, dx, rx, y - (ry + dy) / 2, ry, dy)
                if all(map(math.isfinite, transform)) and dx * dy != rx * ry:
                    return place_tags(transform)
    return ()


def has_transform(tags: Iterable[Tag]) -> bool:
    """Tell if tags say where pixels lie, and not only in which CRS."""
    return any(code in (PIXEL_SCALE, TIE_POINTS, MATRIX) for code, *_ in tags)


def reduce_place(tags: Sequence[Tag], x: float, y: float) -> tuple[Tag, ...]:
    """Fit tags to an image of pixels that are so many times as wide and as high."""
    # what is said of the centres of pixels is not true of the centres of larger ones
    off = 0.5 if _keys_of(tags).get(_RASTER) == _POINT else 0.0
    reduced = []
    for code, kind, count, value in tags:
        numbers = list(_numbers(tags, code))
        if code == PIXEL_SCALE and len(numbers) >= 2:
            numbers[:2] = numbers[0] * x, numbers[1] * y
        elif code == TIE_POINTS:
            for axis, times in ((0, x), (1, y)):
                numbers[axis::6] = [(place + off) / times - off for place in numbers[axis::6]]
        elif code == MATRIX and len(numbers) == 16:
            for row in (0, 4, 8):
                across, down = numbers[row : row + 2]
                numbers[row : row + 2] = across * x, down * y
                numbers[row + 3] += off * (across * (x - 1) + down * (y - 1))
        elif code == RPC and len(numbers) > _SAMPLE_SCALE:
            for offset, scale, times in ((2, 7, y), (3, _SAMPLE_SCALE, x)):
                numbers[offset] = (numbers[offset] + 0.5) / times - 0.5
                numbers[scale] /= times
        else:
            numbers = []
        reduced.append((code, kind, count, tuple(numbers) or value))
    return tuple(reduced)


def transform_of(tags: Sequence[Tag]) -> Transform | None:
    """Find the affine transform, from pixels' corners, that tags say; None without one."""
    scale, ties, matrix = (_numbers(tags, code) for code in (PIXEL_SCALE, TIE_POINTS, MATRIX))
    if len(scale) >= 2 and len(ties) == 6:
        dx, rx, ry, dy = scale[0], 0.0, 0.0, -abs(scale[1])
        x, y = ties[3] - ties[0] * dx, ties[4] - ties[1] * dy
    elif len(matrix) == 16:
        dx, rx, x, ry, dy, y = (matrix[i] for i in (0, 1, 3, 4, 5, 7))
    else:
        return None
    if _keys_of(tags).get(_RASTER) == _POINT:  # what is said is said of pixels' centres
        x, y = x - (dx + rx) / 2, y - (ry + dy) / 2
    transform = (x, dx, rx, y, ry, dy)
    return transform if all(map(math.isfinite, transform)) else None


def epsg_of(tags: Sequence[Tag]) -> int | None:
    """Find the EPSG code of the CRS that tags name; None where they describe it otherwise."""
    keys = _keys_of(tags)
    code = keys.get({1: _PROJECTED, 2: _GEOGRAPHIC}.get(keys.get(_MODEL, 1), 0))
    return code if code in _CODES else None


def ground_size(tags: Sequence[Tag]) -> tuple[float, float] | None:
    """Height and width of a pixel in meters, where tags say a unit of length."""
    transform, keys = transform_of(tags), _keys_of(tags)
    meters = _METERS.get(keys.get(_UNIT, 0))
    if transform is None or meters is None or keys.get(_MODEL, 1) != 1:
        return None
    _, dx, rx, _, ry, dy = transform
    # 15 digits: feet come without the noise of the product
    y, x = (float(f"{meters * math.hypot(*step):.15g}") for step in ((rx, dy), (dx, ry)))
    return (y, x) if min(y, x) > 0 and max(y, x) < math.inf else None


def _keys_of(tags: Sequence[Tag]) -> dict[int, int]:
    """Get those of GeoTIFF's keys that are short numbers."""
    found = [int(number) if math.isfinite(number) else 0 for number in _numbers(tags, KEYS)]
    entries = zip(found[4::4], found[5::4], found[7::4], strict=False)
    return {key: value for key, location, value in entries if location == 0}


def _numbers(tags: Sequence[Tag], code: int) -> tuple[float, ...]:
    """Get the value of a tag; nothing where it is not there, or holds no numbers."""
    for found, _, _, value in tags:
        if found == code and isinstance(value, tuple):
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                return tuple(map(float, value))
    return ()
