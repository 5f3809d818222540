"""Options that several commands have, and what they mean."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import click

from bigquant.errors import InputError
from bigquant.inputs import FORMATS, expand
from bigquant.logs import shown_logs

_Command = Callable[..., Any]


def _add(options: list[Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _show_logs(context: click.Context, _: click.Parameter, verbosity: int) -> None:
    context.with_resource(shown_logs(verbosity))


#: What every command has.
shared = _add(
    [
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
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the fit.",
)
scale = click.option(
    "--scale",
    type=click.Choice(["none", "range", "std"]),
    default="none",
    show_default=True,
    help="For bands of different units: measure each by its range, or its standard deviation.",
)
space = click.option(
    "--space",
    type=click.Choice(["srgb", "linear", "oklab", "lab"]),
    default="srgb",
    show_default=True,
    help="Where colours are compared: as they are stored, by their light, or as people see them; "
    "of 8-bit gray or RGB.",
)
dither = click.option(
    "--dither",
    type=click.Choice(["none", "bayer", "blue-noise"]),
    default="none",
    show_default=True,
    help="Mix colours that the palette lacks, pixel by pixel, in a regular pattern or by blue "
    "noise: no bands in smooth parts, and no seams.",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress bars, no summary.")


def files(suffix: str) -> Callable[[_Command], _Command]:
    """Make the options of commands that turn files into quantized files.

    Parameters
    ----------
    suffix : str
        What outputs without a name are called by, in words.
    """
    return _add(
        [
            click.option(
                "-o",
                "--output",
                help="OUT.zarr (also s3://...), OUT.tif, OUT.png or OUT.npy, or a folder.  "
                f"[default: INPUT with the suffix {suffix}]",
            ),
            click.option(
                "--format",
                "format_",
                type=click.Choice(FORMATS),
                help="Kind of the outputs, where no name tells it.  [default: zarr]",
            ),
            click.option(
                "--content",
                type=click.Choice(["both", "image", "labels"]),
                default="both",
                show_default=True,
                help="What to write: the quantized image, its labels, or both.",
            ),
            click.option(
                "--ome-zarr",
                type=click.Choice(["0.5", "0.4"]),
                help="Version of OME-Zarr; 0.4 (Zarr v2) for older viewers.  [default: 0.5]",
            ),
            click.option(
                "--compression",
                type=click.Choice(["deflate", "zstd", "lzw", "none"]),
                help="How the tiles of a TIFF are compressed.  [default: deflate]",
            ),
            click.option(
                "--cog",
                is_flag=True,
                help="Mark a TIFF as cloud-optimized GeoTIFF, with class names; georeferenced "
                "ones always are.",
            ),
            click.option(
                "--strict", is_flag=True, help="Stop at the first input that cannot be read."
            ),
        ]
    )


def _memory(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no number of bytes."""
    from dask.utils import parse_bytes  # noqa: PLC0415 - --help stays quick

    try:
        if value is None or parse_bytes(value) > 0:
            return value
    except ValueError:
        pass
    raise click.BadParameter(f"{value!r} is no size such as 4GB or 900MiB")


#: Where it runs.
cluster = _add(
    [
        click.option(
            "--workers", type=click.IntRange(min=1), help="Run on a local cluster of N processes."
        ),
        click.option(
            "--threads-per-worker",
            type=click.IntRange(min=1),
            help="Threads of each of these processes.  [default: 1]",
        ),
        click.option(
            "--memory-limit",
            metavar="SIZE",
            callback=_memory,
            help="Memory of each of these processes, e.g. 4GB.  [default: their share]",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            envvar="DASK_SCHEDULER_ADDRESS",
            help="Run on the Dask cluster at ADDRESS, e.g. tcp://host:8786 or tls://host:8786.",
        ),
        click.option(
            "--scheduler-file",
            metavar="FILE",
            help="Run on the Dask cluster whose scheduler wrote FILE.",
        ),
    ]
)


def place(chosen: dict[str, Any]) -> dict[str, Any]:
    """Take out the options that `cluster` adds, as the parameters of `running_on`.

    --workers and --scheduler-file go before what the environment says.
    """
    from bigquant.cluster import read_scheduler_file  # noqa: PLC0415

    names = ("workers", "threads_per_worker", "memory_limit", "scheduler", "scheduler_file")
    workers, threads, memory, scheduler, file = (chosen.pop(name) for name in names)
    source = click.get_current_context().get_parameter_source("scheduler")
    if source is not click.core.ParameterSource.COMMANDLINE and (workers or file):
        scheduler = None
    ways = {"--workers": workers, "--scheduler": scheduler, "--scheduler-file": file}
    given = [way for way, value in ways.items() if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other: give one of them")
    if (threads or memory) and not workers:
        raise InputError(
            "--threads-per-worker and --memory-limit are for a local cluster: add --workers N"
        )
    if workers:
        return {"workers": workers, "threads_per_worker": threads or 1, "memory_limit": memory}
    return {"address": read_scheduler_file(file) if file else scheduler}


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Split whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in value.split(",")) if value else None
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is not a list of whole numbers such as 3,2,1"
        ) from error


def _planes(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> dict[str, int] | None:
    """Split AXIS=INDEX pairs with commas between them."""
    planes: dict[str, int] = {}
    for pair in (pair for value in values for pair in value.split(",")):
        name, _equals, number = (part.strip() for part in pair.partition("="))
        if not name or not number.isdecimal():
            raise click.BadParameter(f"{pair!r} is not AXIS=INDEX such as T=0,Z=3")
        if planes.setdefault(name, int(number)) != int(number):
            raise click.BadParameter(f"{name}={planes[name]} and {name}={number}: give one of them")
    return planes or None


def _storage(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Split KEY=VALUE pairs; true and false are flags, and {...} is JSON."""
    flags = {"true": True, "false": False}
    stored: dict[str, Any] = {}
    for pair in values:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE such as anon=true")
        stored[name] = flags.get(value.lower(), value)
        if value.startswith("{"):
            with contextlib.suppress(ValueError):  # a text that begins so
                stored[name] = json.loads(value)
    return stored


storage = click.option(
    "--storage-option",
    "storage_options",
    metavar="KEY=VALUE",
    callback=_storage,
    multiple=True,
    help="For URLs: an option of fsspec, e.g. anon=true, or with a JSON object for VALUE; "
    "may be repeated.",
)

#: What is the image: the parameters of `open_image`.
reading = _add(
    [
        click.option(
            "--bands",
            metavar="N,N,N",
            callback=_numbers,
            help="Bands to quantize, counted from 1; the first three are shown as red, green "
            "and blue.",
        ),
        click.option(
            "--nodata", type=float, help="Pixels of this value in all bands are left out."
        ),
        click.option(
            "--mask", metavar="FILE", help="An image of the same size; where it is 0 is left out."
        ),
        click.option(
            "--no-mask", is_flag=True, help="Leave nothing out: not by alpha, nodata or mask."
        ),
        click.option("--series", type=int, help="Which image of a file, e.g. of a slide."),
        click.option("--page", type=int, help="Which page of a TIFF."),
        click.option(
            "--level", type=int, default=0, help="Which level of a pyramid; 0 is full size."
        ),
        click.option(
            "--select",
            metavar="AXIS=N",
            callback=_planes,
            multiple=True,
            help="Plane of each further axis, e.g. T=0,Z=3; may be repeated.",
        ),
        storage,
    ]
)


_URL = re.compile(r"[A-Za-z][\w+.-]*://.*", re.DOTALL)


def command_line() -> str:
    """Write down what was typed, without what may be secret of URLs and of options for them."""
    from bigquant.remote import public  # noqa: PLC0415 - --help stays quick

    context = click.get_current_context().find_root()
    words, is_secret = [str(context.info_name)], False
    for word in context.obj:
        name, equals, value = word.partition("=")
        if is_secret:
            word = f"{name}=..."
        elif name == "--storage-option" and equals:
            word = f"{name}={value.partition('=')[0]}=..."
        else:  # also in --name=URL and -oURL
            word = _URL.sub(lambda found: public(found[0]), word)
        is_secret = word == "--storage-option"
        words.append(word)
    return shlex.join(words)


def several(names: tuple[str, ...], options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """List the inputs that names stand for, and the parameters of `open_image` for all of them."""
    reading, inputs = reading_options(options), expand(names)
    if len(inputs) > 1 and reading.get("mask"):
        raise InputError(f"--mask is for one input, not for {len(inputs)}: run them apart")
    return inputs, reading


def reading_options(options: dict[str, Any]) -> dict[str, Any]:
    """Turn the options that `reading` adds into parameters of `open_image`."""
    if options["no_mask"]:
        if options["mask"] or options["nodata"] is not None:
            raise click.UsageError("--no-mask excludes --mask and --nodata: give one of them")
        options = options | {"mask": False}
    stored = options["storage_options"]
    named = ("bands", "nodata", "mask", "series", "page", "level", "select")
    chosen = {name: options[name] for name in named if options[name] is not None}
    return chosen | ({"storage_options": stored} if stored else {})
