"""`bigquant fit`: the main job."""

from __future__ import annotations

from typing import Any

import click

from bigquant import filejob, options


@click.command()
@click.argument("names", metavar="INPUT...", nargs=-1, required=True)
@click.option("-k", "k", type=int, default=32, show_default=True, help="Number of colours.")
@options.files(".k32.zarr")
@click.option(
    "--keep",
    metavar="COLORS",
    help="Colours that are in the palette as they are, e.g. '#ffffff,black'; "
    "the others of the k are fitted.",
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
@options.reading
@options.cluster
@options.overwrite
@options.quiet
@options.shared
def fit(
    names: tuple[str, ...], k: int, keep: str | None, algorithm: str, seed: int, **chosen: Any
) -> None:
    """Fit k colours to INPUT and write it in these colours.

    INPUT is a file or a Zarr, a folder, a pattern ('scans/*.tif'), or @list.txt with a name a
    line; several inputs get one palette. Two passes over the pixels, in flat memory: one counts
    every distinct colour, one looks every pixel up. The palette stands in the output and beside
    it as NAME.palette.json.
    """
    from bigquant.collection import check_room, quantize_files  # noqa: PLC0415 - --help stays quick
    from bigquant.parameters import read_wish  # noqa: PLC0415

    kept = read_wish(k, None, keep, algorithm)
    filejob.run(
        names,
        f"k{k}",
        lambda job: check_room(job, k),
        lambda job: quantize_files(job, k, keep=kept, algorithm=algorithm, random_state=seed),
        _describe,
        **chosen,
    )


def _describe(palette: Any) -> dict[str, Any]:
    return {
        "distinct_colors": palette.fit["distinct_colors"],
        "k": palette.k,
        "mse": palette.mse,
        "psnr": palette.as_json()["psnr"],
    }
