"""What the commands share that turn files into quantized files: from names to a summary."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bigquant import options
from bigquant.complaints import EXIT_FAILED, complain, printing
from bigquant.errors import BigquantError, InputError
from bigquant.inputs import format_of, name_outputs
from bigquant.logs import noted_warnings

if TYPE_CHECKING:
    from bigquant.collection import Outcome
    from bigquant.jobs import Job, Written
    from bigquant.palette import Palette

#: Protocols of what no other process sees.
_FLEETING = ("memory",)


def run(
    names: tuple[str, ...],
    mark: str,
    choices: Mapping[str, Any],
    check: Callable[[Job], None],
    work: Callable[[Job], Outcome],
    describe: Callable[[Palette], Mapping[str, Any]],
    *,
    output: str | None,
    format_: str | None,
    content: str,
    ome_zarr: str | None,
    compression: str | None,
    cog: bool,
    strict: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    applied: str | None = None,
    report: bool = False,
    **chosen: Any,
) -> None:
    """Open the inputs, do the work where it is to run, and tell what came of it.

    Parameters
    ----------
    names : tuple of str
        As people gave them.
    mark : str
        What the outputs are called by, where they are not named.
    choices : Mapping
        What is chosen of the colours: parts of the plan.
    check : callable
        Raises an error, before any work, if the outputs of a job cannot be written.
    work : callable
        Writes the outputs of a job.
    describe : callable
        Tells the facts of a palette and of the pixels that have its colours.
    output, format_, content, ome_zarr, compression, cog, strict
        Of `options.files`.
    overwrite, quiet, as_json
        Of the options of those names.
    applied : str, optional
        File of the palette that is applied.
    report : bool
        Whether to write a page about each output.
    **chosen
        Of `options.cluster` and `options.reading`.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.jobs import made_folder, open_files  # noqa: PLC0415
    from bigquant.preflight import ensure_ready  # noqa: PLC0415
    from bigquant.remote import local_path  # noqa: PLC0415
    from bigquant.terminal import stage_progress, unpack  # noqa: PLC0415

    output = output and (local_path(output) or output)
    if output and "://" in output and output.partition("://")[0].rpartition("::")[2] in _FLEETING:
        raise InputError(f"{output}: is gone when this command ends: name a place that lasts")
    place = options.place(chosen)
    inputs, reading = options.several(names, chosen)
    outputs = name_outputs(inputs, output, format_, mark)
    _check_format(outputs, ome_zarr, compression, cog)
    if report and "://" in outputs[0]:
        raise InputError(
            f"{outputs[0]}: a URL, and a page is a file: leave out --report, and run "
            "`bigquant report` on it afterwards"
        )
    with made_folder(output), noted_warnings() as notes:
        job = open_files(
            inputs,
            outputs,
            reading=reading,
            choices=choices,
            content=content,
            strict=strict,
            overwrite=overwrite,
            applied=applied,
            ome_zarr=ome_zarr or "0.5",
            compression=compression or "deflate",
            cog=cog,
        )
        check(job)
        if report:
            _check_pages(job)
        unpacking = {}
        if not place.get("address"):
            unpacking = unpack(list(job.images.values()), quiet=quiet, strict=job.strict)
        with (
            _accounted_for(job),
            running_on(**place) as client,
            stage_progress(client, quiet=quiet),
        ):
            ensure_ready(client, list(job.images), list(job.images.values()), outputs, reading)
            outcome = work(job)
            pages = _write_pages(job) if report else {}
    if not report:
        notes += _old_pages(job)
    if outcome.kept:
        notes.append(f"an interrupted run went on: {outcome.kept} were kept")
    with _accounted_for(job), printing(job.account):
        _tell(job, outcome, describe, unpacking, notes, pages, as_json=as_json, quiet=quiet)
    if outcome.failures:
        raise BigquantError(
            f"{len(outcome.failures)} of {len(inputs)} inputs could not be quantized"
        )
    if report and len(pages) < len(outcome.written):
        missing = len(outcome.written) - len(pages)
        raise BigquantError(f"{missing} of {len(outcome.written)} pages could not be written")


@contextmanager
def _accounted_for(job: Job) -> Iterator[None]:
    """Let an interrupt tell which outputs are complete."""
    try:
        yield
    except BaseException as error:
        if job.written and not isinstance(error, Exception):
            error.add_note(job.account)
        raise


def _check_pages(job: Job) -> None:
    """Find out, before any work, if a page about each output can be written."""
    from bigquant.atomic import check_target  # noqa: PLC0415
    from bigquant.outputs import page_path  # noqa: PLC0415

    for output in job.targets.values():
        check_target(page_path(output), job.overwrite)


def _write_pages(job: Job) -> dict[str, str]:
    """Write the pages about outputs; tell where they are by the outputs' paths."""
    from bigquant.outputs import page_path  # noqa: PLC0415
    from bigquant.reporting import report as write  # noqa: PLC0415

    pages = {}
    for written in job.written:
        try:
            write(written.path, overwrite=job.overwrite)
        except BigquantError as error:
            complain(f"{error} (the output is complete, without a page)", EXIT_FAILED)
        else:
            pages[written.path] = page_path(written.path)
    return pages


def _old_pages(job: Job) -> list[str]:
    """Tell which pages are of outputs that were replaced."""
    from bigquant.outputs import page_path  # noqa: PLC0415

    paths = [written.path for written in job.written if os.path.exists(page_path(written.path))]
    return [
        f"{page_path(path)} is of an earlier output: renew it with "
        f"`bigquant report {shlex.quote(path)} --overwrite`"
        for path in paths
    ]


def _check_format(
    outputs: list[str], ome_zarr: str | None, compression: str | None, cog: bool
) -> None:
    """Refuse options that none of the outputs has a use for."""
    formats = {format_of(output) for output in outputs}
    if (compression or cog) and "tif" not in formats:
        raise InputError("--compression and --cog are for TIFF: add --format tif, or -o OUT.tif")
    if ome_zarr and "zarr" not in formats:
        raise InputError("--ome-zarr is for outputs in .zarr: leave it out, or write to OUT.zarr")


def _tell(
    job: Job,
    outcome: Outcome,
    describe: Callable[[Palette], Mapping[str, Any]],
    unpacking: dict[str, float],
    notes: list[str],
    pages: Mapping[str, str],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print what came of a job; failures also when quiet."""
    from bigquant.factsheets import collection_facts, fact_sheet, image_facts  # noqa: PLC0415
    from bigquant.outputs import PALETTE_SUFFIX  # noqa: PLC0415

    for error in outcome.failures.values():
        complain(str(error), EXIT_FAILED)
    if not outcome.written:
        return
    images = [_image_facts(written, describe, pages) for written in outcome.written]
    shown = job.palette or outcome.written[0].path.rstrip("/") + PALETTE_SUFFIX
    seconds = {**unpacking, **outcome.seconds}
    dither = outcome.written[0].result.dither
    facts = {
        **describe(outcome.palette),
        **({} if dither == "none" else {"dither": dither}),
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
        sheet = image_facts(facts) if len(job.targets) == 1 else collection_facts(facts)
        click.echo(fact_sheet(sheet))


def _image_facts(
    written: Written, describe: Callable[[Palette], Mapping[str, Any]], pages: Mapping[str, str]
) -> dict[str, Any]:
    """Tell the facts of one output; its own error too, where the palette was applied to it."""
    labels = written.result.labels
    own = {} if written.result.tally is None else describe(written.result.palette)
    return {
        "input": written.name,
        "width": labels.shape[1],
        "height": labels.shape[0],
        "chunk": [labels.chunksize[1], labels.chunksize[0]],
        "blocks": labels.npartitions,
        "output": written.path,
        **({"report": pages[written.path]} if written.path in pages else {}),
        **own,
    }
