"""The command line: arguments -> calls of the public functions -> exit code."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bigquant.errors import BigquantError, InputError, PaletteWarning
from bigquant.logs import shown_logs

_EXIT_FAILED, _EXIT_BAD_INPUT, _EXIT_INTERRUPTED = 1, 2, 130
_ENDING = (signal.SIGINT, signal.SIGTERM)
_TIFF_SUFFIXES = (".tif", ".tiff")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 failed while working, 2 bad arguments or unreadable input, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--traceback" in arguments:
        commands.main(arguments, prog_name="bigquant", standalone_mode=False)
        return 0
    try:
        commands.main(arguments, prog_name="bigquant", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_:
        click.echo(help_.format_message())
        return _EXIT_BAD_INPUT
    except click.ClickException as error:
        return _complain(error.format_message(), _EXIT_BAD_INPUT)
    except InputError as error:
        return _complain(str(error), _EXIT_BAD_INPUT)
    except BigquantError as error:
        return _complain(str(error), _EXIT_FAILED)
    except _Terminated:
        return _complain("terminated: nothing was written", _EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        warnings.simplefilter("ignore")  # of what the interrupt left unfinished
        return _complain("interrupted: nothing was written", _EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _complain(f"{type(error).__name__}: {error} (--traceback shows where)", _EXIT_FAILED)
    return 0


class _Terminated(BaseException):
    """The system wants this process to end: SIGTERM."""


def run() -> None:
    """Run the command line as a program, and end it."""
    for number in _ENDING:
        signal.signal(number, _stop)
    code = main()
    if code in (_EXIT_INTERRUPTED, _EXIT_FAILED):
        # a thread may be deep in a kernel, and Python would wait for it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _stop(number: int, _: Any) -> None:
    for each in _ENDING:  # cleaning up has begun: it is not to be interrupted in its turn
        signal.signal(each, signal.SIG_IGN)
    raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    click.echo(f"bigquant: error: {' '.join(message.split())}", err=True)
    return code


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command has."""
    options = [
        click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON."),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_show_logs,
            help="Tell of stages and chunk plans; -vv also of what Dask does.",
        ),
        click.option(
            "--traceback", is_flag=True, expose_value=False, help="Show where an error comes from."
        ),
    ]
    for option in options:
        command = option(command)
    return command


def _show_logs(context: click.Context, _: click.Parameter, verbosity: int) -> None:
    context.with_resource(shown_logs(verbosity))


_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress bars, no summary.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigquant")
def commands() -> None:
    """k-means colour quantization for images too large to hold in memory."""


@commands.command()
@click.argument("input_", metavar="INPUT")
@click.option("-k", "k", type=int, default=32, show_default=True, help="Number of colours.")
@click.option(
    "-o", "--output", help="OUT.zarr or OUT.tif.  [default: INPUT with the suffix .k32.zarr]"
)
@click.option(
    "--content",
    type=click.Choice(["both", "image", "labels"]),
    default="both",
    show_default=True,
    help="What to write: the quantized image, its labels, or both.",
)
@click.option(
    "--algorithm",
    type=click.Choice(["auto", "histogram", "dask-ml"]),
    default="auto",
    show_default=True,
    help="How to fit: exactly on the counted colours, or by dask-ml's own k-means.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the fit.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Run on a local cluster of N processes."
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    envvar="DASK_SCHEDULER_ADDRESS",
    help="Run on the Dask cluster at ADDRESS, e.g. tcp://host:8786.",
)
@_OVERWRITE
@_QUIET
@_shared
def fit(
    input_: str,
    k: int,
    output: str | None,
    content: str,
    algorithm: str,
    seed: int,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fit k colours to INPUT and write it in these colours.

    Two passes over the pixels, in flat memory: one counts every distinct colour, one looks
    every pixel up. The palette stands in the output and beside it as NAME.palette.json.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.pipeline import check_k, quantize  # noqa: PLC0415
    from bigquant.read import open_image  # noqa: PLC0415
    from bigquant.terminal import fact_sheet, fit_facts, stage_progress, unpack  # noqa: PLC0415
    from bigquant.write import check_output, palette_path  # noqa: PLC0415

    if workers and scheduler and _given("scheduler"):
        raise InputError("--workers and --scheduler exclude each other: give one of them")
    check_k(k)
    if output:
        _is_tiff(output)
    image = open_image(input_)
    target = output or _default_output(input_, k)
    check_output(target, content, overwrite, image.source.path)
    address = None if workers else scheduler
    seconds = {"unpack": unpack(image, quiet=quiet)} if image.staged and not address else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # to be told in the summary, whatever Python's -W says
        with running_on(address, workers) as client, stage_progress(client, quiet=quiet):
            result = quantize(image, k, algorithm=algorithm, random_state=seed)
            start = time.perf_counter()
            write = result.to_tiff if _is_tiff(target) else result.to_zarr
            write(target, content=content, overwrite=overwrite)
        seconds |= {**result.seconds, "write": time.perf_counter() - start}
    notes = [str(w.message) for w in caught if w.category is PaletteWarning]
    for other in (w for w in caught if w.category is not PaletteWarning):
        logging.getLogger("py.warnings").warning("%s", other.message)
    palette = result.palette
    facts = {
        "input": input_,
        "width": image.shape[1],
        "height": image.shape[0],
        "chunk": [image.chunksize[1], image.chunksize[0]],
        "blocks": image.npartitions,
        "distinct_colors": palette.fit["distinct_colors"],
        "k": palette.k,
        "mse": palette.mse,
        "psnr": palette.as_json()["psnr"],
        "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "output": target,
        "palette": os.path.relpath(palette_path(target)),
        "notes": notes,
    }
    if as_json:
        click.echo(json.dumps(facts))
    elif not quiet:
        click.echo(fact_sheet(fit_facts(facts)))


def _default_output(input_: str, k: int) -> str:
    path = Path(input_)
    if path.name in ("", ".."):  # the folder of a Zarr array, named by where one stands
        path = Path(os.path.abspath(input_))
    while (path.parent / "zarr.json").exists() or (path.parent / ".zgroup").exists():
        path = path.parent  # an array of a group: beside the group, not in it
    return str(path.with_suffix(f".k{k}.zarr"))


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _is_tiff(target: str) -> bool:
    suffix = Path(target).suffix.lower()
    if suffix != ".zarr" and suffix not in _TIFF_SUFFIXES:
        raise InputError(f"{target}: an output's name ends in .zarr or .tif")
    return suffix in _TIFF_SUFFIXES


@commands.command()
@click.argument("input_", metavar="INPUT")
@_shared
def info(input_: str, as_json: bool) -> None:
    """Tell what INPUT is and how it would be read."""
    from bigquant.inspection import inspect  # noqa: PLC0415
    from bigquant.terminal import fact_sheet, info_facts  # noqa: PLC0415

    facts = inspect(input_)
    click.echo(json.dumps(facts) if as_json else fact_sheet(info_facts(facts)))


@commands.command()
@click.argument("output", metavar="OUT")
@click.option("--megapixels", type=float, help="Enlarge the photo to N megapixels, with noise.")
@click.option(
    "--image",
    "name",
    type=click.Choice(["china", "flower"]),
    default="china",
    show_default=True,
    help="Which photo.",
)
@_OVERWRITE
@_QUIET
@_shared
def sample(
    output: str, megapixels: float | None, name: str, overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Write a sample photo of any size to OUT, a tiled TIFF, to try bigquant on."""
    from bigquant.atomic import check_target  # noqa: PLC0415
    from bigquant.cluster import running_on  # noqa: PLC0415
    from bigquant.samples import sample_image  # noqa: PLC0415
    from bigquant.terminal import stage_progress  # noqa: PLC0415
    from bigquant.write import write_rgb_tiff  # noqa: PLC0415

    if not _is_tiff(output):
        raise InputError(f"{output}: a sample is a TIFF: its name ends in .tif")
    check_target(output, overwrite)
    image = sample_image(name, megapixels)
    with running_on() as client, stage_progress(client, quiet=quiet):
        write_rgb_tiff(output, image, overwrite=overwrite)
    facts = {"output": output, "width": image.shape[1], "height": image.shape[0]}
    if as_json:
        click.echo(json.dumps(facts))
    elif not quiet:
        click.echo(f"{output}  {image.shape[1]} x {image.shape[0]} pixels")
