"""Run the benchmark: tables on standard output, and the figures as JSON in a file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from . import (
    at_scale,
    beyond_8_bit,
    by_kind,
    cluster,
    dithering,
    engine,
    from_file,
    in_memory,
    one_megapixel,
    planning,
    report,
    scheduler_load,
    start_up,
    sweeps,
)

_SECTIONS = {
    "in-memory": in_memory,
    "one-megapixel": one_megapixel,
    "by-kind": by_kind,
    "engine": engine,
    "beyond-8-bit": beyond_8_bit,
    "sweep": sweeps,
    "dithering": dithering,
    "from-file": from_file,
    "at-scale": at_scale,
    "cluster": cluster,
    "planning": planning,
    "scheduler-load": scheduler_load,
    "start-up": start_up,
}


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(_SECTIONS)))
@click.option("--scale", default=1.0, show_default=True, help="Size of the images, times this.")
@click.option("--json", "output", type=click.Path(dir_okay=False), help="File for the figures.")
@click.option("--folder", type=click.Path(file_okay=False), help="Where to put images (15 GB).")
def main(sections: tuple[str, ...], scale: float, output: str | None, folder: str | None) -> None:
    """Measure all SECTIONS, or those that are named."""
    facts = report.machine()
    print(report.machine_line(facts), flush=True)
    figures: dict[str, Any] = {"machine": facts, "scale": scale}
    for name in sections or _SECTIONS:
        section = _SECTIONS[name]
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            figures[name] = section.measure(scale, Path(inside))
        report.print_table(section.TITLE, figures[name], section.NOTES)
    if output:
        Path(output).write_text(json.dumps(figures, indent=1) + "\n")


main()
