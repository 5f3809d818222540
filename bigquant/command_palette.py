"""`bigquant palette`: show or convert a palette."""

from __future__ import annotations

import json
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing


@click.command()
@click.argument("input_", metavar="IN")
@click.option("-o", "--output", metavar="OUT", help="Write it to OUT.")
@options.overwrite
@options.quiet
@options.shared
def palette(input_: str, output: str | None, overwrite: bool, quiet: bool, as_json: bool) -> None:
    """Show the palette IN, or write it to OUT in the format that its name ends in.

    \b
    .json  all that is known: counts, shares, error, how it was fitted
    .gpl   GIMP, Inkscape, Krita         .css   custom properties --color-N
    .hex   rrggbb, one a line            .txt   GDAL colour table: N r g b a
    .pal   JASC (Paint Shop Pro)         .qml   QGIS style of labels
    .act   Adobe colour table

    IN is such a file, OUT.zarr or OUT.tif of bigquant, or any TIFF with a colour map. Colours
    stand in the order of their labels. Label 0, if it is kept for what is no part of the image,
    is the transparent entry in .css, .act, .txt and .qml, and left out of .gpl, .hex and .pal.
    """  # noqa: D301 - what click breaks no lines in starts with the character \\b
    from bigquant.atomic import check_apart  # noqa: PLC0415 - --help stays quick
    from bigquant.palette_files import read_palette  # noqa: PLC0415

    if output:
        check_apart(output, input_)
    found = read_palette(input_)
    if output:
        found.save(output, overwrite=overwrite)
    with printing(f"{output} is complete" if output else ""):
        if as_json:
            click.echo(json.dumps(found.as_json()))
        elif not output:
            _show(found)
        elif not quiet:
            lost = found.space != "srgb" and not output.endswith(".json")
            note = f", without its space {found.space}: only .json holds that" if lost else ""
            click.echo(f"{output}  {_count(found)}{note}")


def _count(palette: Any) -> str:
    return f"{palette.k} color{'s' if palette.k > 1 else ''}"


def _show(palette: Any) -> None:
    """Print a line for each label: its colour, as a swatch in a terminal, and its share."""
    from rich.console import Console  # noqa: PLC0415 - not needed to convert
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    with_swatches = console.is_terminal and not console.no_color
    counted = palette.n_pixels > 0
    about = f" of {palette.n_pixels} pixels" if counted else ""
    error = f", {palette.psnr:.2f} dB (MSE {palette.mse:.2f})" if palette.inertia else ""
    space = "" if palette.space == "srgb" else f", nearest in {palette.space}"
    console.print(f"{_count(palette)}{about}{error}{space}")
    width = 15 if with_swatches else 7
    console.print(f"label  {'color':<{width}}{'  share' if counted else ''}".rstrip())
    if palette.first_label:
        console.print("    0  no part of the image")
    shares = palette.shares.tolist()
    for label, (color, share) in enumerate(zip(palette.hex, shares, strict=True)):
        swatch: list[str | tuple[str, str]] = (
            [("      ", f"on {color}"), "  "] if with_swatches else []
        )
        told = f"  {_percent(share)}" if counted else ""
        number = f"{palette.first_label + label:5}  "
        console.print(Text.assemble(number, *swatch, f"{color}{told}"))


def _percent(share: float) -> str:
    return f"{share:.2%}".rjust(6) if share >= 0.0001 or not share else "<0.01%"
