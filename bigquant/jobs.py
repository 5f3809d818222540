"""Inputs that are open and outputs that can be written, found out before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigquant import flat_writer
from bigquant.atomic import check_apart, check_target
from bigquant.errors import BigquantError, InputError
from bigquant.image import Image
from bigquant.inputs import folder_of, format_of, join
from bigquant.ledger import Ledger
from bigquant.outputs import PALETTE_SUFFIX, check_file, check_output
from bigquant.palette import Palette
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.remote import is_url
from bigquant.resume import plan_of, plan_of_all
from bigquant.tiff_output import check_tiff


@dataclass(frozen=True)
class Written:
    """An input, the output that it became, and what stands in it, the palette as it does."""

    name: str
    path: str
    result: QuantizedImage


@dataclass(frozen=True)
class Job:
    """Inputs that are open, and where their outputs go.

    Parameters
    ----------
    images : Mapping
        By the names of the inputs.
    targets : Mapping
        Output of each input.
    failures : Mapping
        Why an input could not be opened.
    palette : str, optional
        The one palette file of several outputs, ``palette.json`` in their folder; without it
        each output has its own beside it.
    content : str
    strict, overwrite : bool
    writing : Mapping
        Options of one format: ome_zarr, compression, cog.
    reading : Mapping
        Options of `open_image` that the images were opened with.
    plan : str, optional
        What is to be done, in few words; None where a rerun cannot go on with it.
    ledger : Ledger, optional
        Of a plan with several outputs.
    done : Mapping
        Palettes of the outputs that an interrupted run of the plan has completed, by their paths.
    written : list of Written
        Outputs that are complete, as long as the work goes on.
    """

    images: Mapping[str, Image]
    targets: Mapping[str, str]
    failures: Mapping[str, BigquantError]
    palette: str | None
    content: str
    strict: bool
    overwrite: bool
    writing: Mapping[str, Any]
    reading: Mapping[str, Any]
    plan: str | None
    ledger: Ledger | None
    done: Mapping[str, Palette]
    written: list[Written] = field(default_factory=list)

    @property
    def account(self) -> str:
        """Tell which outputs are complete, in words."""
        if len(self.targets) == 1:
            return "the output is complete" if self.written else "nothing was written"
        return f"{len(self.written)} of {len(self.targets)} outputs are complete"


def open_files(
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    reading: Mapping[str, Any],
    choices: Mapping[str, Any],
    content: str = "both",
    strict: bool = False,
    overwrite: bool = False,
    applied: str | None = None,
    ome_zarr: str = "0.5",
    compression: str = "deflate",
    cog: bool = False,
) -> Job:
    """Open all inputs and find out if all outputs can be written, before any work.

    Parameters
    ----------
    inputs, outputs : sequence of str
        Of `inputs.expand` and `inputs.name_outputs`.
    reading : Mapping
        Options of `open_image`.
    choices : Mapping
        Whatever else the colours of the outputs depend on.
    content, overwrite
        As for `QuantizedImage.to_zarr`.
    strict : bool
        Whether an input that cannot be read ends the work, as a single one does; otherwise
        it is left out, and told at the end.
    applied : str, optional
        File of the palette that is to be applied: no output takes its place.
    ome_zarr, compression, cog
        As for `QuantizedImage.to_zarr` and `to_tiff`.

    Raises
    ------
    InputError
        If an output cannot be written, no input can be read, or `strict` says so.
    """
    strict = strict or len(inputs) == 1
    images, failures = _open(inputs, reading, strict)
    palette = _shared_palette(outputs)
    options = reading.get("storage_options", {})
    writing = {
        "ome_zarr": ome_zarr,
        "compression": compression,
        "cog": cog,
        "storage_options": options,
    }
    planned = {"content": content, **writing, **choices}
    plan = _plan(list(images.values()), outputs, reading, planned)
    ledger = Ledger(plan, outputs) if plan and len(outputs) > 1 else None
    if ledger:
        check_target(ledger.path, overwrite=True)
    done = ledger.done() if ledger else {}
    for name, output in zip(inputs, outputs, strict=True):
        if output in done:
            continue
        source = images[name].source.path if name in images else None
        stored = options if format_of(output) == "zarr" else None
        check_output(
            output, content, overwrite, source, with_palette=palette is None, options=stored
        )
        if name in images and format_of(output) == "tif":
            tiff: dict[str, Any] = {"compression": compression, "cog": cog, "overwrite": overwrite}
            check_tiff(output, images[name].source, **tiff)
        check_apart(output, applied)
        check_apart(palette or output.rstrip("/") + PALETTE_SUFFIX, applied)
    if palette:
        check_file(palette, overwrite, options)
    return Job(
        images,
        dict(zip(inputs, outputs, strict=True)),
        failures,
        palette,
        content,
        strict,
        overwrite,
        writing,
        reading,
        plan,
        ledger,
        done,
    )


def _open(
    inputs: Sequence[str], reading: Mapping[str, Any], strict: bool
) -> tuple[dict[str, Image], dict[str, BigquantError]]:
    """Open what can be opened; why something could not, by its name."""
    images: dict[str, Image] = {}
    failures: dict[str, BigquantError] = {}
    for name in inputs:
        try:
            images[name] = open_image(name, **reading)
        except InputError as error:
            if strict:
                raise
            failures[name] = error
    if not images:
        raise next(iter(failures.values()))
    return images, failures


def _plan(
    images: Sequence[Image],
    outputs: Sequence[str],
    reading: Mapping[str, Any],
    choices: Mapping[str, Any],
) -> str | None:
    """Describe what a job is to do; None for what is written behind URLs."""
    if any(map(is_url, outputs)):
        return None
    plans = [plan_of(image, reading, **choices) for image in images]
    return plans[0] if len(outputs) == 1 else plan_of_all(plans, outputs)


def check_room(job: Job, k: int, first_label: int | None = None) -> None:
    """Find out, before any work, if every output can hold its image in k colours.

    Parameters
    ----------
    job : Job
    k : int
    first_label : {0, 1}, optional
        Whether label 0 is reserved; without it, where an image has nodata.

    Raises
    ------
    InputError
        If one cannot: PNG and ``.npy`` cannot hold everything.
    """
    if first_label is None:
        first_label = any(image.has_nodata for image in job.images.values())
    for name, image in job.images.items():
        target = job.targets[name]
        flat_writer.check_room(
            target, format_of(target), image.shape[:2], k + first_label, job.content
        )


def _shared_palette(outputs: Sequence[str]) -> str | None:
    """Name the palette of several outputs in one folder; None where each has its own."""
    folders = {folder_of(output) for output in outputs}
    if len(outputs) == 1 or len(folders) > 1:
        return None
    return join(folders.pop(), "palette.json")


@contextmanager
def made_folder(output: str | None) -> Iterator[None]:
    """Make the folder that outputs go to, if one is named; it does not stay if it stays empty."""
    is_folder = output and format_of(output) is None and not is_url(output)
    folder = Path(output) if output and is_folder else None
    is_new = folder is not None and not folder.exists() and folder.absolute().parent.is_dir()
    if folder and is_new:
        folder.mkdir()
    try:
        yield
    finally:
        if folder and is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()
