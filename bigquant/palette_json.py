"""The JSON of a palette: how it is described, and checked before anything is made of it.

`palette.schema.json`, beside this file, is its JSON Schema.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.colorspace import SPACES
from bigquant.display import Display
from bigquant.errors import InputError
from bigquant.palette_values import MAX_COLORS, PaletteValues, fields_of_bytes
from bigquant.rounding import bounds, round_to

#: The version that is written; older ones are read too.
SCHEMA = 3
#: What has not been there from the first version on. Before the third all palettes were of
#: bytes that are gray or RGB.
_SINCE = {"space": 2, "shares": 2}
_SINCE |= dict.fromkeys(("dtype", "display", "scale", "factors", "ranges"), 3)
_MAX_PIXELS = 1 << 63
_HUGE = sys.float_info.max
#: Facts of the fit that are known here; there may be others.
_FACTS: Mapping[str, Any] = {
    "algorithm": str,
    "random_state": int | None,
    "distinct_colors": int,
    "fingerprint": str,
    "sources": list,
    "versions": dict,
}
_MAX_BANDS = 65535
_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_TYPES |= {"float16", "float32", "float64"}
_SCALES = ("none", "range", "std")


def describe(palette: PaletteValues) -> dict[str, Any]:
    """Describe a palette in JSON's types, which have neither NaN nor infinity."""
    is_plain = palette.dtype == np.uint8 and palette.channels in (1, 3)
    psnr = palette.psnr
    return {
        "bigquant_palette": SCHEMA,
        "space": palette.space if is_plain and palette.scale == "none" else "image",
        "dtype": palette.dtype.name,
        "k": palette.k,
        "first_label": palette.first_label,
        "colors": palette.colors.tolist(),
        "hex": palette.hex,
        "centers": palette.centers.tolist(),
        "counts": palette.counts.tolist(),
        "shares": palette.shares.tolist(),
        "inertia": palette.inertia,
        "mse": palette.mse,
        "psnr": psnr if math.isfinite(psnr) else None,
        "scale": palette.scale,
        "factors": palette.factors.tolist(),
        "ranges": palette.ranges.tolist(),
        "display": palette.display.as_json(),
        "fit": dict(palette.fit),
    }


def check_model(model: Any) -> None:
    """Raise an `InputError` unless a palette can be made of what JSON says.

    What follows from others is left to `check_consequences`.
    """
    version = model.get("bigquant_palette") if isinstance(model, dict) else None
    if type(version) is not int or not 1 <= version <= SCHEMA:
        raise InputError(f"not a bigquant palette of schema 1 to {SCHEMA}")
    for name, check in _CHECKS.items():
        if version < _SINCE.get(name, 1):
            continue
        if name not in model:
            raise InputError(f"not a usable palette: it has no {name}")
        if not check(model[name]):
            raise InputError(f"not a usable palette: {name} is damaged")
    if len(model["counts"]) != len(model["colors"]):
        raise InputError("not a usable palette: counts and colors are not as many")


def check_consequences(model: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Raise an `InputError` unless all facts of a model fit the palette that was made of it.

    Parameters
    ----------
    model : Mapping
    described : Mapping
        The palette again, by `Palette.as_json`.
    """
    for name, known in described.items():
        if name == "bigquant_palette":
            continue
        if name not in model:
            if model["bigquant_palette"] < _SINCE.get(name, SCHEMA):
                continue
            raise InputError(f"not a usable palette: it has no {name}")
        if not _agree(model[name], known):
            raise InputError(f"not a usable palette: {name} does not fit its colors and counts")


def read_fields(model: Mapping[str, Any]) -> dict[str, Any]:
    """Make the fields of a palette of a model that `check_model` has found usable."""
    is_old = model["bigquant_palette"] < _SINCE["dtype"]
    dtype = np.dtype("uint8" if is_old else model["dtype"])
    widths = (1, 3) if is_old else range(1, _MAX_BANDS + 1)
    as_rows(model["colors"], widths)  # to tell what is wrong with them by themselves
    centers = as_rows(model["centers"], widths)
    low, high = bounds(dtype)
    if centers.min() < low or centers.max() > high:
        raise InputError(f"not a usable palette: centers is damaged: no value of {dtype}")
    rounded = round_to(centers, dtype)
    if rounded.tolist() != model["colors"]:
        raise InputError("not a usable palette: its colors are not its centers, rounded")
    channels, scale = centers.shape[1], "none" if is_old else model["scale"]
    _check_inertia(model, channels, is_whole=dtype == np.uint8 and scale == "none")
    fields = {
        "centers": centers,
        "colors": rounded,
        "counts": np.array(model["counts"], np.uint64),
        "first_label": model["first_label"],
        "inertia": model["inertia"],
        "scale": scale,
        "space": "srgb" if is_old or model["space"] == "image" else model["space"],
        "fit": model["fit"],
    }
    return fields | (fields_of_bytes(channels) if is_old else _read_bands(model, channels))


def _check_inertia(model: Mapping[str, Any], channels: int, *, is_whole: bool) -> None:
    """Hold the error against what it can be; of bytes it is a whole number."""
    if is_whole and type(model["inertia"]) is not int:
        raise InputError("not a usable palette: inertia is damaged")
    most = sum(model["counts"]) * channels * 255**2 if is_whole else _HUGE
    if model["inertia"] > most:
        raise InputError("not a usable palette: inertia is more than its pixels can have")


def _read_bands(model: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """Read what is said of each band."""
    for name, rows in (
        ("factors", model["factors"]),
        ("ranges", model["ranges"]),
        ("display", model["display"]["windows"]),
    ):
        if len(rows) != channels:
            raise InputError(f"not a usable palette: {name} is not of as many bands as colors")
    if max(model["display"]["bands"]) > channels:
        raise InputError("not a usable palette: display is of bands that are not there")
    if model["scale"] == "none" and any(factor != 1 for factor in model["factors"]):
        raise InputError("not a usable palette: factors are not 1 though nothing is scaled")
    return {
        "display": Display.from_json(model["display"]),
        "factors": np.array(model["factors"], np.float64),
        "ranges": np.array(model["ranges"], np.float64),
    }


def as_rows(values: Any, widths: Container[int]) -> NDArray[np.float64]:
    """Make an array of the rows of a palette."""
    try:
        rows = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"colours of a palette must be rows of numbers ({error})") from error
    if rows.ndim != 2 or not 1 <= len(rows) <= MAX_COLORS or rows.shape[1] not in widths:
        few = "1 (gray) or 3 (RGB) values" if 2 not in widths else "a value for each band"
        raise InputError(
            f"colours of shape {rows.shape} are no palette: 1 to {MAX_COLORS} rows of {few} are"
        )
    return rows


def _agree(told: Any, known: Any) -> bool:
    if isinstance(known, list):
        same = isinstance(told, list) and len(told) == len(known)
        return same and all(map(_agree, told, known))
    if isinstance(known, float):
        is_number = type(told) in (int, float) and abs(told) < _HUGE
        return is_number and math.isclose(told, known, rel_tol=1e-9)
    return bool(told == known)


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _HUGE


def _are_numbers(row: Any) -> bool:
    return isinstance(row, list) and all(map(_is_number, row))


def _are_rows(rows: Any) -> bool:
    return isinstance(rows, list) and all(map(_are_numbers, rows))


def _are_ranges(rows: Any) -> bool:
    return _are_rows(rows) and all(len(row) == 2 and row[0] <= row[1] for row in rows)


def _are_counts(counts: Any) -> bool:
    return isinstance(counts, list) and all(map(_is_whole, counts)) and sum(counts) < _MAX_PIXELS


def _is_display(display: Any) -> bool:
    if not isinstance(display, dict) or not _are_ranges(display.get("windows")):
        return False
    bands = display.get("bands")
    return (
        isinstance(bands, list)
        and len(bands) in (1, 3)
        and all(type(band) is int and 1 <= band <= _MAX_BANDS for band in bands)
    )


def _are_facts(fit: Any) -> bool:
    if not isinstance(fit, dict) or not all(
        isinstance(fit[name], kind) for name, kind in _FACTS.items() if name in fit
    ):
        return False
    return all(isinstance(source, str) for source in fit.get("sources", ()))


_CHECKS = {
    "colors": _are_rows,
    "centers": _are_rows,
    "counts": _are_counts,
    "first_label": lambda value: type(value) is int and value in (0, 1),
    "inertia": lambda value: type(value) in (int, float) and value >= 0,
    "fit": _are_facts,
    "dtype": lambda value: isinstance(value, str) and value in _TYPES,
    "display": _is_display,
    "scale": lambda value: isinstance(value, str) and value in _SCALES,
    "space": lambda value: isinstance(value, str) and value in (*SPACES, "image"),
    "factors": lambda value: _are_numbers(value) and min(value, default=1) > 0,
    "ranges": _are_ranges,
}
