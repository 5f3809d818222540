"""`bigquant compare`: how far two images are apart."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import BigquantError

#: What can be limited: the facts of a `Comparison` that grow as images differ.
_LIMITED = ("mse", "ciede2000_mean", "ciede2000_p95")


def _limits(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Split METRIC=VALUE pairs."""
    limits = {}
    for pair in values:
        metric, _equals, value = pair.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = math.nan
        if metric not in _LIMITED or not 0 <= limit < math.inf:
            raise click.BadParameter(
                f"{pair!r} is not METRIC=VALUE such as ciede2000_mean=1.5, of "
                f"{', '.join(_LIMITED)} and a number from 0"
            )
        limits[metric] = limit
    return limits


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--fail-above",
    "limits",
    metavar="METRIC=VALUE",
    callback=_limits,
    multiple=True,
    help=f"End with exit code 1 if METRIC ({', '.join(_LIMITED)}) is above VALUE; may be repeated.",
)
@options.reading
@click.option(
    "--a-only",
    is_flag=True,
    help="--bands to --select are for A only, of which B is, say, the quantized image.",
)
@options.cluster
@options.quiet
@options.shared
def compare(
    a: str,
    b: str,
    limits: dict[str, float],
    a_only: bool,
    quiet: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Measure how far the images A and B, of one size, are apart.

    MSE is the squared error per pixel, summed over the channels; PSNR is per channel value.
    CIEDE2000 tells how different colours look: 1 can just be seen. Pixels that are masked in
    either image are left out. The options from --bands to --select are for both images, unless
    --a-only says otherwise.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.differences import compare as measure  # noqa: PLC0415
    from bigquant.factsheets import comparison_facts, fact_sheet  # noqa: PLC0415
    from bigquant.preflight import ensure_ready  # noqa: PLC0415
    from bigquant.read import open_image  # noqa: PLC0415
    from bigquant.terminal import stage_progress, unpack  # noqa: PLC0415

    place = options.place(chosen)
    reading = options.reading_options(chosen)
    stored = {"storage_options": reading.get("storage_options")}
    images = [open_image(a, **reading), open_image(b, **(stored if a_only else reading))]
    if not place.get("address"):
        unpack(images, quiet=quiet, strict=True)
    with running_on(**place) as client, stage_progress(client, quiet=quiet):
        ensure_ready(client, [a, b], images, [], reading)
        result = measure(*images)
    size = {"width": images[0].shape[1], "height": images[0].shape[0]}
    facts = {"a": a, "b": b, **size, **result.as_json()}
    with printing():
        if as_json:
            click.echo(json.dumps(facts))
        elif not quiet:
            click.echo(fact_sheet(comparison_facts(facts)))
    above = [
        f"{metric} is {facts[metric]:.6g}, above the limit of {limit:g}"
        for metric, limit in limits.items()
        if facts[metric] > limit
    ]
    if above:
        raise BigquantError(f"{a} and {b}: {'; '.join(above)}")
