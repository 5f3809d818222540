"""`bigquant apply`: images in the colours of a palette that is there."""

from __future__ import annotations

from typing import Any

import click

from bigquant import filejob, options
from bigquant.inputs import palette_name


@click.command()
@click.argument("palette_file", metavar="PALETTE")
@click.argument("names", metavar="INPUT...", nargs=-1, required=True)
@options.files(".NAME.zarr, NAME being that of PALETTE")
@options.dither
@options.reading
@options.cluster
@options.overwrite
@options.quiet
@options.shared
def apply(palette_file: str, names: tuple[str, ...], dither: str, **chosen: Any) -> None:
    """Write INPUT in the colours of PALETTE, each pixel in the nearest one unless --dither.

    PALETTE is a palette file; INPUT is a file or a Zarr, a folder, a pattern ('scans/*.tif'), or
    @list.txt with a name a line. Nothing is fitted: one pass over the pixels, which also counts
    the pixels of each colour and their error. These stand in the output, with the palette, and
    beside it in NAME.palette.json; several outputs in one folder have one palette.json, for all
    of them together. Where the palette reserves label 0 it is kept for pixels that are left out;
    where it does not, an INPUT with such pixels is refused, unless --no-mask counts them in. A
    gray palette takes INPUT in RGB to the nearest grays.
    """
    from bigquant.collection import apply_files  # noqa: PLC0415 - --help stays quick
    from bigquant.jobs import check_room  # noqa: PLC0415
    from bigquant.palette_files import read_palette  # noqa: PLC0415

    palette = read_palette(palette_file)
    filejob.run(
        names,
        palette_name(palette_file),
        {"palette": palette.as_json(), "dither": dither},
        lambda job: check_room(job, palette.k, palette.first_label),
        lambda job: apply_files(job, palette, dither),
        _describe,
        applied=palette_file,
        **chosen,
    )


def _describe(palette: Any) -> dict[str, Any]:
    return {
        **({} if palette.space == "srgb" else {"space": palette.space}),
        "k": palette.k,
        "used_colors": int((palette.counts > 0).sum()),
        "counts": palette.counts.tolist(),
        "mse": palette.mse,
        "psnr": palette.as_json()["psnr"],
    }
