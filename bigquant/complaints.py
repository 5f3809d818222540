"""How a command ends badly: one line on stderr, and an exit code."""

from __future__ import annotations

import click

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def complain(message: str, code: int) -> int:
    """Tell what is wrong, in one line, and hand the exit code on."""
    click.echo(f"bigquant: error: {' '.join(message.split())}", err=True)
    return code
