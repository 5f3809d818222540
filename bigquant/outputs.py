"""An output and what lies beside it: names, checks, and that they appear together, complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bigquant.atomic import (
    check_apart,
    check_target,
    complete_or_nothing,
    keep_if_interrupted,
    unfinished,
)
from bigquant.errors import BigquantError, InputError
from bigquant.levels import settle
from bigquant.palette import Palette
from bigquant.rests import Rests

CONTENTS = ("both", "image", "labels")


def palette_path(path: str | os.PathLike[str]) -> Path:
    """Name the palette file that lies beside an output NAME: NAME.palette.json.

    The suffix stays, as in GDAL's side files, so that two outputs never share one.
    """
    return Path(os.path.abspath(path) + ".palette.json")


def check_output(
    path: str | os.PathLike[str],
    content: str,
    overwrite: bool,
    source: str | None,
    *,
    with_palette: bool = True,
) -> None:
    """Find out, before any work, if `path` and its palette file can be written.

    Raises
    ------
    InputError
        If one exists and `overwrite` is false, the folder is missing or not writable, the
        output would overlap the input `source`, or `content` is unknown.
    """
    if content not in CONTENTS:
        raise InputError(f"content={content!r}: must be one of {CONTENTS}")
    check_apart(path, source)
    check_target(path, overwrite)
    if with_palette:
        check_target(palette_path(path), overwrite)


@contextmanager
def temporary_output(
    path: str | os.PathLike[str],
    *beside: Path,
    with_palette: bool,
    overwrite: bool,
    plan: str | None = None,
) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with the files beside it."""
    paths = (path, palette_path(path)) if with_palette else (path,)
    with complete_or_nothing(
        *paths, *beside, overwrite=overwrite, settle=settle, plan=plan
    ) as folder:
        yield folder / Path(os.path.abspath(path)).name


def keep_rests(temporary: Path, palette: Palette, plan: str | None) -> Rests | None:
    """Make the folder of an output one that a rerun can go on with, if there is a plan.

    Parameters
    ----------
    temporary : Path
        Temporary name of the output.
    palette : Palette
        Is kept, too.
    plan : str, optional
        See `atomic.complete_or_nothing`.
    """
    if plan is None:
        return None
    palette_path(temporary).write_bytes(palette.encode())
    rests = Rests(str(temporary.parent / "rests"))
    Path(rests.folder).mkdir(exist_ok=True)
    keep_if_interrupted(temporary.parent, plan)
    return rests


def unfinished_run(path: str | os.PathLike[str], plan: str) -> tuple[Palette, int] | None:
    """Get what an interrupted run of the same plan has left.

    Returns
    -------
    (Palette, int) or None
        Its palette, and how many blocks of the full size were written.
    """
    folder = unfinished(path, plan)
    if folder is None:
        return None
    rests = Rests(str(folder / "rests"))
    try:
        return Palette.load(folder / palette_path(path).name), rests.count(0)
    except InputError:
        return None


def check_complete(shown: str, missing: list[str]) -> None:
    """Believe no task that it has written its block: a worker may have a disk of its own."""
    if missing:
        raise BigquantError(
            f"{shown}: missing blocks: {len(missing)}, e.g. {missing[0]}: choose a folder "
            "that all workers share, see that nobody empties it, and run again"
        )
