"""Zarrs behind URLs, where nothing can be renamed: they carry a mark that they are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bigquant import remote
from bigquant.atomic import cannot_write
from bigquant.errors import BigquantError, InputError
from bigquant.inputs import ZARR_MARKS
from bigquant.zarr_store import ObjectStore


def check(url: str, options: Mapping[str, Any], overwrite: bool, *suffixes: str) -> None:
    """Find out, before any work, if a Zarr and files beside it can be written behind a URL.

    An object is written there, read back and removed.

    Parameters
    ----------
    url : str
    options : Mapping
        For fsspec.
    overwrite : bool
        Whether a Zarr that is there may be replaced.
    *suffixes : str
        Of the files beside it.

    Raises
    ------
    InputError
        If one exists and `overwrite` is false, it is something other than a Zarr, or the
        store cannot be reached, written to, or emptied again.
    """
    store, shown = ObjectStore(url, options), remote.public(url)
    try:
        names = store.names()
        if (names or store.beside(*suffixes)) and not overwrite:
            raise InputError(
                f"{shown}: exists already, or what an interrupted run has left of it: choose "
                "another name, or allow to replace it (--overwrite)"
            )
        if names and not names & set(ZARR_MARKS):
            raise InputError(
                f"{shown}: there is something, and no Zarr: it is not replaced; choose another"
            )
        store.try_out()
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror}") from error


@contextmanager
def marked_or_nothing(
    url: str,
    options: Mapping[str, Any],
    *suffixes: str,
    settle: Callable[[], None],
) -> Iterator[ObjectStore]:
    """Hand out an empty place for a Zarr; what is put there is removed if the block fails.

    The block marks what it has put there as unfinished, and as complete at its end. What is to
    be replaced is gone before the block begins.

    Parameters
    ----------
    url, options, *suffixes
        As for `check`, which has allowed it.
    settle : callable
        Waits until no task writes any more.
    """
    store, shown = ObjectStore(url, options), remote.public(url)
    try:
        store.remove(*suffixes)
        yield store
    except BaseException as error:
        settle()
        failed = cannot_write(shown, error) if isinstance(error, OSError) else error
        cause = error.__cause__ or error
        try:
            if isinstance(cause, TimeoutError):
                raise cause  # rather than wait for it once more
            store.remove(*suffixes)
        except OSError as left:
            stays = (
                f"what is there is marked as unfinished, as it could not be removed "
                f"({left.strerror}): replace it with --overwrite"
            )
            if isinstance(failed, BigquantError):
                raise type(failed)(f"{failed}; {stays}") from error
            failed.add_note(stays)
        if failed is error:
            raise
        raise failed from error
