"""Outputs that appear under their name only when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bigquant.errors import BigquantError, InputError

_REMOVALS = 5


def check_target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Find out, before any work, if an output can be written to `path`.

    Raises
    ------
    InputError
        If it exists and `overwrite` is false, or its folder is missing or not writable.
    """
    target = Path(os.path.abspath(path))
    if os.path.lexists(target) and not overwrite:
        raise InputError(f"{path}: exists already: choose another name or use --overwrite")
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {target.parent}: make it first")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: cannot write to {target.parent} ({error.strerror}): choose another folder"
        ) from error
    return target


@contextmanager
def complete_or_nothing(
    *targets: Path, overwrite: bool, settle: Callable[[], None]
) -> Iterator[Path]:
    """Hand out a temporary folder; what it is left with appears under the targets' names.

    Parameters
    ----------
    *targets : Path
        Names of the outputs, files or folders, all in one folder.
    overwrite : bool
        Whether outputs of those names may be replaced.
    settle : callable
        Waits until no task writes to the folder any more; called before it is removed.

    Yields
    ------
    Path
        An empty folder, on the same file system as the targets. The block writes the
        outputs into it under their own names. If the block fails the folder is removed.
    """
    for target in targets:
        check_target(target, overwrite)
    folder = targets[0].with_name(f".{targets[0].name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
        _swap(folder, targets)
    except BaseException as error:
        settle()
        if isinstance(error, OSError):
            raise BigquantError(
                f"{targets[0]}: cannot be written ({error.strerror or error}): "
                "see that the disk has room and stays there, and run again"
            ) from error
        raise
    finally:
        _remove(folder, settle)


def _remove(folder: Path, settle: Callable[[], None]) -> None:
    """Remove a folder although a late task may just have written into it."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        settle()


def _swap(folder: Path, targets: Sequence[Path]) -> None:
    """Put the new outputs in the place of the old ones: all of them, or none."""
    undo: list[tuple[Path, Path]] = []
    try:
        for target in targets:
            aside = folder / f"{target.name}.replaced"
            if os.path.lexists(target):
                os.replace(target, aside)
                undo.append((aside, target))
            os.replace(folder / target.name, target)
            undo.append((target, folder / target.name))
    except BaseException:
        for moved, home in reversed(undo):
            os.replace(moved, home)
        raise
