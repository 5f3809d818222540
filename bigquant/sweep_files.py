"""A sweep as files: its grid of pictures, its table, or all of it with the palettes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from bigquant.atomic import check_apart, check_target, complete_or_nothing
from bigquant.errors import InputError
from bigquant.swept import Sweep

_PICTURES = (".png", ".pdf", ".svg")
_SUFFIXES = (*_PICTURES, ".csv", ".json")


def check_files(paths: Sequence[str], inputs: Sequence[str], overwrite: bool) -> list[str]:
    """Find out, before any work, if a sweep can be written to files of these names.

    Raises
    ------
    InputError
        If a suffix tells no format, a name is given twice or is an input's, a file exists and may
        not be replaced, or a picture is wanted and matplotlib is not installed.
    """
    for path in paths:
        if Path(path).suffix.lower() not in _SUFFIXES:
            raise InputError(f"{path!r}: the name of what a sweep writes ends in {_listed()}")
        if sum(Path(path).resolve() == Path(other).resolve() for other in paths) > 1:
            raise InputError(f"{path}: is named twice: name each output once")
        for name in inputs:
            check_apart(path, name)
        check_target(path, overwrite)
    if any(_is_picture(path) for path in paths):
        from bigquant import plot  # noqa: F401, PLC0415 - it tells if something is missing
    return list(paths)


def write_files(sweep: Sweep, paths: Sequence[str], overwrite: bool) -> None:
    """Write a sweep, by suffix: .png, .pdf and .svg the grid, .csv the table, .json everything.

    Each file is complete or not there at all.

    Parameters
    ----------
    sweep : Sweep
    paths : sequence of str
        Of `check_files`.
    overwrite : bool
    """
    # all are made before one is there: pictures take seconds
    made = [_make(sweep, Path(path).suffix.lower()) for path in paths]
    for path, data in zip(paths, made, strict=True):
        with complete_or_nothing(path, overwrite=overwrite, settle=lambda: None) as folder:
            (folder / Path(path).name).write_bytes(data)


def _make(sweep: Sweep, suffix: str) -> bytes:
    if suffix == ".csv":
        return _table(sweep).encode()
    if suffix == ".json":
        return (json.dumps(sweep.as_json(), indent=1) + "\n").encode()
    from bigquant import plot  # noqa: PLC0415 - takes a while to import

    file = io.BytesIO()
    # by that mark a picture beside its image is known as none of the images
    said = {"Software" if suffix == ".png" else "Creator": "bigquant"}
    plot.grid(sweep).savefig(file, format=suffix[1:], dpi=100, metadata=said)
    return file.getvalue()


def _table(sweep: Sweep) -> str:
    columns = sweep.columns()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in _PICTURES


def _listed() -> str:
    return f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
