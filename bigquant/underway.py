"""Tasks that write, wherever they run: they are waited for, and none begins late.

A thread cannot be stopped: who removes the folder that it writes to must know when it is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bigquant import asking
from bigquant.atomic import cannot_write
from bigquant.errors import BigquantError

#: What the names of such tasks begin with.
TASK = "write-block"

_running = 0
_given_up: set[str] = set()
_lock = threading.Lock()


@contextmanager
def writing(shown: str, run: str) -> Iterator[None]:
    """Count this task among those of this process that are writing.

    Parameters
    ----------
    shown : str
        Name of the output in errors.
    run : str
        What the task belongs to; it does not begin if that is given up.
    """
    global _running
    with _lock:
        if run in _given_up:
            raise BigquantError(f"{shown}: is given up")
        _running += 1
    try:
        yield
    except OSError as error:
        raise cannot_write(shown, error) from error
    finally:
        with _lock:
            _running -= 1


@contextmanager
def given_up_on_error(run: str) -> Iterator[None]:
    """Let no task of a run begin any more when the block has failed.

    A thread may be on its way to write: nobody would know when.
    """
    try:
        yield
    except BaseException:
        with _lock:
            _given_up.add(run)
        raise


def settle() -> None:
    """Wait for tasks under way: they would write on, into a folder that is to vanish."""
    asking.settle(TASK, _count)


def _count() -> int:
    return _running
