"""`bigquant sample`: a photo of any size, to try the others on."""

from __future__ import annotations

import json

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import InputError
from bigquant.inputs import format_of


@click.command()
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
@options.overwrite
@options.quiet
@options.shared
def sample(
    output: str, megapixels: float | None, name: str, overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Write a sample photo of any size to OUT, a tiled TIFF, to try bigquant on."""
    from bigquant.atomic import check_target  # noqa: PLC0415
    from bigquant.cluster import running_on  # noqa: PLC0415
    from bigquant.samples import sample_image  # noqa: PLC0415
    from bigquant.terminal import stage_progress  # noqa: PLC0415
    from bigquant.tiff_output import write_rgb_tiff  # noqa: PLC0415

    if format_of(output) != "tif":
        raise InputError(f"{output}: a sample is a TIFF: its name ends in .tif")
    check_target(output, overwrite)
    image = sample_image(name, megapixels)
    with running_on() as client, stage_progress(client, quiet=quiet):
        write_rgb_tiff(output, image, overwrite=overwrite)
    facts = {"output": output, "width": image.shape[1], "height": image.shape[0]}
    with printing(f"{output} is complete"):
        if as_json:
            click.echo(json.dumps(facts))
        elif not quiet:
            click.echo(f"{output}  {image.shape[1]} x {image.shape[0]} pixels")
