"""The command line: arguments -> calls of the public functions -> exit code."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

import click

from bigquant.command_apply import apply
from bigquant.command_compare import compare
from bigquant.command_doctor import doctor
from bigquant.command_fit import fit
from bigquant.command_info import info
from bigquant.command_palette import palette
from bigquant.command_report import report
from bigquant.command_sample import sample
from bigquant.command_sweep import sweep
from bigquant.complaints import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, complain
from bigquant.errors import BigquantError, ClusterError, DamagedError, InputError

_ENDING = (signal.SIGINT, signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 failed while working, 2 bad arguments or unreadable input, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--traceback" in arguments:
        commands.main(arguments, prog_name="bigquant", standalone_mode=False, obj=arguments)
        return 0
    try:
        commands.main(arguments, prog_name="bigquant", standalone_mode=False, obj=arguments)
    except click.exceptions.NoArgsIsHelpError as help_:
        click.echo(help_.format_message())
        return EXIT_BAD_INPUT
    except click.ClickException as error:
        return complain(error.format_message(), EXIT_BAD_INPUT)
    except ClusterError as error:
        for line in error.args:
            complain(line, EXIT_BAD_INPUT)
        return EXIT_BAD_INPUT
    except (InputError, DamagedError) as error:
        return complain(str(error), EXIT_BAD_INPUT)
    except BigquantError as error:
        return complain(str(error), EXIT_FAILED)
    except _Terminated as error:
        return complain(f"terminated: {_left(error)}", EXIT_FAILED)
    except (_Interrupted, KeyboardInterrupt, click.Abort) as error:
        warnings.simplefilter("ignore")  # of what the interrupt left unfinished
        return complain(f"interrupted: {_left(error)}", EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return complain(f"{type(error).__name__}: {error} (--traceback shows where)", EXIT_FAILED)
    return 0


def _left(error: BaseException) -> str:
    """Tell what an interrupted command leaves."""
    cause = error.__cause__ or error  # an interrupt is wrapped
    return "; ".join(getattr(cause, "__notes__", ["nothing was written"]))


class _Terminated(BaseException):
    """The system wants this process to end: SIGTERM."""


class _Interrupted(BaseException):
    """Ctrl-C; click, where it sees that itself, prints an empty line."""


def run() -> None:
    """Run the command line as a program, and end it."""
    for number in _ENDING:
        signal.signal(number, _stop)
    code = main()
    if code in (EXIT_INTERRUPTED, EXIT_FAILED):
        # a thread may be deep in a kernel, and Python would wait for it
        for stream in filter(None, (sys.stdout, sys.stderr)):  # either may be closed, or full
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _stop(number: int, _: Any) -> None:
    for each in _ENDING:  # cleaning up has begun: it is not to be interrupted in its turn
        signal.signal(each, signal.SIG_IGN)
    raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and let click know nothing of an interrupt."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Interrupted from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigquant")
def commands() -> None:
    """k-means colour quantization for images too large to hold in memory."""


for command in (fit, apply, sweep, palette, compare, report, info, doctor, sample):
    commands.add_command(command)
