"""`bigquant doctor`: whether a cluster can do a job."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import ClusterError, InputError


@click.command()
@click.argument("names", metavar="[INPUT]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    help="Where an output would go; may be repeated.",
)
@options.reading
@options.cluster
@options.shared
def doctor(names: tuple[str, ...], outputs: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """Tell in seconds if a cluster can quantize INPUT.

    Memory limits, versions, inputs, the folders of outputs, scratch space and the links between
    workers are looked at, and no pixel is read. What is wrong is told on stderr, and the exit
    code is 2.
    """
    from bigquant import preflight  # noqa: PLC0415 - --help stays quick
    from bigquant.cluster import running_on  # noqa: PLC0415
    from bigquant.factsheets import checkup_facts, fact_sheet  # noqa: PLC0415

    place = options.place(chosen)
    if not any(place.values()):
        raise InputError("no cluster to look at: give --scheduler ADDRESS, or --workers N")
    inputs: list[str] = []
    reading = options.reading_options(chosen)
    if names:
        inputs, reading = options.several(names, chosen)
    with running_on(**place):
        found = preflight.doctor(inputs, outputs, **reading)
    with printing():
        facts = asdict(found)
        click.echo(json.dumps(facts) if as_json else fact_sheet(checkup_facts(facts)))
    if found.failures:
        raise ClusterError(*found.failures)
