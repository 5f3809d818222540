"""`bigquant report`: a page about an output."""

from __future__ import annotations

import json
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import BigquantError


@click.command()
@click.argument("output", metavar="OUT")
@click.option(
    "-o",
    "--output",
    "page",
    metavar="PAGE.html",
    help="Page to write.  [default: OUT.report.html; of a URL in this folder]",
)
@click.option(
    "--source",
    metavar="FILE",
    help="The image that OUT was made of, where its fit has left no pictures of it.",
)
@click.option(
    "--sweep", metavar="FILE", help="What `sweep` has written, .csv or .json: show its curve."
)
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@options.storage
@options.overwrite
@options.quiet
@options.shared
def report(
    output: str,
    page: str | None,
    source: str | None,
    sweep: str | None,
    is_opened: bool,
    storage_options: dict[str, Any],
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a page about OUT: before and after, palette, error, cloud of colours, facts.

    The page is one HTML file that needs nothing else. OUT is an output of `fit`, which has left
    small pictures beside it, so that no pixel is read; or one of `apply`, or any image of at most
    256 colours, whatever made it: these are read once, and so is --source. A Zarr or TIFF may lie
    behind a URL.
    """
    from bigquant.factsheets import format_bytes  # noqa: PLC0415 - --help stays quick
    from bigquant.reporting import report as write  # noqa: PLC0415
    from bigquant.terminal import stage_progress  # noqa: PLC0415

    with stage_progress(None, quiet=quiet):
        path = write(
            output,
            page,
            source=source,
            sweep=sweep,
            overwrite=overwrite,
            storage_options=storage_options,
        )
    size = path.stat().st_size
    with printing(f"{path} is complete"):
        if as_json:
            click.echo(json.dumps({"page": str(path), "bytes": size}))
        elif not quiet:
            click.echo(f"{path}  {format_bytes(size)}")
    if is_opened:
        open_page(str(path))


def open_page(path: str) -> None:
    """Open a page in whatever this system opens such files with."""
    if click.launch(path):
        raise BigquantError(f"{path} is complete, but there is no browser to open it in")
