"""How a command ends badly: one line on stderr, and an exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bigquant.errors import BigquantError

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def complain(message: str, code: int) -> int:
    """Tell what is wrong, in one line, and hand the exit code on."""
    click.echo(f"bigquant: error: {' '.join(message.split())}", err=True)
    return code


@contextmanager
def printing(done: str = "") -> Iterator[None]:
    """Turn a stdout that the block cannot write to into one line, with what is done all the same.

    Of a pipe that nobody reads any more click makes an end, without a word.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        told = f"stdout cannot be written ({error.strerror})"
        raise BigquantError(f"{told}: {done}" if done else told) from error
