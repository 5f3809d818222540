"""`bigquant fit`: the main job."""

from __future__ import annotations

import csv
from typing import Any

import click

from bigquant import filejob, options, tablejob
from bigquant.errors import InputError
from bigquant.inputs import is_table


def _count_or_auto(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    try:
        return value if value in (None, "auto") else int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a whole number nor 'auto'") from None


def _names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """Split names of columns with commas between them; quotes are for names with commas."""
    return next(csv.reader([value], skipinitialspace=True)) if value else None


@click.command()
@click.argument("names", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "-k",
    "k",
    metavar="INTEGER|auto",
    callback=_count_or_auto,
    help="Number of colours; 'auto' chooses 2 to 32, from which on more gain little.  "
    "[default: 32]",
)
@click.option(
    "--quality",
    metavar="PSNR",
    type=float,
    help="Take as few colours as reach this PSNR in dB: at most -k, or 256 labels without it.",
)
@options.files(".k32.zarr")
@click.option(
    "--keep",
    metavar="COLORS",
    help="Colours that are in the palette as they are, e.g. '#ffffff,black'; "
    "the others of the k are fitted.",
)
@click.option(
    "--algorithm",
    type=click.Choice(["auto", "histogram", "lloyd", "dask-ml"]),
    default="auto",
    show_default=True,
    help="How to fit: on the counted colours (up to 4 bands), over the pixels pass by pass, or by "
    "dask-ml's own k-means.",
)
@options.scale
@options.space
@options.dither
@click.option(
    "--columns",
    metavar="A,B,C",
    callback=_names,
    help="Of a table: whose values rows are clustered by.  [default: all that are numeric]",
)
@options.seed
@click.option("--report", is_flag=True, help="Write a page about each output: OUT.report.html.")
@options.reading
@options.cluster
@options.overwrite
@options.quiet
@options.shared
def fit(
    names: tuple[str, ...],
    k: int | str | None,
    quality: float | None,
    keep: str | None,
    algorithm: str,
    scale: str,
    space: str,
    dither: str,
    columns: list[str] | None,
    seed: int,
    report: bool,
    **chosen: Any,
) -> None:
    """Fit k colours to INPUT and write it in these colours.

    INPUT is a file or a Zarr, a folder, a pattern ('scans/*.tif'), or @list.txt with a name a
    line; several inputs get one palette. Two passes over the pixels, in flat memory: one counts
    every distinct colour, one looks every pixel up; images of more than 8 bits or 3 bands may
    take more (`bigquant info` tells). The palette stands in the output and beside it as
    NAME.palette.json; NAME.preview.json has small pictures for `bigquant report`.

    INPUT may be a table, NAME.parquet, whose rows are clustered: it is written as OUT.parquet, a
    folder of parts, with a column 'cluster'.
    """
    from bigquant.collection import quantize_files  # noqa: PLC0415 - --help stays quick
    from bigquant.jobs import check_room  # noqa: PLC0415
    from bigquant.parameters import choose_k, most_colors, read_wish  # noqa: PLC0415

    k = choose_k(k, quality)
    if any(map(is_table, names)):
        if report:
            raise InputError("--report is for images: a page shows pictures")
        chosen |= {"columns": columns, "scale": scale, "algorithm": algorithm, "seed": seed}
        tablejob.run(names, k, **chosen)
        return
    if columns:
        raise InputError("--columns is for tables, in .parquet: of images choose --bands")
    kept = read_wish(k, quality, keep, algorithm)
    wish: dict[str, Any] = {
        "quality": quality,
        "keep": kept,
        "algorithm": algorithm,
        "scale": scale,
        "space": space,
        "dither": dither,
        "random_state": seed,
    }
    filejob.run(
        names,
        f"k{k}" if quality is None else f"q{quality:g}",
        {"k": k, **wish},
        lambda job: check_room(job, most_colors(k, quality)),
        lambda job: quantize_files(job, k, command=options.command_line(), **wish),
        _describe,
        report=report,
        **chosen,
    )


def _describe(palette: Any) -> dict[str, Any]:
    told = ("distinct_colors", "bins", "sampled_pixels", "binning_bound")
    return {
        **{name: palette.fit[name] for name in told if name in palette.fit},
        **({} if palette.space == "srgb" else {"space": palette.space}),
        "k": palette.k,
        "mse": palette.mse,
        "psnr": palette.as_json()["psnr"],
    }
