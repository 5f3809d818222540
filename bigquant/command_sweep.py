"""`bigquant sweep`: the error for each number of colours, from one pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import InputError
from bigquant.inputs import name_outputs
from bigquant.logs import noted_warnings

#: More palettes than that are no sweep but a mistake.
_MOST_KS = 1000


def _ks(_: click.Context, __: click.Parameter, value: str) -> list[int]:
    """Read numbers of colours: 2:10 (both ends included), 2:64:2, or 4,8,16."""
    ks: set[int] = set()
    for part in value.split(","):
        try:
            first, last, step = _bounds(part)
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is neither a range such as 2:10 or 8:64:8 nor a list such as 4,8,16"
            ) from None
        if last < first:
            raise click.BadParameter(f"{part!r} is no range: the first is the least, as in 2:10")
        if last - first >= _MOST_KS * step:
            raise click.BadParameter(
                f"{part!r} is of more than {_MOST_KS} numbers: give a step, as in 8:64:8"
            )
        ks.update(range(first, last + 1, step))
    return sorted(ks)


def _bounds(part: str) -> tuple[int, int, int]:
    """Read the first, the last and the step of a range, or of a single number."""
    numbers = [int(number) for number in part.split(":")]
    step = numbers[2] if len(numbers) == 3 else 1
    if len(numbers) > 3 or step < 1:
        raise ValueError
    return numbers[0], numbers[min(1, len(numbers) - 1)], step


@click.command()
@click.argument("names", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "-k",
    "ks",
    metavar="FIRST:LAST",
    callback=_ks,
    default="2:10",
    show_default=True,
    help="Numbers of colours, both ends included; also FIRST:LAST:STEP or a list, 4,8,16.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    help="What to write, by suffix: the grid of pictures (.png, .pdf, .svg), the table (.csv), or "
    "all with the palettes (.json); may be repeated.  [default: INPUT.k2-10.png and .csv]",
)
@click.option(
    "--keep", metavar="COLORS", help="Colours that are in every palette, e.g. '#ffffff,black'."
)
@options.scale
@options.space
@options.seed
@options.reading
@options.cluster
@options.overwrite
@options.quiet
@options.shared
def sweep(
    names: tuple[str, ...],
    ks: list[int],
    outputs: tuple[str, ...],
    keep: str | None,
    scale: str,
    space: str,
    seed: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Fit a palette for each of several numbers of colours, and tell their errors.

    The pixels of INPUT are read once, to count the distinct colours. Several inputs get one palette
    for each number of colours; the grid of pictures shows the first of them.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.factsheets import fact_sheet, sweep_table  # noqa: PLC0415
    from bigquant.parameters import read_wishes  # noqa: PLC0415
    from bigquant.preflight import ensure_ready  # noqa: PLC0415
    from bigquant.read import open_image  # noqa: PLC0415
    from bigquant.sweep_files import check_files, write_files  # noqa: PLC0415
    from bigquant.sweeping import sweep_images  # noqa: PLC0415
    from bigquant.terminal import stage_progress, unpack  # noqa: PLC0415

    _, kept = read_wishes(ks, keep)
    place = options.place(chosen)
    inputs, reading = options.several(names, chosen)
    targets = check_files(_name(inputs, outputs, ks), inputs, overwrite)
    images = [open_image(name, **reading) for name in inputs]
    if not place.get("address"):
        unpack(images, quiet=quiet, strict=True)
    with (
        noted_warnings() as notes,
        running_on(**place) as client,
        stage_progress(client, quiet=quiet),
    ):
        ensure_ready(client, inputs, images, [], reading)
        wish: Any = {"keep": kept, "scale": scale, "space": space, "random_state": seed}
        found = sweep_images(images, ks, **wish)
        write_files(found, targets, overwrite)
    with printing(f"{' and '.join(targets)} {'is' if len(targets) == 1 else 'are'} complete"):
        if as_json:
            facts = {"inputs": inputs, **found.as_json(), "outputs": targets, "notes": notes}
            click.echo(json.dumps(facts))
        elif not quiet:
            click.echo(sweep_table(found))
            facts = {f"output {i}": target for i, target in enumerate(targets, 1)}
            told = {"knee": found.knee or "none", "space": None if space == "srgb" else space}
            click.echo(fact_sheet({**told, **facts}))
            for note in notes:
                click.echo(f"note: {note}")


def _name(inputs: Sequence[str], outputs: Sequence[str], ks: Sequence[int]) -> list[str]:
    """Name the files to write; those without a name lie beside the input."""
    if outputs:
        return list(outputs)
    if len(inputs) > 1:
        raise InputError(f"{len(inputs)} inputs: say what to write, e.g. -o sweep.png -o sweep.csv")
    (beside,) = name_outputs(inputs, None, None, f"k{ks[0]}-{ks[-1]}")
    stem = beside.removesuffix(".zarr")
    return [f"{stem}.png", f"{stem}.csv"]
