"""Files -> quantized files, with one palette for all: what the command `fit` does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigquant.atomic import check_target
from bigquant.errors import BigquantError, InputError
from bigquant.image import Image
from bigquant.inputs import format_of
from bigquant.pipeline import quantize_images
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.write import check_output, write_tiff, write_zarr


@dataclass(frozen=True)
class Written:
    """An input, the output that it became, and what stands in it."""

    name: str
    path: str
    result: QuantizedImage


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Parameters
    ----------
    written : list of Written
        Outputs that are complete.
    failures : Mapping
        What went wrong, by the name of the input.
    seconds : Mapping
        Wall time of the stages "count", "fit" and "write".
    """

    written: list[Written]
    failures: Mapping[str, BigquantError]
    seconds: Mapping[str, float]


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
    """

    images: Mapping[str, Image]
    targets: Mapping[str, str]
    failures: Mapping[str, BigquantError]
    palette: str | None
    content: str
    strict: bool
    overwrite: bool


def open_files(
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    reading: Mapping[str, Any],
    content: str = "both",
    strict: bool = False,
    overwrite: bool = False,
) -> Job:
    """Open all inputs and find out if all outputs can be written, before any work.

    Parameters
    ----------
    inputs, outputs : sequence of str
        Of `inputs.expand` and `inputs.name_outputs`.
    reading : Mapping
        Options of `open_image`.
    content, overwrite
        As for `QuantizedImage.to_zarr`.
    strict : bool
        Whether an input that cannot be read ends the work, as a single one does; otherwise
        it is left out, and told at the end.

    Raises
    ------
    InputError
        If an output cannot be written, no input can be read, or `strict` says so.
    """
    strict = strict or len(inputs) == 1
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
    palette = _shared_palette(outputs)
    for name, output in zip(inputs, outputs, strict=True):
        source = images[name].source.path if name in images else None
        check_output(output, content, overwrite, source, with_palette=palette is None)
    if palette:
        check_target(palette, overwrite)
    targets = dict(zip(inputs, outputs, strict=True))
    return Job(images, targets, failures, palette, content, strict, overwrite)


def quantize_files(
    job: Job, k: int, *, algorithm: str = "auto", random_state: int | None = 0
) -> Outcome:
    """Fit one palette to all inputs of a job, and write each in its colours.

    The other parameters are as for `quantize`.
    """
    names, failures = list(job.images), dict(job.failures)
    results, unread = quantize_images(
        list(job.images.values()), k, algorithm=algorithm, random_state=random_state
    )
    failures |= {names[number]: error for number, error in unread.items()}
    if job.strict and unread:
        raise next(iter(unread.values()))
    start = time.perf_counter()
    written = []
    readable = [name for name in names if name not in failures]
    for name, result in zip(readable, results, strict=True):
        try:
            _write(job, name, result)
        except BigquantError as error:
            if job.strict:
                raise
            failures[name] = error
        else:
            written.append(Written(name, job.targets[name], result))
    if job.palette and written:
        written[0].result.palette.save(job.palette, overwrite=job.overwrite)
    seconds = {**results[0].seconds, "write": time.perf_counter() - start}
    return Outcome(written, failures, seconds)


def _shared_palette(outputs: Sequence[str]) -> str | None:
    """Name the palette of several outputs in one folder; None where each has its own."""
    folders = {Path(output).parent for output in outputs}
    if len(outputs) == 1 or len(folders) > 1:
        return None
    return str(folders.pop() / "palette.json")


def _write(job: Job, name: str, result: QuantizedImage) -> None:
    target = job.targets[name]
    write = write_tiff if format_of(target) == "tif" else write_zarr
    write(
        target,
        result.labels,
        result.palette,
        result.source,
        content=job.content,
        overwrite=job.overwrite,
        with_palette=job.palette is None,
    )


@contextmanager
def made_folder(output: str | None) -> Iterator[None]:
    """Make the folder that outputs go to, if one is named; it does not stay if it stays empty."""
    folder = Path(output) if output and format_of(output) is None else None
    is_new = folder is not None and not folder.exists() and folder.absolute().parent.is_dir()
    if folder and is_new:
        folder.mkdir()
    try:
        yield
    finally:
        if folder and is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()
