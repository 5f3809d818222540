"""An output and what lies beside it: names, checks, and that they appear together, complete."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bigquant import object_output, remote
from bigquant.atomic import (
    cannot_write,
    check_apart,
    check_target,
    complete_or_nothing,
    keep_if_interrupted,
    unfinished,
)
from bigquant.errors import BigquantError, InputError
from bigquant.ledger import Plan
from bigquant.palette import Palette
from bigquant.preview import Preview
from bigquant.rests import Rests
from bigquant.underway import settle
from bigquant.zarr_store import FolderStore, ObjectStore, Store

CONTENTS = ("both", "image", "labels")
PALETTE_SUFFIX, PREVIEW_SUFFIX = ".palette.json", ".preview.json"
_PAGE_SUFFIX = ".report.html"


def palette_path(path: str | os.PathLike[str]) -> Path:
    """Name the palette file that lies beside an output NAME: NAME.palette.json.

    The suffix stays, as in GDAL's side files, so that two outputs never share one.
    """
    return Path(os.path.abspath(path) + PALETTE_SUFFIX)


def preview_path(path: str | os.PathLike[str]) -> Path:
    """Name the file beside an output that its report is made of: NAME.preview.json."""
    return Path(os.path.abspath(path) + PREVIEW_SUFFIX)


def page_path(path: str | os.PathLike[str]) -> str:
    """Name the page about an output: NAME.report.html beside it."""
    return os.fspath(path).rstrip("/" + os.sep) + _PAGE_SUFFIX


def check_output(
    path: str | os.PathLike[str],
    content: str,
    overwrite: bool,
    source: str | None,
    *,
    with_palette: bool = True,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Find out, before any work, if `path` and its palette file can be written.

    Nor may there be a preview, which would be of another output of that name.

    Parameters
    ----------
    path : path or URL
    content : {"both", "image", "labels"}
    overwrite : bool
    source : str, optional
        Path or URL of the input.
    with_palette : bool
    options : Mapping, optional
        Of fsspec, for a Zarr behind a URL; None where the format cannot be written there.

    Raises
    ------
    InputError
        If one exists and `overwrite` is false, the folder is missing or not writable, the
        output would overlap the input `source`, or `content` is unknown.
    """
    if content not in CONTENTS:
        raise InputError(f"content={content!r}: must be one of {CONTENTS}")
    check_apart(path, source)
    if remote.is_url(str(path)):
        if options is None:
            raise InputError(
                f"{path}: only a Zarr can be written behind a URL: "
                "name OUT.zarr there, or a file on a disk, to be copied"
            )
        object_output.check(str(path), options, overwrite, *_suffixes(with_palette))
        return
    check_target(path, overwrite)
    if with_palette:
        check_target(palette_path(path), overwrite)
    check_target(preview_path(path), overwrite)


def _suffixes(with_palette: bool) -> tuple[str, ...]:
    """List what may lie beside an output."""
    return (PALETTE_SUFFIX, PREVIEW_SUFFIX) if with_palette else (PREVIEW_SUFFIX,)


def check_file(path: str, overwrite: bool, options: Mapping[str, Any]) -> None:
    """Find out, before any work, if `save_palette` can write to a path or URL."""
    if not remote.is_url(path):
        check_target(path, overwrite)
        return
    try:
        is_there = bool(ObjectStore(path, options).beside(""))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if is_there and not overwrite:
        raise InputError(f"{path}: exists already: allow to replace it (--overwrite)")


def save_palette(palette: Palette, path: str, overwrite: bool, options: Mapping[str, Any]) -> None:
    """Write a palette file, behind a URL too."""
    if not remote.is_url(path):
        palette.save(path, overwrite=overwrite)
        return
    try:
        ObjectStore(path, options).put_beside("", palette.encode())
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def temporary_output(
    path: str | os.PathLike[str],
    *beside: Path,
    with_palette: bool,
    overwrite: bool,
    plan: Plan | None = None,
    with_preview: bool = False,
) -> Iterator[Path]:
    """Hand out the temporary name of an output, which appears with the files beside it.

    Its palette file is to be made in any case: without `with_palette` it does not appear. Without
    `with_preview` the preview of an output that it replaces is removed.
    """
    sides = zip((with_palette, with_preview), (palette_path(path), preview_path(path)), strict=True)
    paths = (path, *(side for is_wanted, side in sides if is_wanted))
    words = plan.words if plan else None
    with complete_or_nothing(
        *paths, *beside, overwrite=overwrite, settle=settle, plan=words
    ) as folder:
        temporary = folder / Path(os.path.abspath(path)).name
        yield temporary
        if plan:
            plan.note(temporary, palette_path(temporary))
    if overwrite and not with_preview:
        preview_path(path).unlink(missing_ok=True)


def save_beside(temporary: Path, palette: Palette, preview: Preview | None) -> None:
    """Write what is to lie beside an output."""
    palette_path(temporary).write_bytes(palette.encode())
    if preview:
        preview_path(temporary).write_bytes(preview.encode())


@contextmanager
def zarr_output(
    path: str | os.PathLike[str],
    options: Mapping[str, Any],
    *,
    with_palette: bool,
    overwrite: bool,
    plan: Plan | None,
    with_preview: bool,
) -> Iterator[tuple[Store, Path | None]]:
    """Hand out where the files of a Zarr are put, and its temporary name if it has one."""
    if remote.is_url(str(path)):
        with object_output.marked_or_nothing(
            str(path), options, *_suffixes(with_palette), settle=settle
        ) as objects:
            yield objects, None
        return
    with temporary_output(
        path,
        with_palette=with_palette,
        overwrite=overwrite,
        plan=plan,
        with_preview=with_preview,
    ) as temporary:
        yield FolderStore(str(temporary)), temporary


def keep_rests(
    temporary: Path, palette: Palette, plan: Plan | None, preview: Preview | None = None
) -> Rests | None:
    """Make the folder of an output one that a rerun can go on with, if there is a plan.

    Parameters
    ----------
    temporary : Path
        Temporary name of the output.
    palette : Palette
        Is kept, too.
    plan : Plan, optional
    preview : Preview, optional
        Likewise.
    """
    if plan is None:
        return None
    save_beside(temporary, palette, preview)
    rests = Rests(str(temporary.parent / "rests"))
    Path(rests.tallies.folder).mkdir(parents=True, exist_ok=True)
    keep_if_interrupted(temporary.parent, plan.words)
    return rests


def unfinished_run(
    path: str | os.PathLike[str], words: str
) -> tuple[Palette, Preview | None, int] | None:
    """Get what an interrupted run of the same plan has left.

    Returns
    -------
    (Palette, Preview or None, int) or None
        Its palette and preview, and how many blocks of the full size were written.
    """
    folder = unfinished(path, words)
    if folder is None:
        return None
    rests = Rests(str(folder / "rests"))
    try:
        palette = Palette.load(folder / palette_path(path).name)
    except InputError:
        return None
    return palette, Preview.left(folder / preview_path(path).name), rests.count(0)


def check_complete(shown: str, missing: list[str]) -> None:
    """Believe no task that it has written its block: a worker may have a disk of its own."""
    if missing:
        raise BigquantError(
            f"{shown}: missing blocks: {len(missing)}, e.g. {missing[0]}: choose a folder "
            "that all workers share, see that nobody empties it, and run again"
        )
