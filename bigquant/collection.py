"""Files -> quantized files, with one palette for all: what `fit` and `apply` do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bigquant import flat_writer
from bigquant.atomic import check_apart
from bigquant.bands import split_channels
from bigquant.errors import BigquantError, InputError
from bigquant.image import Image
from bigquant.inputs import folder_of, format_of, join
from bigquant.outputs import (
    PALETTE_SUFFIX,
    check_file,
    check_output,
    save_palette,
    unfinished_run,
)
from bigquant.palette import Palette
from bigquant.pipeline import apply_palette, plan_result, quantize_images
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.remote import is_url
from bigquant.resume import plan_of
from bigquant.tiff_output import check_tiff, write_tiff
from bigquant.write import write_npy, write_png, write_zarr

_WRITERS: Mapping[str, Callable[..., Palette]] = {
    "zarr": write_zarr,
    "tif": write_tiff,
    "png": write_png,
    "npy": write_npy,
}
#: Options of outputs of one format only.
_OWN_OPTIONS = {"zarr": ("ome_zarr", "storage_options"), "tif": ("compression", "cog")}


@dataclass(frozen=True)
class Written:
    """An input, the output that it became, and what stands in it, the palette as it does."""

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
    palette : Palette
        With the numbers of all of them together.
    failures : Mapping
        What went wrong, by the name of the input.
    seconds : Mapping
        Wall time of the stages "count" and "fit", where there were such, and "write".
    kept_blocks : int, optional
        Blocks that an interrupted run had written, with whose palette this one has gone on.
    """

    written: list[Written]
    palette: Palette
    failures: Mapping[str, BigquantError]
    seconds: Mapping[str, float]
    kept_blocks: int | None = None


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
    reading : Mapping
        Options that the inputs were opened with.
    content : str
    strict, overwrite : bool
    writing : Mapping
        Options of one format: ome_zarr, compression, cog.
    """

    images: Mapping[str, Image]
    targets: Mapping[str, str]
    failures: Mapping[str, BigquantError]
    palette: str | None
    reading: Mapping[str, Any]
    content: str
    strict: bool
    overwrite: bool
    writing: Mapping[str, Any]


def open_files(
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    reading: Mapping[str, Any],
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
    options = reading.get("storage_options", {})
    for name, output in zip(inputs, outputs, strict=True):
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
    targets = dict(zip(inputs, outputs, strict=True))
    writing = {
        "ome_zarr": ome_zarr,
        "compression": compression,
        "cog": cog,
        "storage_options": options,
    }
    return Job(images, targets, failures, palette, reading, content, strict, overwrite, writing)


def check_room(job: Job, k: int, first_label: int | None = None) -> None:
    """Find out, before any work, if every output can hold its image in k colours.

    Parameters
    ----------
    job : Job
    k : int
    first_label : {0, 1}, optional
        Whether label 0 is reserved; without it, where an image has alpha.

    Raises
    ------
    InputError
        If one cannot: PNG and ``.npy`` cannot hold everything.
    """
    if first_label is None:
        first_label = any(split_channels(image.shape[2])[1] for image in job.images.values())
    for name, image in job.images.items():
        target = job.targets[name]
        flat_writer.check_room(
            target, format_of(target), image.shape[:2], k + first_label, job.content
        )


def quantize_files(
    job: Job,
    k: int | str,
    *,
    quality: float | None = None,
    keep: Any = None,
    algorithm: str = "auto",
    random_state: int | None = 0,
) -> Outcome:
    """Fit one palette to all inputs of a job, and write each in its colours.

    The other parameters are as for `quantize`.
    """
    names, failures = list(job.images), dict(job.failures)
    choices: dict[str, Any] = {
        "quality": quality,
        "keep": keep,
        "algorithm": algorithm,
        "random_state": random_state,
    }
    plan = _plan_of(job, k=k, **choices)
    left = unfinished_run(job.targets[names[0]], plan) if plan else None
    if left:
        result = plan_result(job.images[names[0]], left[0], {})
        return replace(_write_all(job, {names[0]: result}, failures, plan), kept_blocks=left[1])
    results, unread = quantize_images(list(job.images.values()), k, **choices)
    failures |= {names[number]: error for number, error in unread.items()}
    if job.strict and unread:
        raise next(iter(unread.values()))
    readable = [name for name in names if name not in failures]
    return _write_all(job, dict(zip(readable, results, strict=True)), failures, plan)


def _plan_of(job: Job, **choices: Any) -> str | None:
    """Describe what a job of one image is to do, so that a rerun can go on with it.

    Several images start afresh: what is complete of them stands under its name. So does what
    is written behind a URL.
    """
    if len(job.targets) > 1 or any(map(is_url, job.targets.values())):
        return None
    (image,) = job.images.values()
    return plan_of(image, job.reading, content=job.content, **job.writing, **choices)


def apply_files(job: Job, palette: Palette) -> Outcome:
    """Write each input of a job in the nearest colours of a palette."""
    if any(image.shape[2] > 2 for image in job.images.values()):
        palette = palette.as_rgb()  # gray images join it
    results: dict[str, QuantizedImage] = {}
    failures = dict(job.failures)
    for name, image in job.images.items():
        try:
            results[name] = apply_palette(palette, image)
        except InputError as error:
            if job.strict:
                raise
            failures[name] = error
    if not results:
        raise next(iter(failures.values()))
    return _write_all(job, results, failures)


def _write_all(
    job: Job,
    results: Mapping[str, QuantizedImage],
    failures: dict[str, BigquantError],
    plan: str | None = None,
) -> Outcome:
    start = time.perf_counter()
    written = []
    for name, result in results.items():
        try:
            palette = _write(job, name, result, plan)
        except BigquantError as error:
            if job.strict:
                raise
            failures[name] = error
        else:
            written.append(Written(name, job.targets[name], replace(result, palette=palette)))
    first = next(iter(results.values()))
    palette = first.palette
    if first.tally is not None:
        own = [each.result.palette for each in written]
        counts = sum((each.counts for each in own), palette.counts)
        palette = replace(palette, counts=counts, inertia=sum(each.inertia for each in own))
    if job.palette and written:
        save_palette(palette, job.palette, job.overwrite, job.writing["storage_options"])
    seconds = {**first.seconds, "write": time.perf_counter() - start}
    return Outcome(written, palette, failures, seconds)


def _shared_palette(outputs: Sequence[str]) -> str | None:
    """Name the palette of several outputs in one folder; None where each has its own."""
    folders = {folder_of(output) for output in outputs}
    if len(outputs) == 1 or len(folders) > 1:
        return None
    return join(folders.pop(), "palette.json")


def _write(job: Job, name: str, result: QuantizedImage, plan: str | None) -> Palette:
    target = job.targets[name]
    format_ = format_of(target) or "zarr"
    return _WRITERS[format_](
        target,
        result.label_blocks,
        result.palette,
        result.source,
        tally=result.tally,
        content=job.content,
        overwrite=job.overwrite,
        with_palette=job.palette is None,
        plan=plan,
        **{option: job.writing[option] for option in _OWN_OPTIONS.get(format_, ())},
    )


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
