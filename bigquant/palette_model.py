"""The JSON of a palette: read in bounded memory, and checked before anything is made of it.

`palette.schema.json`, beside this file, is its JSON Schema.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from bigquant.errors import InputError

#: The version that is written; 1 had neither `space` nor `shares`, and is read too.
SCHEMA = 2
_READABLE = (1, SCHEMA)
#: The largest palette's JSON takes 10 MiB.
_MAX_BYTES = 16 << 20
_MAX_PIXELS = 1 << 63
_MAX_ERROR = 3 * 255**2
_HUGE = 1e300
#: Facts of the fit that are known here; there may be others.
_FACTS: Mapping[str, Any] = {
    "algorithm": str,
    "random_state": int | None,
    "distinct_colors": int,
    "fingerprint": str,
    "sources": list,
    "versions": dict,
}


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of what is read or written before an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is no plain file: a device would never end."""
    if "://" in str(path):
        raise InputError("a URL: palettes are read from files, so copy it here first")
    if not Path(path).is_file():
        there = "is no file" if os.path.exists(path) else "no such file"
        raise InputError(f"{there}: name a palette file")


def read_bytes(path: str | os.PathLike[str], most: int = _MAX_BYTES) -> bytes:
    """Read a file of at most so many bytes; a larger one is refused unread."""
    check_file(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    if max(size, len(data)) > most:
        raise InputError(f"is larger than {most >> 20} MiB, as no palette is")
    return data


def parse_json(data: bytes) -> Any:
    """Parse JSON; NaN and infinity, which JSON has not, are refused."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})") from error


def parse_json_at(text: str, start: int) -> Any:
    """Parse the JSON that starts at a place in a text; what follows it does not matter."""
    try:
        return json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text, start)[0]
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def check_model(model: Any) -> None:
    """Raise an `InputError` unless a palette can be made of what JSON says.

    Lengths, ranges of the colours and what follows from others are left to who makes it.
    """
    if not isinstance(model, dict) or model.get("bigquant_palette") not in _READABLE:
        raise InputError(f"not a bigquant palette of schema {' or '.join(map(str, _READABLE))}")
    for name, check in _CHECKS.items():
        if name not in model:
            raise InputError(f"not a usable palette: it has no {name}")
        if not check(model[name]):
            raise InputError(f"not a usable palette: {name} is damaged")
    if len(model["counts"]) != len(model["colors"]):
        raise InputError("not a usable palette: counts and colors are not as many")
    if model["inertia"] > sum(model["counts"]) * _MAX_ERROR:
        raise InputError("not a usable palette: inertia is more than its pixels can have")


def check_consequences(model: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Raise an `InputError` unless all facts of a model fit the palette that was made of it.

    Parameters
    ----------
    model : Mapping
    described : Mapping
        The palette again, by `Palette.as_json`.
    """
    for name, known in described.items():
        if name == "bigquant_palette" or (name not in model and model["bigquant_palette"] < SCHEMA):
            continue
        if name not in model:
            raise InputError(f"not a usable palette: it has no {name}")
        if not _agree(model[name], known):
            raise InputError(f"not a usable palette: {name} does not fit its colors and counts")


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


def _are_rows(rows: Any) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list) and all(type(v) in (int, float) and 0 <= v <= 255 for v in row)
        for row in rows
    )


def _are_counts(counts: Any) -> bool:
    return isinstance(counts, list) and all(map(_is_whole, counts)) and sum(counts) < _MAX_PIXELS


def _are_facts(fit: Any) -> bool:
    return isinstance(fit, dict) and all(
        isinstance(fit[name], kind) for name, kind in _FACTS.items() if name in fit
    )


_CHECKS = {
    "colors": _are_rows,
    "centers": _are_rows,
    "counts": _are_counts,
    "first_label": lambda value: type(value) is int and value in (0, 1),
    "inertia": _is_whole,
    "fit": _are_facts,
}
