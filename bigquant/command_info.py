"""`bigquant info`: what an image is, and how it would be read."""

from __future__ import annotations

import json
from typing import Any

import click

from bigquant import options
from bigquant.complaints import printing


@click.command()
@click.argument("input_", metavar="INPUT")
@options.reading
@options.shared
def info(input_: str, as_json: bool, **chosen: Any) -> None:
    """Tell what INPUT is and how it would be read."""
    from bigquant.factsheets import fact_sheet, info_facts  # noqa: PLC0415
    from bigquant.inspection import inspect  # noqa: PLC0415

    facts = inspect(input_, **options.reading_options(chosen))
    with printing():
        click.echo(json.dumps(facts) if as_json else fact_sheet(info_facts(facts)))
