"""`bigquant fit`: the main job."""

from __future__ import annotations

import json
import logging
import os
import warnings
from typing import Any

import click

from bigquant import options
from bigquant.complaints import EXIT_FAILED, complain
from bigquant.errors import BigquantError, InputError, PaletteWarning
from bigquant.inputs import FORMATS, expand, format_of, name_outputs


@click.command()
@click.argument("names", metavar="INPUT...", nargs=-1, required=True)
@click.option("-k", "k", type=int, default=32, show_default=True, help="Number of colours.")
@click.option(
    "-o",
    "--output",
    help="OUT.zarr, OUT.tif, OUT.png or OUT.npy, or a folder.  "
    "[default: INPUT with the suffix .k32.zarr]",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Kind of the outputs, where no name tells it.  [default: zarr]",
)
@click.option(
    "--content",
    type=click.Choice(["both", "image", "labels"]),
    default="both",
    show_default=True,
    help="What to write: the quantized image, its labels, or both.",
)
@click.option(
    "--ome-zarr",
    type=click.Choice(["0.5", "0.4"]),
    help="Version of OME-Zarr; 0.4, without shards, is for older viewers.  [default: 0.5]",
)
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
@click.option("--strict", is_flag=True, help="Stop at the first input that cannot be read.")
@options.reading
@options.cluster
@options.overwrite
@options.quiet
@options.shared
def fit(
    names: tuple[str, ...],
    k: int,
    output: str | None,
    format_: str | None,
    content: str,
    ome_zarr: str | None,
    keep: str | None,
    algorithm: str,
    seed: int,
    strict: bool,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Fit k colours to INPUT and write it in these colours.

    INPUT is a file or a Zarr, a folder, a pattern ('scans/*.tif'), or @list.txt with a name a
    line; several inputs get one palette. Two passes over the pixels, in flat memory: one counts
    every distinct colour, one looks every pixel up. The palette stands in the output and beside
    it as NAME.palette.json.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.collection import (  # noqa: PLC0415
        check_room,
        made_folder,
        open_files,
        quantize_files,
    )
    from bigquant.pipeline import check_k, check_keep  # noqa: PLC0415
    from bigquant.terminal import stage_progress, unpack  # noqa: PLC0415

    address = options.scheduler_address(workers, scheduler)
    check_k(k)
    kept = check_keep(keep, k, algorithm)
    reading = options.reading_options(chosen)
    inputs = expand(names)
    if len(inputs) > 1 and reading.get("mask"):
        raise InputError(f"--mask is for one input, not for {len(inputs)}: run them apart")
    outputs = name_outputs(inputs, output, format_, k)
    if ome_zarr and not any(format_of(name) == "zarr" for name in outputs):
        raise InputError("--ome-zarr is for outputs in .zarr: leave it out, or write to OUT.zarr")
    with made_folder(output), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # to be told in the summary, whatever Python's -W says
        job = open_files(
            inputs,
            outputs,
            reading=reading,
            content=content,
            ome_zarr=ome_zarr or "0.5",
            strict=strict,
            overwrite=overwrite,
        )
        check_room(job, k)
        unpacking = {}
        if len(inputs) == 1 and not address:
            unpacking = unpack(job.images[inputs[0]], quiet=quiet)
        with running_on(address, workers) as client, stage_progress(client, quiet=quiet):
            outcome = quantize_files(job, k, keep=kept, algorithm=algorithm, random_state=seed)
    for other in (w for w in caught if w.category is not PaletteWarning):
        logging.getLogger("py.warnings").warning("%s", other.message)
    notes = [str(w.message) for w in caught if w.category is PaletteWarning]
    _tell(job, outcome, unpacking, notes, as_json=as_json, quiet=quiet)
    if outcome.failures:
        raise BigquantError(
            f"{len(outcome.failures)} of {len(inputs)} inputs could not be quantized"
        )


def _tell(
    job: Any,
    outcome: Any,
    unpacking: dict[str, float],
    notes: list[str],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print what came of a fit; failures also when quiet."""
    from bigquant.terminal import collection_facts, fact_sheet, fit_facts  # noqa: PLC0415
    from bigquant.write import palette_path  # noqa: PLC0415

    for error in outcome.failures.values():
        complain(str(error), EXIT_FAILED)
    if not outcome.written:
        return
    notes = notes + [
        "an interrupted run went on: its palette and {} of {} blocks were kept".format(*w.kept)
        for w in outcome.written
        if w.kept
    ]
    images = [_image_facts(written) for written in outcome.written]
    palette = outcome.written[0].result.palette
    shown = job.palette or os.path.relpath(palette_path(outcome.written[0].path))
    seconds = {**unpacking, **outcome.seconds}
    facts = {
        "distinct_colors": palette.fit["distinct_colors"],
        "k": palette.k,
        "mse": palette.mse,
        "psnr": palette.as_json()["psnr"],
        "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "palette": shown,
        "notes": notes,
    }
    if len(job.targets) == 1:
        facts = images[0] | facts
    else:
        failed = {name: str(error) for name, error in outcome.failures.items()}
        facts = {"images": images, "failed": failed} | facts
    if as_json:
        click.echo(json.dumps(facts))
    elif not quiet:
        sheet = fit_facts(facts) if len(job.targets) == 1 else collection_facts(facts)
        click.echo(fact_sheet(sheet))


def _image_facts(written: Any) -> dict[str, Any]:
    labels = written.result.labels
    return {
        "input": written.name,
        "width": labels.shape[1],
        "height": labels.shape[0],
        "chunk": [labels.chunksize[1], labels.chunksize[0]],
        "blocks": labels.npartitions,
        "output": written.path,
    }
