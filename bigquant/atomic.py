"""Outputs that appear under their name only when they are complete."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bigquant.errors import BigquantError, InputError
from bigquant.inputs import is_table, is_zarr
from bigquant.remote import is_url

_REMOVALS = 5
#: File of a temporary folder that tells what is made in it; its last, so what it needs is there.
_PLAN = "plan"
_log = logging.getLogger(__name__)


def check_target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Find out, before any work, if an output can be written to `path`.

    Raises
    ------
    InputError
        If it exists and `overwrite` is false, if it is a folder of anything but Zarr or a table,
        or if its folder is missing or not writable.
    """
    target = Path(os.path.abspath(path))
    if os.path.lexists(target):
        if not overwrite:
            raise InputError(
                f"{path}: exists already: choose another name, or allow to replace it (--overwrite)"
            )
        if target.is_dir() and not _may_be_replaced(target):
            raise InputError(
                f"{path}: is a folder, and no {_kind(path)}: it is not replaced; choose another"
            )
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {target.parent}: make it first")
    try:
        partial_of(target).exists()  # a name may be too long
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written in {target.parent} ({error.strerror}): "
            "choose another folder or name"
        ) from error
    return target


def check_apart(path: str | os.PathLike[str], source: str | None) -> None:
    """Raise an `InputError` if an output would replace its own input, or lie inside it."""
    if source is None:
        return
    target, origin = _place(path), _place(source)
    if target == origin or target in origin.parents or origin in target.parents:
        raise InputError(f"{path}: is the input {source} or overlaps it: choose another name")


def _place(path: str | os.PathLike[str]) -> Path:
    """Make names of one place equal; nothing of the disk has the name of a URL."""
    return Path("//" + str(path)) if is_url(str(path)) else Path(path).resolve()


def _may_be_replaced(folder: Path) -> bool:
    return not any(folder.iterdir()) or is_zarr(str(folder)) or _is_table(folder)


def _kind(path: str | os.PathLike[str]) -> str:
    return "table" if is_table(str(path)) else "Zarr"


def _is_table(folder: Path) -> bool:
    """Tell a table by its name, and that nothing but files of one lies in it."""
    names = [path.name for path in folder.rglob("*") if not path.is_dir()]
    if not is_table(str(folder)) or not any(map(is_table, names)):
        return False
    return all(is_table(name) or name.startswith(("_", ".")) for name in names)


def partial_of(target: Path) -> Path:
    """Name the folder that an output is made in, beside it."""
    return target.with_name(f".{target.name}.partial")


def unfinished(path: str | os.PathLike[str], plan: str) -> Path | None:
    """Find the folder in which an interrupted run of the same plan was making an output."""
    folder = partial_of(Path(os.path.abspath(path)))
    return folder if _plan_of(folder) == plan else None


def keep_if_interrupted(folder: Path, plan: str) -> None:
    """Let a temporary folder outlive an interrupt, from now on: a rerun can go on with it."""
    draft = folder / f"{_PLAN}.draft"
    draft.write_text(plan)
    os.replace(draft, folder / _PLAN)


def _plan_of(folder: Path) -> str | None:
    try:
        return (folder / _PLAN).read_text()
    except OSError:
        return None


def _forget_plan(folder: Path) -> None:
    """See that nobody goes on with a folder that is emptied from now on.

    The file is emptied, as that is allowed where its folder may not be written any more.
    """
    with suppress(OSError):
        os.truncate(folder / _PLAN, 0)


@contextmanager
def complete_or_nothing(
    *paths: str | os.PathLike[str],
    overwrite: bool,
    settle: Callable[[], None],
    plan: str | None = None,
) -> Iterator[Path]:
    """Hand out a temporary folder; what it is left with appears under the outputs' names.

    Parameters
    ----------
    *paths : path
        Names of the outputs, files or folders, all in one folder.
    overwrite : bool
        Whether outputs of those names may be replaced.
    settle : callable
        Waits until no task writes to the folder any more; called before it is removed.
    plan : str, optional
        What is to be done, in few words. A folder that an interrupted run of the same plan
        has left, see `keep_if_interrupted`, is handed out as it is.

    Yields
    ------
    Path
        An empty folder, on the same file system as the outputs. The block writes the
        outputs into it under their own names. If the block fails the folder is removed.
    """
    targets = [check_target(path, overwrite=True) for path in paths]
    with hidden_folder(targets[0], paths[0], targets, settle=settle, plan=plan) as folder:
        for path in paths:
            check_target(path, overwrite)
        yield folder
        _swap(folder, targets)


@contextmanager
def hidden_folder(
    target: Path,
    shown: str | os.PathLike[str],
    targets: Sequence[Path] = (),
    *,
    settle: Callable[[], None],
    plan: str | None = None,
) -> Iterator[Path]:
    """Hand out a folder beside a target, that only this run works in; it is gone afterwards.

    It stays where the block is interrupted after `keep_if_interrupted`.

    Parameters
    ----------
    target : Path
    shown : path
        What errors call it.
    targets : sequence of Path
        What a killed run may have set aside in the folder.
    settle, plan
        As for `complete_or_nothing`.
    """
    folder = partial_of(target)
    lock = _claim(folder, shown, targets, plan)
    is_kept = False
    try:
        yield folder
    except BaseException as error:
        settle()
        if isinstance(error, OSError):
            raise cannot_write(shown, error) from error
        is_kept = not isinstance(error, Exception) and bool(_plan_of(folder))
        if is_kept and not hasattr(error, "__notes__"):  # one such folder may lie in another's time
            error.add_note(f"the same command goes on with what lies in {folder}")
        raise
    finally:
        if not is_kept:
            _remove(folder, settle)
        os.close(lock)


def clear(path: str | os.PathLike[str]) -> None:
    """Remove what is left of a run that was killed when its output had got its name already."""
    target = Path(os.path.abspath(path))
    if partial_of(target).exists():
        with hidden_folder(target, path, settle=lambda: None):
            pass


def cannot_write(path: str | os.PathLike[str], error: OSError) -> BigquantError:
    """Say of an output that the system, or the store behind a URL, refused to write it."""
    place = "the store can be written to" if is_url(str(path)) else "the disk has room"
    return BigquantError(
        f"{path}: cannot be written ({error.strerror or error}): "
        f"see that {place} and stays there, and run again"
    )


def _claim(
    folder: Path, shown: str | os.PathLike[str], targets: Sequence[Path], plan: str | None
) -> int:
    """Make the folder and lock it; what a killed run of another plan left of it is removed.

    The system lets go of the lock however a process ends. Returns its file descriptor.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        lock = _lock(folder, shown)
        _restore(folder, targets)
        if plan is not None and _plan_of(folder) == plan:
            return lock
        _forget_plan(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    with suppress(FileNotFoundError):
        folder.unlink()
    folder.mkdir()
    return _lock(folder, shown)


def _lock(folder: Path, shown: str | os.PathLike[str]) -> int:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise InputError(
            f"{shown}: another run is writing it: wait for that, or choose another name"
        ) from error
    except OSError:
        pass  # a file system without locks
    return held


def _restore(folder: Path, targets: Sequence[Path]) -> None:
    """Put back the old outputs, if a run was killed after it had set them aside."""
    begun = any(os.path.lexists(_aside(folder, target)) for target in targets)
    done = not any(os.path.lexists(folder / target.name) for target in targets)
    if not begun or done:
        return
    for target in targets:
        if os.path.lexists(target) and not os.path.lexists(folder / target.name):
            os.replace(target, folder / target.name)  # the new one, that was complete already
        if os.path.lexists(_aside(folder, target)):
            os.replace(_aside(folder, target), target)
            _log.warning("%s is the old output: the run that was to replace it was killed", target)


def _aside(folder: Path, target: Path) -> Path:
    return folder / f"{target.name}.replaced"


def _remove(folder: Path, settle: Callable[[], None]) -> None:
    """Remove a folder although a late task may just have written into it."""
    _forget_plan(folder)
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        settle()


def _swap(folder: Path, targets: Sequence[Path]) -> None:
    """Put the new outputs in the place of the old ones: all of them, or none."""
    _forget_plan(folder)  # what is moved away is not there to go on with
    undo: list[tuple[Path, Path]] = []
    try:
        for target in reversed(targets):  # the output last: where it is, all is
            aside = _aside(folder, target)
            if os.path.lexists(target):
                os.replace(target, aside)
                undo.append((aside, target))
            os.replace(folder / target.name, target)
            undo.append((target, folder / target.name))
    except BaseException:
        for moved, home in reversed(undo):
            os.replace(moved, home)
        raise
