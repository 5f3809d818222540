"""Palette files and their like: read in bounded memory; what is wrong is told with the name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from bigquant import remote
from bigquant.errors import InputError

#: The largest palette's JSON takes 10 MiB.
_MAX_BYTES = 16 << 20


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of what is read or written before an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_file(path: str | os.PathLike[str], what: str = "palette") -> None:
    """Refuse what is no plain file: a device would never end."""
    if "://" in str(path):
        raise InputError(f"a URL: a {what} is read from a file, so copy it here first")
    if not Path(path).is_file():
        there = "is no file" if os.path.exists(path) else "no such file"
        raise InputError(f"{there}: name a {what} file")


def read_bytes(
    path: str | os.PathLike[str], most: int = _MAX_BYTES, what: str = "palette"
) -> bytes:
    """Read a file of at most so many bytes; a larger one is refused unread."""
    check_file(path, what)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    if max(size, len(data)) > most:
        raise InputError(f"is larger than {most >> 20} MiB, as no {what} is")
    return data


def read_beside(
    url: str, options: Mapping[str, Any], suffix: str, most: int = _MAX_BYTES
) -> bytes | None:
    """Read a file of a URL's name and a suffix, of at most so many bytes; None without one."""
    try:
        return remote.read_beside(url, options, suffix, most)
    except OSError as error:
        raise InputError(str(error.strerror)) from error


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
